/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extendible hashing of ids to rows.
 */
#include "stages/model/table_index.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SPLIT_LEAST   (TABLE_SEGMENT_SLOTS * 3 / 4)
#define SPLIT_SPREAD  (TABLE_SEGMENT_SLOTS / 10)
#define PREFETCH_ROWS 24u /* rows whose ids a split asks for ahead */

/* What an index without ids has for a segment; never written. */
static struct table_segment no_ids;

static uint32_t
next_slot(uint32_t at)
{
    return at + 1 == TABLE_SEGMENT_SLOTS ? 0 : at + 1;
}

static void
put_slot(struct table_segment *s, uint64_t slot)
{
    uint32_t at = table_index_home(slot >> 32);

    assert(s->used + 1 < TABLE_SEGMENT_SLOTS);
    while (s->slots[at] != 0)
        at = next_slot(at);
    s->slots[at] = slot;
    s->used++;
}

static uint64_t
hash_row(const struct table_pages *rows, uint32_t row)
{
    const struct row_meta *m = table_pages_at(rows, row);

    return table_hash(m->id);
}

/* Spread evenly over the segments (a golden-ratio sequence): their ids are so
 * many everywhere that with one load for all, all would split in a moment. */
static uint32_t
choose_split(uint64_t number)
{
    uint32_t place = (uint32_t)number * UINT32_C(0x9e3779b9);

    return SPLIT_LEAST + (uint32_t)((uint64_t)place * SPLIT_SPREAD >> 32);
}

static struct table_segment *
add_segment(struct table_index *x, uint32_t depth)
{
    struct table_segment *s;

    if (x->segment_count == x->segments.item_max ||
        !table_pages_reserve(&x->segments, x->segment_count))
        return NULL;
    s = table_pages_at(&x->segments, x->segment_count);
    memset(s, 0, sizeof(*s));
    s->depth = depth;
    s->split_at = choose_split(x->segment_count++);
    return s;
}

static bool
double_directory(struct table_index *x)
{
    size_t count = (size_t)1 << x->depth;
    struct table_segment **wide;

    wide = malloc(2 * count * sizeof(struct table_segment *));
    if (wide == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        wide[2 * i] = x->directory[i];
        wide[2 * i + 1] = x->directory[i];
    }
    free(x->directory);
    x->directory = wide;
    x->depth++;
    return true;
}

/* Points the upper half of the entries that share a segment to its new twin. */
static void
link_twin(struct table_index *x, uint64_t hash, struct table_segment *twin)
{
    unsigned depth = twin->depth;
    size_t span = (size_t)1 << (x->depth - depth);
    size_t first = (size_t)((hash >> 1) >> (63 - depth) | 1) * span;

    for (size_t i = 0; i < span; i++)
        x->directory[first + i] = twin;
}

/* Splits the segment of this hash by its rows' next bit. */
static bool
split_segment(struct table_index *x, uint64_t hash,
              const struct table_pages *rows)
{
    struct table_segment *s = table_index_segment(x, hash);
    struct table_segment *twin;
    uint64_t slots[TABLE_SEGMENT_SLOTS];
    size_t count = 0;

    if (s->depth == x->depth_max)
        return false;
    if (s->depth == x->depth && !double_directory(x))
        return false;
    twin = add_segment(x, s->depth + 1);
    if (twin == NULL)
        return false;
    for (size_t i = 0; i < COUNT(s->slots); i++) {
        slots[count] = s->slots[i];
        count += s->slots[i] != 0;
        s->slots[i] = 0;
    }
    s->used = 0;
    s->depth++;
    for (size_t i = 0; i < count; i++) {
        size_t ahead = i + PREFETCH_ROWS < count ? i + PREFETCH_ROWS : i;
        uint64_t h = hash_row(rows, (uint32_t)slots[i]);

        __builtin_prefetch(table_pages_at(rows, (uint32_t)slots[ahead]));
        put_slot((h >> (64 - s->depth) & 1) != 0 ? twin : s, slots[i]);
    }
    link_twin(x, hash, twin);
    return true;
}

