/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_INDEX_H
#define MODEL_TABLE_INDEX_H

#include "stages/model/table_pages.h"

/*
 * The index of a table, id -> row: linear hashing (Litwin 1980) over segments
 * of 64 KiB. The index takes an id by the lower half of its hash, the tag. Its
 * lowest bits number the segment, one bit more for those that have split in
 * this round; they split in order of number, one after the other while the load
 * of the others goes from 0.75 to 0.85. Inside a segment a slot holds the tag
 * and the row, found by linear probing from the beginning of a cache line that
 * depends on the tag's highest bits, so that nearly every search reads one
 * line. A split reads slots alone, and removal shifts back, so nothing piles
 * up. A tag is a hint: who asks compares the row's id. The first segment comes
 * with the first id.
 *
 *   hash  |            ...             |  line  |  ...  |  number  |
 *                                      |--------- tag (32) --------|
 *
 *   segments [ 0 1 2 ... ] -> segment { slots[8184]: tag, row }
 */

/* How every row begins: what the table knows of it besides its numbers; free:
 * id 0, and last_seen links to the next free row. */
struct row_meta {
    uint64_t id;
    uint32_t sightings;
    uint32_t last_seen; /* event time in s, 0: unknown */
};

#define TABLE_SEGMENT_SLOTS 8184u
#define TABLE_LINE_SLOTS    ((size_t)8) /* of a cache line; divides the slots */

struct table_segment {
    uint32_t used;
    uint32_t unused[15];                 /* slots begin a cache line */
    uint64_t slots[TABLE_SEGMENT_SLOTS]; /* tag << 32 | row, 0: empty */
};

struct table_index {
    struct table_pages segments;
    uint64_t segment_count;
    uint64_t round; /* segments when this round began, a power of two */
    uint64_t used;
};

/* What an index without ids has for a segment; never written. */
extern struct table_segment table_index_none;

/* table_index_init prepares for row_max rows. False: no memory, and nothing
 * to release. */
bool table_index_init(struct table_index *x, uint64_t row_max);

/* table_index_fini frees it; a zeroed struct is fine. */
void table_index_fini(struct table_index *x);

/*
 * table_index_find gives the row of an id, 0 when it has none.
 *
 * hash  table_hash(id)
 * rows  each begins with its struct row_meta, for comparing ids
 */
uint32_t table_index_find(const struct table_index *x, uint64_t hash,
                          uint64_t id, const struct table_pages *rows);

/*
 * table_index_put adds a row (not 0) under a hash that has none. False: no
 * memory, or far more ids of one segment than chance allows; nothing observable
 * changed. Allocates: a segment.
 */
bool table_index_put(struct table_index *x, uint64_t hash, uint32_t row);

/* table_index_remove takes out a row that was put under this hash. */
void table_index_remove(struct table_index *x, uint64_t hash, uint32_t row);

/* table_index_bytes is the memory it holds. */
uint64_t table_index_bytes(const struct table_index *x);

/* table_hash mixes an id so that every bit depends on every bit (the final
 * steps of MurmurHash3; a bijection, so no two ids share a hash). */
static inline uint64_t
table_hash(uint64_t id)
{
    uint64_t h = id + UINT64_C(0x9e3779b97f4a7c15);

    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

/* table_index_home is the slot where probing for a tag begins. */
static inline uint32_t
table_index_home(uint64_t tag)
{
    const uint64_t lines = TABLE_SEGMENT_SLOTS / TABLE_LINE_SLOTS;

    return (uint32_t)((tag * lines) >> 32) * (uint32_t)TABLE_LINE_SLOTS;
}

/* table_index_segment lends the segment that a hash belongs to. */
static inline struct table_segment *
table_index_segment(const struct table_index *x, uint64_t hash)
{
    uint64_t number = (uint32_t)hash & (2 * x->round - 1);

    if (x->segment_count == 0)
        return &table_index_none;
    if (number >= x->segment_count)
        number -= x->round;
    return table_pages_at(&x->segments, number);
}

/* table_index_line lends the cache line where a probe begins. */
static inline const uint64_t *
table_index_line(const struct table_index *x, uint64_t hash)
{
    const struct table_segment *s = table_index_segment(x, hash);

    return &s->slots[table_index_home((uint32_t)hash)];
}

/*
 * table_index_guess gives a row whose tag matches, 0 when none does, reading no
 * row: right but for few ids (0.1 % with 10^7 rows, 1.2 % with 10^8). It reads
 * one line alone.
 *
 * line        table_index_line of this hash; since then the index may have
 *             grown, and then the guess may be 0 where there is a row
 * is_decided  false (and the guess 0): the probe goes on in the next line,
 *             table_index_guess_on
 */
static inline uint32_t
table_index_guess(const uint64_t *line, uint64_t hash, bool *is_decided)
{
    const uint64_t empty = UINT64_C(1) << 32;
    uint64_t tag = hash << 32;
    uint64_t best = UINT64_MAX;

    /* A tag that matches leaves nothing but a row, which is less than empty,
     * and another tag leaves more. One comparison of the whole line, if the
     * compiler does not unroll it before it sees that. */
#pragma GCC unroll 1
    for (size_t i = 0; i < TABLE_LINE_SLOTS; i++) {
        uint64_t rest = line[i] == 0 ? empty : line[i] ^ tag;

        best = rest < best ? rest : best;
    }
    *is_decided = best <= empty;
    return (uint32_t)best & -(uint32_t)(best < empty);
}

/* table_index_guess_on is table_index_guess from the next line on. */
uint32_t table_index_guess_on(const struct table_index *x, uint64_t hash);

#endif
