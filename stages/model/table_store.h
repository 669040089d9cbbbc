/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_STORE_H
#define MODEL_TABLE_STORE_H

#include "stages/model/table_index.h"
#include "stages/model/table_journal.h"

/*
 * Rows with their ids: the index, the rows, the list of free rows and the
 * journal, kept in step here and nowhere else. A row is its struct row_meta
 * and, right behind it, its payload, so that whoever finds a row has fetched
 * what it is wanted for. A table is two of these, one for its rows and one
 * without payload for candidates. Row 0 is never found, taken or dropped; it
 * exists from the start. A row is written only after table_store_keep.
 */

#define TABLE_ID_MAX ((UINT64_C(1) << 53) - 1)

/* What, besides the rows, is the store's state. */
struct table_cursors {
    uint32_t used;       /* rows ever used, row 0 included */
    uint32_t free_first; /* last freed, first used again; 0: none */
    uint32_t free_count;
    uint32_t expiry; /* the next row that expiry looks at */
};

struct table_store {
    struct table_pages rows;
    struct table_index index;
    struct table_journal journal;
    uint32_t row_max; /* without row 0 */
    struct table_cursors at;
};

/*
 * table_store_init prepares for row_max rows of payload_bytes (0: none) each
 * and makes row 0, its payload undefined. False: no memory, and nothing to
 * release.
 */
bool table_store_init(struct table_store *s, uint32_t row_max,
                      size_t payload_bytes);

/* table_store_fini frees it; a zeroed struct is fine. */
void table_store_fini(struct table_store *s);

/*
 * table_store_take gives an id that has none a row, the last freed one or a
 * new one; meta is set with 0 sightings at time 0, the payload is undefined.
 * 0: full, or no memory.
 */
uint32_t table_store_take(struct table_store *s, uint64_t id);

/* table_store_drop frees the row of an id. */
void table_store_drop(struct table_store *s, uint32_t row);

/*
 * table_store_put puts a row where a snapshot had it; the rows come in order
 * from 1 on. False: no memory, or the id has a row already.
 */
bool table_store_put(struct table_store *s, uint32_t row,
                     const struct row_meta *meta);

/* table_store_bytes is the memory it holds. */
uint64_t table_store_bytes(const struct table_store *s);

static inline struct row_meta *
table_store_meta(const struct table_store *s, uint32_t row)
{
    return table_pages_at(&s->rows, row);
}

static inline float *
table_store_payload(const struct table_store *s, uint32_t row)
{
    return (float *)(table_store_meta(s, row) + 1);
}

/* table_store_rows counts rows in use, without row 0. */
static inline uint32_t
table_store_rows(const struct table_store *s)
{
    return s->at.used - 1 - s->at.free_count;
}

/* table_store_keep must come before any change of a row. */
static inline void
table_store_keep(struct table_store *s, uint32_t row)
{
    /* One comparison for "a snapshot is on and has not read this row". */
    if (__builtin_expect(row - s->journal.first < s->journal.count, 0))
        table_journal_save(&s->journal, row, table_store_meta(s, row));
}

static inline uint32_t
table_store_find(const struct table_store *s, uint64_t hash, uint64_t id)
{
    return table_index_find(&s->index, hash, id, &s->rows);
}

#endif