bool
table_index_init(struct table_index *x, uint64_t row_max)
{
    uint64_t segment_max;

    assert(row_max > 0);
    /* Three levels more than an even spread at a quarter of the load would
     * need: hashes of honest ids never come near it. */
    x->depth_max = 3;
    while (row_max >> x->depth_max > TABLE_SEGMENT_SLOTS / 32)
        x->depth_max++;
    x->depth = 0;
    x->segment_count = 0;
    segment_max = UINT64_C(1) << x->depth_max;
    x->directory = malloc(sizeof(struct table_segment *));
    if (x->directory == NULL)
        return false;
    if (!table_pages_init(&x->segments, sizeof(struct table_segment),
                          segment_max))
        goto fail;
    x->directory[0] = &no_ids;
    return true;

fail:
    table_index_fini(x);
    return false;
}

void
table_index_fini(struct table_index *x)
{
    table_pages_fini(&x->segments);
    free(x->directory);
    x->directory = NULL;
}

uint32_t
table_index_find(const struct table_index *x, uint64_t hash, uint64_t id,
                 const struct table_pages *rows)
{
    const struct table_segment *s = table_index_segment(x, hash);
    uint32_t at = table_index_home((uint32_t)hash);

    for (; s->slots[at] != 0; at = next_slot(at)) {
        const struct row_meta *m;

        if (s->slots[at] >> 32 != (uint32_t)hash)
            continue;
        m = table_pages_at(rows, (uint32_t)s->slots[at]);
        if (m->id == id)
            return (uint32_t)s->slots[at];
    }
    return 0;
}

uint32_t
table_index_guess_on(const struct table_index *x, uint64_t hash)
{
    const struct table_segment *s = table_index_segment(x, hash);
    size_t at = table_index_home((uint32_t)hash);
    bool is_decided = false;
    uint32_t row = 0;

    /* A segment has an empty slot, so this ends. */
    while (!is_decided) {
        at = (at + TABLE_LINE_SLOTS) % TABLE_SEGMENT_SLOTS;
        row = table_index_guess(&s->slots[at], hash, &is_decided);
    }
    return row;
}

static bool
add_first_segment(struct table_index *x)
{
    struct table_segment *s = add_segment(x, 0);

    if (s != NULL)
        x->directory[0] = s;
    return s != NULL;
}

bool
table_index_put(struct table_index *x, uint64_t hash, uint32_t row,
                const struct table_pages *rows)
{
    struct table_segment *s;

    assert(row != 0);
    if (x->segment_count == 0 && !add_first_segment(x))
        return false;
    s = table_index_segment(x, hash);
    while (s->used >= s->split_at && split_segment(x, hash, rows))
        s = table_index_segment(x, hash);
    /* Probing ends at an empty slot, so one always stays. */
    if (s->used + 1 >= TABLE_SEGMENT_SLOTS)
        return false;
    put_slot(s, hash << 32 | row);
    return true;
}

void
table_index_remove(struct table_index *x, uint64_t hash, uint32_t row)
{
    struct table_segment *s = table_index_segment(x, hash);
    uint32_t hole = table_index_home((uint32_t)hash);
    uint32_t at;

    while (s->slots[hole] != (hash << 32 | row)) {
        assert(s->slots[hole] != 0);
        hole = next_slot(hole);
    }
    /* A later slot fills the hole unless its home lies behind the hole. */
    for (at = next_slot(hole); s->slots[at] != 0; at = next_slot(at)) {
        uint32_t home = table_index_home(s->slots[at] >> 32);
        uint32_t from_home =
            (at + TABLE_SEGMENT_SLOTS - home) % TABLE_SEGMENT_SLOTS;
        uint32_t from_hole =
            (at + TABLE_SEGMENT_SLOTS - hole) % TABLE_SEGMENT_SLOTS;

        if (from_home < from_hole)
            continue;
        s->slots[hole] = s->slots[at];
        hole = at;
    }
    s->slots[hole] = 0;
    s->used--;
}

uint64_t
table_index_bytes(const struct table_index *x)
{
    return table_pages_bytes(&x->segments) +
           ((uint64_t)sizeof(struct table_segment *) << x->depth);
}
