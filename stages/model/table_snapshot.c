/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of a table: chunk by chunk, rows as they are now, over them the
 * journal's images of rows as they were at the beginning.
 */
#include "stages/model/table_priv.h"

#include "daemon/base/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes a row has in tensors besides its payload: id, sightings, time. */
#define META_BYTES (sizeof(uint64_t) + sizeof(uint32_t) + sizeof(int64_t))

#define LINE_BYTES     64u
#define PREFETCH_BYTES 256u /* of an image; the rest follows as it is read */

struct tensor_form {
    const char *suffix;
    enum tensor_type type;
    size_t rank;
    bool is_state;
};

static const struct tensor_form forms[TABLE_TENSOR_COUNT] = {
    [TABLE_EMBEDDING] = {"embedding", TENSOR_F32, 2, false},
    [TABLE_IDS] = {"ids", TENSOR_U64, 1, false},
    [TABLE_STATE] = {"state", TENSOR_F32, 2, true},
    [TABLE_SIGHTINGS] = {"sightings", TENSOR_U32, 1, true},
    [TABLE_LAST_SEEN] = {"last_seen", TENSOR_I64, 1, true},
    [TABLE_CANDIDATES] = {"candidates", TENSOR_U64, 1, true},
    [TABLE_CANDIDATE_SIGHTINGS] = {"candidate_sightings", TENSOR_U32, 1, true},
    [TABLE_CANDIDATE_LAST_SEEN] = {"candidate_last_seen", TENSOR_I64, 1, true},
    [TABLE_CURSORS] = {"cursors", TENSOR_U64, 1, true},
};

void
table_describe(const struct table *t, enum table_tensor what,
               struct tensor *out)
{
    const struct tensor_form *form = &forms[what];
    int len;

    memset(out, 0, sizeof(*out));
    len =
        snprintf(out->name, sizeof(out->name), "%s/%s", t->name, form->suffix);
    assert(len > 0 && (size_t)len < sizeof(out->name));
    out->type = form->type;
    out->rank = form->rank;
    out->shape[1] = 1;
    if (what == TABLE_EMBEDDING)
        out->shape[1] = t->spec.width;
    if (what == TABLE_STATE)
        out->shape[1] = t->spec.state_width;
    out->is_state = form->is_state;
}

void
table_gather_cursors(const struct table *t, uint64_t out[static CURSOR_COUNT])
{
    out[CURSOR_VERSION] = TABLE_CURSORS_VERSION;
    out[CURSOR_FREE_FIRST] = t->rows.at.free_first;
    out[CURSOR_FREE_COUNT] = t->rows.at.free_count;
    out[CURSOR_EXPIRY] = t->rows.at.expiry;
    out[CURSOR_CANDIDATE_FREE_FIRST] = t->candidates.at.free_first;
    out[CURSOR_CANDIDATE_FREE_COUNT] = t->candidates.at.free_count;
    out[CURSOR_CANDIDATE_EXPIRY] = t->candidates.at.expiry;
    out[CURSOR_REFUSED] = t->refused;
    out[CURSOR_EXPIRED] = t->expired;
}

static void
list_tensors(struct table *t)
{
    struct table_snapshot *s = &t->snapshot;

    s->tensor_count = 0;
    for (enum table_tensor i = 0; i < TABLE_TENSOR_COUNT; i++) {
        struct tensor *tensor = &s->tensors[s->tensor_count];

        if (i == TABLE_STATE && t->spec.state_width == 0)
            continue;
        table_describe(t, i, tensor);
        tensor->shape[0] = t->rows.at.used;
        if (i >= TABLE_CANDIDATES)
            tensor->shape[0] = t->candidates.at.used;
        if (i == TABLE_CURSORS)
            tensor->shape[0] = CURSOR_COUNT;
        s->numbers[i] = s->tensor_count++;
    }
}

static struct table_part *
add_part(struct table_snapshot *s, enum table_tensor tensor, size_t item_bytes,
         uint64_t first, uint64_t count)
{
    struct table_part *part = &s->parts[s->part_count];
    unsigned char *data = s->buf;

    if (s->part_count > 0)
        data = part[-1].data + part[-1].bytes;
    *part = (struct table_part){
        .tensor = tensor,
        .data = data,
        .bytes = (size_t)count * item_bytes,
        .offset = first * item_bytes,
    };
    /* An empty part (no state) is left out. */
    s->part_count += part->bytes > 0;
    return part;
}

