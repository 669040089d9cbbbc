/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear hashing of ids to rows.
 */
#include "stages/model/table_index.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <string.h>

struct table_segment table_index_none;

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

/* How many ids so many segments take before the next one splits: from 0.75 to
 * 0.85 of what those of this round could hold. */
static uint64_t
count_room(uint64_t round, uint64_t segment_count)
{
    return (15 * round + 2 * (segment_count - round)) * TABLE_SEGMENT_SLOTS /
           20;
}

static struct table_segment *
add_segment(struct table_index *x)
{
    struct table_segment *s;

    if (x->segment_count == x->segments.item_max ||
        !table_pages_reserve(&x->segments, x->segment_count))
        return NULL;
    s = table_pages_at(&x->segments, x->segment_count);
    memset(s, 0, sizeof(*s));
    x->segment_count++;
    return s;
}

/* Splits the first segment of this round that has not. Without memory for that
 * the others only fill up. */
static bool
split_segment(struct table_index *x)
{
    struct table_segment *s =
        table_pages_at(&x->segments, x->segment_count - x->round);
    struct table_segment *twin = add_segment(x);
    uint64_t slots[TABLE_SEGMENT_SLOTS];
    size_t count = 0;

    if (twin == NULL)
        return false;
    for (size_t i = 0; i < COUNT(s->slots); i++) {
        slots[count] = s->slots[i];
        count += s->slots[i] != 0;
        s->slots[i] = 0;
    }
    s->used = 0;
    for (size_t i = 0; i < count; i++)
        put_slot((slots[i] >> 32 & x->round) != 0 ? twin : s, slots[i]);
    if (x->segment_count == 2 * x->round)
        x->round = x->segment_count;
    return true;
}

bool
table_index_init(struct table_index *x, uint64_t row_max)
{
    uint64_t segment_max = 1;

    assert(row_max > 0);
    memset(x, 0, sizeof(*x));
    x->round = 1;
    while (count_room(segment_max, segment_max) < row_max)
        segment_max *= 2;
    return table_pages_init(&x->segments, sizeof(struct table_segment),
                            segment_max);
}

void
table_index_fini(struct table_index *x)
{
    table_pages_fini(&x->segments);
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

bool
table_index_put(struct table_index *x, uint64_t hash, uint32_t row)
{
    struct table_segment *s;

    assert(row != 0);
    if (x->segment_count == 0 && add_segment(x) == NULL)
        return false;
    while (x->used >= count_room(x->round, x->segment_count) &&
           split_segment(x))
        ;
    s = table_index_segment(x, hash);
    /* Probing ends at an empty slot, so one always stays. */
    if (s->used + 1 >= TABLE_SEGMENT_SLOTS)
        return false;
    put_slot(s, hash << 32 | row);
    x->used++;
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
    x->used--;
}

uint64_t
table_index_bytes(const struct table_index *x)
{
    return table_pages_bytes(&x->segments);
}
