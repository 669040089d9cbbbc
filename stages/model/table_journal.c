/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of rows that a snapshot has not read yet.
 */
#include "stages/model/table_journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLAB_BYTES  ((size_t)256 << 10)
#define CHUNK_BYTES ((size_t)256 << 10) /* of rows that are read as one */
#define CHUNK_SHIFT 10u
#define TRIM_SLABS  4u

struct table_slab {
    struct table_slab *next;
    uint64_t images[]; /* image_bytes each */
};

static size_t
measure_image(const struct table_journal *j)
{
    size_t bytes = sizeof(struct table_image) + j->payload_bytes;

    return (bytes + 7) / 8 * 8;
}

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

static bool
add_slab(struct table_journal *j)
{
    size_t image_bytes = measure_image(j);
    size_t count = SLAB_BYTES / image_bytes;
    struct table_slab *slab;

    if (count == 0)
        count = 1;
    slab = malloc(sizeof(*slab) + count * image_bytes);
    if (slab == NULL)
        return false;
    slab->next = j->slabs;
    j->slabs = slab;
    for (size_t i = count; i-- > 0;) {
        struct table_image *image = (void *)&slab->images[i * image_bytes / 8];

        image->next = j->spare;
        j->spare = image;
    }
    return true;
}

static void
free_maps(struct table_journal *j)
{
    unmap(j->saved, j->saved_bytes);
    unmap(j->chunks, j->chunks_bytes);
    j->saved = NULL;
    j->chunks = NULL;
}

void
table_journal_init(struct table_journal *j, size_t payload_bytes)
{
    memset(j, 0, sizeof(*j));
    j->payload_bytes = payload_bytes;
    j->chunk_shift = CHUNK_SHIFT;
    while (j->chunk_shift > 0 && (payload_bytes + sizeof(struct row_meta))
                                         << j->chunk_shift >
                                     CHUNK_BYTES)
        j->chunk_shift--;
}

void
table_journal_fini(struct table_journal *j)
{
    table_journal_end(j);
    while (j->slabs != NULL)
        table_journal_trim(j);
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
    if (j->saved == NULL || j->chunks == NULL) {
        free_maps(j);
        return false;
    }
    j->is_spoiled = false;
    j->first = 0;
    j->count = rows;
    return true;
}

void
table_journal_save(struct table_journal *j, uint32_t row,
                   const struct row_meta *meta, const float *payload)
{
    uint64_t bit = UINT64_C(1) << (row % 64);
    struct table_image **chunk = &j->chunks[row >> j->chunk_shift];
    struct table_image *image;

    assert(row - j->first < j->count);
    if ((j->saved[row / 64] & bit) != 0)
        return;
    if (j->spare == NULL && !add_slab(j)) {
        j->is_spoiled = true;
        return;
    }
    image = j->spare;
    j->spare = image->next;
    image->row = row;
    image->meta = *meta;
    if (j->payload_bytes > 0)
        memcpy(image->payload, payload, j->payload_bytes);
    image->next = *chunk;
    *chunk = image;
    j->saved[row / 64] |= bit;
}

const struct table_image *
table_journal_take(struct table_journal *j, uint32_t rows)
{
    struct table_image **chunk = &j->chunks[j->first >> j->chunk_shift];

    assert(rows > 0 && rows <= j->count);
    assert((j->first & ((1u << j->chunk_shift) - 1)) == 0);
    while (j->taken != NULL) {
        struct table_image *image = j->taken;

        j->taken = image->next;
        image->next = j->spare;
        j->spare = image;
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
    free_maps(j);
    j->first = 0;
    j->count = 0;
    /* Slabs go by and by, so the images in them go now. */
    j->spare = NULL;
    j->taken = NULL;
}

void
table_journal_trim(struct table_journal *j)
{
    if (j->saved != NULL)
        return;
    for (unsigned i = 0; i < TRIM_SLABS && j->slabs != NULL; i++) {
        struct table_slab *next = j->slabs->next;

        free(j->slabs);
        j->slabs = next;
    }
}