/* Where row i of a chunk goes in the buffer, tensor by tensor. */
struct chunk {
    unsigned char *ids;
    unsigned char *sightings;
    unsigned char *last_seen;
    unsigned char *embedding; /* NULL for candidates */
    unsigned char *state;
    size_t embedding_bytes; /* a row */
    size_t state_bytes;
};

static void
put_row(const struct chunk *c, size_t i, const struct row_meta *meta)
{
    const unsigned char *payload = (const unsigned char *)(meta + 1);
    int64_t last_seen = meta->last_seen;

    assert(c->ids != NULL && c->sightings != NULL && c->last_seen != NULL);
    memcpy(c->ids + i * sizeof(meta->id), &meta->id, sizeof(meta->id));
    memcpy(c->sightings + i * sizeof(meta->sightings), &meta->sightings,
           sizeof(meta->sightings));
    memcpy(c->last_seen + i * sizeof(last_seen), &last_seen, sizeof(last_seen));
    if (c->embedding == NULL)
        return;
    memcpy(c->embedding + i * c->embedding_bytes, payload, c->embedding_bytes);
    memcpy(c->state + i * c->state_bytes, payload + c->embedding_bytes,
           c->state_bytes);
}

/* Asks the caches for the images of a list, and for the list after it. */
static void
prefetch_images(const struct table_journal *j, const struct table_list *list)
{
    size_t bytes = sizeof(uint64_t) + j->row_bytes;

    if (list == NULL)
        return;
    __builtin_prefetch(list->next);
    for (uint32_t i = 0; i < list->count; i++) {
        const char *image =
            (const char *)table_journal_image(j, list->images[i]);

        for (size_t at = 0; at < bytes && at < PREFETCH_BYTES; at += LINE_BYTES)
            __builtin_prefetch(image + at);
    }
}

/* Copies the next chunk of a store to where its parts are. */
static void
copy_chunk(struct table_store *s, const struct chunk *c, uint32_t count)
{
    uint32_t first = s->journal.first;
    const struct table_list *list;

    for (uint32_t i = 0; i < count; i++)
        put_row(c, i, table_store_meta(s, first + i));
    list = table_journal_take(&s->journal, count);
    prefetch_images(&s->journal, list);
    for (; list != NULL; list = list->next) {
        prefetch_images(&s->journal, list->next);
        for (uint32_t i = 0; i < list->count; i++) {
            const struct table_image *image =
                table_journal_image(&s->journal, list->images[i]);

            put_row(c, image->row - first, &image->meta);
        }
    }
}

static void
load_rows(struct table *t)
{
    struct table_snapshot *s = &t->snapshot;
    struct table_journal *j = &t->rows.journal;
    uint32_t n =
        j->count < 1u << j->chunk_shift ? j->count : 1u << j->chunk_shift;
    struct chunk c = {
        .embedding_bytes = t->spec.width * sizeof(float),
        .state_bytes = t->spec.state_width * sizeof(float),
    };

    c.embedding =
        add_part(s, TABLE_EMBEDDING, c.embedding_bytes, j->first, n)->data;
    c.ids = add_part(s, TABLE_IDS, sizeof(uint64_t), j->first, n)->data;
    c.state = add_part(s, TABLE_STATE, c.state_bytes, j->first, n)->data;
    c.sightings =
        add_part(s, TABLE_SIGHTINGS, sizeof(uint32_t), j->first, n)->data;
    c.last_seen =
        add_part(s, TABLE_LAST_SEEN, sizeof(int64_t), j->first, n)->data;
    copy_chunk(&t->rows, &c, n);
}

