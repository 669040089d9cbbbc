/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of rows that a snapshot has not read yet.
 */
#include "stages/model/table_journal.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES ((size_t)256 << 10) /* of rows that are read as one */
#define CHUNK_SHIFT 10u

#define IMAGE_HEAD offsetof(struct table_image, meta)

/* Fresh zero pages: as cheap for a large map as for a small one. */
static void *
map_zeros(size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return map == MAP_FAILED ? NULL : map;
}

static void
unmap(void *map, size_t bytes)
{
    if (map != NULL)
        (void)munmap(map, bytes);
}

static void
push_list(struct table_list **to, struct table_list *list)
{
    list->next = *to;
    *to = list;
}

/* A list without images; NULL: no memory. */
static struct table_list *
take_list(struct table_journal *j)
{
    struct table_list *list = j->empty;

    if (list != NULL) {
        j->empty = list->next;
        return list;
    }
    if (!table_pages_reserve(&j->lists, j->lists.item_count))
        return NULL;
    list = table_pages_at(&j->lists, j->lists.item_count - 1);
    list->count = 0;
    return list;
}

/* The number of an image to write; false: no memory. */
static bool
take_image(struct table_journal *j, uint32_t *out)
{
    struct table_list *list = j->spare;

    if (list != NULL) {
        *out = list->images[--list->count];
        if (list->count == 0) {
            j->spare = list->next;
            push_list(&j->empty, list);
        }
        return true;
    }
    *out = (uint32_t)j->images.item_count;
    return table_pages_reserve(&j->images, j->images.item_count);
}

void
table_journal_init(struct table_journal *j, size_t row_bytes)
{
    memset(j, 0, sizeof(*j));
    j->row_bytes = row_bytes;
    j->chunk_shift = CHUNK_SHIFT;
    while (j->chunk_shift > 0 && row_bytes << j->chunk_shift > CHUNK_BYTES)
        j->chunk_shift--;
}

bool
table_journal_begin(struct table_journal *j, uint32_t rows)
{
    assert(j->count == 0 && j->saved == NULL && rows > 0);
    j->saved_bytes = ((size_t)(rows - 1) / 64 + 1) * sizeof(*j->saved);
    j->chunks_bytes =
        ((size_t)((rows - 1) >> j->chunk_shift) + 1) * sizeof(*j->chunks);
    j->saved = map_zeros(j->saved_bytes);
    j->chunks = map_zeros(j->chunks_bytes);
    /* A list that is not empty holds an image, so there are no more lists. */
    if (j->saved == NULL || j->chunks == NULL ||
        !table_pages_init(&j->images, IMAGE_HEAD + j->row_bytes, rows) ||
        !table_pages_init(&j->lists, sizeof(struct table_list), rows)) {
        table_journal_end(j);
        return false;
    }
    j->images.is_brief = true;
    j->lists.is_brief = true;
    j->is_spoiled = false;
    j->first = 0;
    j->count = rows;
    return true;
}

void
table_journal_save(struct table_journal *j, uint32_t row,
                   const struct row_meta *meta)
{
    uint64_t bit = UINT64_C(1) << (row % 64);
    struct table_list **chunk = &j->chunks[row >> j->chunk_shift];
    struct table_list *list = *chunk;
    struct table_image *image;
    uint32_t number;

    assert(row - j->first < j->count);
    if ((j->saved[row / 64] & bit) != 0 || j->is_spoiled)
        return;
    if (list == NULL || list->count == TABLE_LIST_IMAGES) {
        list = take_list(j);
        if (list != NULL)
            push_list(chunk, list);
    }
    if (list == NULL || !take_image(j, &number)) {
        j->is_spoiled = true;
        return;
    }
    list->images[list->count++] = number;
    image = table_journal_image(j, number);
    image->row = row;
    memcpy((unsigned char *)image + IMAGE_HEAD, meta, j->row_bytes);
    j->saved[row / 64] |= bit;
}

const struct table_list *
table_journal_take(struct table_journal *j, uint32_t rows)
{
    struct table_list **chunk = &j->chunks[j->first >> j->chunk_shift];

    assert(rows > 0 && rows <= j->count);
    assert((j->first & ((1u << j->chunk_shift) - 1)) == 0);
    while (j->taken != NULL) {
        struct table_list *list = j->taken;

        j->taken = list->next;
        push_list(list->count > 0 ? &j->spare : &j->empty, list);
    }
    j->taken = *chunk;
    *chunk = NULL;
    j->first += rows;
    j->count -= rows;
    return j->taken;
}

void
table_journal_end(struct table_journal *j)
{
    size_t row_bytes = j->row_bytes;

    unmap(j->saved, j->saved_bytes);
    unmap(j->chunks, j->chunks_bytes);
    table_pages_fini(&j->lists);
    table_pages_fini(&j->images);
    table_journal_init(j, row_bytes);
}