static void
load_candidates(struct table *t)
{
    struct table_snapshot *s = &t->snapshot;
    struct table_journal *j = &t->candidates.journal;
    uint32_t n =
        j->count < 1u << j->chunk_shift ? j->count : 1u << j->chunk_shift;
    struct chunk c = {0};

    c.ids = add_part(s, TABLE_CANDIDATES, sizeof(uint64_t), j->first, n)->data;
    c.sightings =
        add_part(s, TABLE_CANDIDATE_SIGHTINGS, sizeof(uint32_t), j->first, n)
            ->data;
    c.last_seen =
        add_part(s, TABLE_CANDIDATE_LAST_SEEN, sizeof(int64_t), j->first, n)
            ->data;
    copy_chunk(&t->candidates, &c, n);
}

/* Fills the parts with the next chunk; false when there is none. */
static bool
load_chunk(struct table *t)
{
    struct table_snapshot *s = &t->snapshot;
    struct table_part *part;

    s->part = 0;
    s->done = 0;
    s->part_count = 0;
    if (t->rows.journal.count > 0) {
        load_rows(t);
        return true;
    }
    if (t->candidates.journal.count > 0) {
        load_candidates(t);
        return true;
    }
    if (s->has_cursors)
        return false;
    part = add_part(s, TABLE_CURSORS, sizeof(uint64_t), 0, CURSOR_COUNT);
    memcpy(part->data, s->cursors, sizeof(s->cursors));
    s->has_cursors = true;
    return true;
}

/* The largest chunk: of rows, of candidates, or the cursors. */
static size_t
measure_chunk(const struct table *t)
{
    const struct table_journal *rows = &t->rows.journal;
    const struct table_journal *candidates = &t->candidates.journal;
    size_t row =
        META_BYTES + (t->spec.width + t->spec.state_width) * sizeof(float);
    size_t bytes = row << rows->chunk_shift;

    if (bytes < META_BYTES << candidates->chunk_shift)
        bytes = META_BYTES << candidates->chunk_shift;
    return bytes;
}

enum status
table_snapshot_begin(struct table *t, struct error *err)
{
    struct table_snapshot *s = &t->snapshot;

    OBJ_CHECK(t, TABLE_MAGIC);
    assert(!s->is_active);
    memset(s, 0, sizeof(*s));
    s->buf = malloc(measure_chunk(t));
    if (s->buf == NULL)
        goto nomem;
    s->is_active = true;
    if (!table_journal_begin(&t->rows.journal, t->rows.at.used) ||
        !table_journal_begin(&t->candidates.journal, t->candidates.at.used))
        goto nomem;
    list_tensors(t);
    table_gather_cursors(t, s->cursors);
    return STATUS_OK;

nomem:
    table_snapshot_end(t);
    return error_set(err, STATUS_NOMEM, "table %s: no memory for a snapshot",
                     t->name);
}

size_t
table_snapshot_count(const struct table *t)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    assert(t->snapshot.is_active);
    return t->snapshot.tensor_count;
}

const struct tensor *
table_snapshot_tensor(const struct table *t, size_t i)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    assert(t->snapshot.is_active && i < t->snapshot.tensor_count);
    return &t->snapshot.tensors[i];
}

enum status
table_snapshot_read(struct table *t, void *buf, size_t capacity,
                    struct tensor_piece *out)
{
    struct table_snapshot *s = &t->snapshot;
    const struct table_part *part;
    size_t bytes;

    OBJ_CHECK(t, TABLE_MAGIC);
    assert(s->is_active && buf != NULL && capacity > 0);
    if (t->rows.journal.is_spoiled || t->candidates.journal.is_spoiled)
        return STATUS_NOMEM;
    if (s->part == s->part_count && !load_chunk(t))
        return STATUS_END;
    part = &s->parts[s->part];
    bytes = part->bytes - s->done;
    if (bytes > capacity)
        bytes = capacity;
    memcpy(buf, part->data + s->done, bytes);
    *out = (struct tensor_piece){
        .tensor = s->numbers[part->tensor],
        .offset = part->offset + s->done,
        .bytes = bytes,
    };
    s->done += bytes;
    if (s->done == part->bytes) {
        s->part++;
        s->done = 0;
    }
    return STATUS_OK;
}

void
table_snapshot_end(struct table *t)
{
    OBJ_CHECK(t, TABLE_MAGIC);
    table_journal_end(&t->rows.journal);
    table_journal_end(&t->candidates.journal);
    free(t->snapshot.buf);
    memset(&t->snapshot, 0, sizeof(t->snapshot));
}
