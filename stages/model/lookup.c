/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids to inputs and back. Entries of one id are chained, and its row is updated
 * when the last of them has its gradient; a row that came once (most, with many
 * ids) is updated straight from the gradient of the inputs, without a copy.
 */
#include "stages/model/lookup.h"

#include "daemon/base/hash.h"
#include "daemon/base/prefetch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NO_ENTRY UINT32_MAX
#define UPDATES  4  /* rows changed at a time */
#define AHEAD    32 /* rows asked of the caches in advance */

void
lookup_take_unknown(struct lookup *l)
{
    const uint64_t missing = ID_MISSING;
    struct table_probe probe;

    table_ask(l->table, &missing, 1, &probe);
    table_aim(l->table, &probe, 1, true);
    table_touch(l->table, &probe, 1, NULL);
    l->unknown = probe.payload;
}

void
lookup_carve(struct lookup *l, size_t batch_max, struct carver *c)
{
    bool is_bag = l->kind == FEATURE_BAG;
    size_t n = batch_max * l->ids_max;
    size_t piece = LOOKUP_ROWS * l->ids_max;

    assert(n > 0 && n < UINT32_MAX / 8);
    l->entry_max = n;
    l->slot_bits = 1;
    while (((size_t)1 << l->slot_bits) < 4 * n)
        l->slot_bits++;
    l->probes[0] = carve(c, piece, sizeof(*l->probes[0]));
    l->probes[1] = carve(c, piece, sizeof(*l->probes[1]));
    l->rows = carve(c, n, sizeof(*l->rows));
    l->next = carve(c, n, sizeof(*l->next));
    l->heads = carve(c, n, sizeof(*l->heads));
    l->slots = carve(c, (size_t)1 << l->slot_bits, sizeof(*l->slots));
    l->sums = carve(c, UPDATES * (l->width + l->linear), sizeof(*l->sums));
    if (is_bag) {
        l->ids = carve(c, n, sizeof(*l->ids));
        l->starts = carve(c, batch_max + 1, sizeof(*l->starts));
        l->owners = carve(c, n, sizeof(*l->owners));
    }
}

static size_t
at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

/* A piece of a batch: its rows, and their ids as the table takes them. */
struct piece {
    size_t first;
    size_t end;
    const uint64_t *ids;
    size_t id_count;
    struct table_probe *probes;
};

static struct piece
find_piece(const struct lookup *l, const struct columns *c, size_t number)
{
    const struct column *f = &c->features[l->column];
    struct piece p = {.first = number * LOOKUP_ROWS,
                      .probes = l->probes[number % 2]};

    assert(f->kind == l->kind);
    if (p.first >= c->row_count)
        return (struct piece){0};
    p.end = p.first + at_most(c->row_count - p.first, LOOKUP_ROWS);
    if (l->kind == FEATURE_BAG) {
        p.ids = f->ids + f->offsets[p.first];
        p.id_count = f->offsets[p.end] - f->offsets[p.first];
        assert(p.id_count <= LOOKUP_ROWS * l->ids_max);
    } else {
        p.ids = f->ids + p.first;
        p.id_count = p.end - p.first;
    }
    return p;
}

static void
add_scaled(float *restrict to, const float *restrict from, float scale,
           size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += scale * from[i];
}

/* The linear weights; the embeddings were copied when they were looked up. */
static void
gather_one(struct lookup *l, const struct piece *p, struct matrix x)
{
    for (size_t r = p->first; r < p->end; r++) {
        float *row = p->probes[r - p->first].payload;

        l->rows[r] = row;
        for (size_t i = 0; i < l->linear; i++)
            matrix_row(x, r)[l->linear_offset + i] = row[l->width + i];
    }
}

/* The mean of a row's entries. */
static void
gather_mean(const struct lookup *l, size_t r, float *to, float *linear)
{
    size_t start = l->starts[r];
    size_t end = l->starts[r + 1];
    float scale = 1.0F / (float)(end - start);

    memset(to, 0, l->width * sizeof(*to));
    memset(linear, 0, l->linear * sizeof(*linear));
    for (size_t e = start; e < end; e++) {
        add_scaled(to, l->rows[e], scale, l->width);
        add_scaled(linear, l->rows[e] + l->width, scale, l->linear);
    }
}

/* An empty bag takes row 0. */
static void
gather_bags(struct lookup *l, const struct columns *c, const struct piece *p,
            struct matrix x)
{
    const uint32_t *offsets = c->features[l->column].offsets;
    const struct table_probe *probe = p->probes;
    size_t entry = p->first == 0 ? 0 : l->starts[p->first];

    for (size_t r = p->first; r < p->end; r++) {
        size_t n = offsets[r + 1] - offsets[r];

        assert(entry + n + (n == 0) <= l->entry_max);
        l->starts[r] = (uint32_t)entry;
        if (n == 0)
            l->rows[entry] = l->unknown;
        for (size_t i = 0; i < n; i++)
            l->rows[entry + i] = (probe++)->payload;
        for (size_t i = 0; i < n + (n == 0); i++)
            l->owners[entry++] = (uint32_t)r;
        l->starts[r + 1] = (uint32_t)entry;
        gather_mean(l, r, matrix_row(x, r) + l->offset,
                    matrix_row(x, r) + l->linear_offset);
    }
}

void
lookup_ask(struct lookup *l, const struct columns *c, size_t piece)
{
    struct piece p = find_piece(l, c, piece);

    table_ask(l->table, p.ids, p.id_count, p.probes);
}

void
lookup_aim(struct lookup *l, const struct columns *c, size_t piece,
           bool learns_soon)
{
    struct piece p = find_piece(l, c, piece);

    table_aim(l->table, p.probes, p.id_count, learns_soon);
}

/* How many of a piece's ids are of rows that happened. */
static size_t
real_ids(const struct lookup *l, const struct columns *c, const struct piece *p)
{
    size_t end = at_most(p->end, columns_real(c));
    const uint32_t *offsets = c->features[l->column].offsets;

    if (end <= p->first)
        return 0;
    return l->kind == FEATURE_BAG ? offsets[end] - offsets[p->first]
                                  : end - p->first;
}

/* Counts or only finds ids; to has a row for each, or is NULL. */
static void
look_up(struct lookup *l, const struct columns *c, const struct piece *p,
        const int64_t *now_s, const struct matrix *to)
{
    size_t real;
    size_t rest;

    if (now_s == NULL) {
        table_find(l->table, p->probes, p->id_count, to);
        return;
    }
    real = real_ids(l, c, p);
    rest = p->id_count - real;
    table_see(l->table, p->probes, real, *now_s, to);
    if (rest > 0) {
        struct matrix behind = {0};

        if (to != NULL)
            behind = matrix_rows(*to, real, rest);
        table_touch(l->table, p->probes + real, rest,
                    to == NULL ? NULL : &behind);
    }
}

static void
look_up_piece(struct lookup *l, const struct columns *c, size_t piece,
              const int64_t *now_s, struct matrix x)
{
    struct piece p = find_piece(l, c, piece);
    struct matrix to = {.data = x.data + p.first * x.stride + l->offset,
                        .rows = p.id_count,
                        .columns = l->width,
                        .stride = x.stride};

    assert(x.rows == c->row_count && l->offset + l->width <= x.columns);
    assert(l->linear_offset + l->linear <= x.columns);
    if (p.end == p.first)
        return;
    if (l->kind != FEATURE_BAG) {
        look_up(l, c, &p, now_s, &to);
        gather_one(l, &p, x);
        return;
    }
    look_up(l, c, &p, now_s, NULL);
    if (now_s != NULL)
        lookup_take_unknown(l);
    gather_bags(l, c, &p, x);
}

void
lookup_find(struct lookup *l, const struct columns *c, size_t piece,
            struct matrix x)
{
    look_up_piece(l, c, piece, NULL, x);
}

void
lookup_see(struct lookup *l, const struct columns *c, size_t piece,
           int64_t now_s, struct matrix x)
{
    look_up_piece(l, c, piece, &now_s, x);
}

/* The ids of all entries of a batch. */
static const uint64_t *
list_ids(struct lookup *l, const struct columns *c, size_t *count)
{
    const struct column *f = &c->features[l->column];
    size_t entry = 0;

    *count = c->row_count;
    if (l->kind != FEATURE_BAG)
        return f->ids;
    for (size_t r = 0; r < c->row_count; r++) {
        size_t n = f->offsets[r + 1] - f->offsets[r];

        assert(entry + n + (n == 0) <= l->entry_max);
        if (n == 0)
            l->ids[entry++] = ID_MISSING;
        memcpy(l->ids + entry, f->ids + f->offsets[r], n * sizeof(*l->ids));
        entry += n;
    }
    *count = entry;
    return l->ids;
}

void
lookup_chain(struct lookup *l, const struct columns *c)
{
    uint32_t mask = (1U << l->slot_bits) - 1U;
    size_t count;
    const uint64_t *ids = list_ids(l, c, &count);
    /* By where memory happens to lie, so that nobody can choose ids that meet
     * in one slot (multiply-shift: Dietzfelbinger 1997). */
    uint64_t odd = hash_mix((uintptr_t)l->slots) | 1U;

    /* A slot holds the last entry of an id so far. */
    memset(l->slots, 0xff, sizeof(*l->slots) << l->slot_bits);
    for (uint32_t e = 0; e < count; e++) {
        uint64_t hash = ids[e] * odd;
        uint32_t at = (uint32_t)(hash >> (64U - l->slot_bits));
        uint32_t last = l->slots[at];

        while (last != NO_ENTRY && ids[last] != ids[e]) {
            at = (at + 1U) & mask;
            last = l->slots[at];
        }
        l->next[e] = NO_ENTRY;
        l->slots[at] = e;
        l->heads[e] = e;
        if (last != NO_ENTRY) {
            l->heads[e] = l->heads[last];
            l->next[last] = e;
        }
    }
}

/* Adds the gradient of entry e to a sum (D + L). */
static void
add_entry(const struct lookup *l, uint32_t e, struct matrix dx,
          struct matrix dz, float *sum)
{
    bool is_bag = l->kind == FEATURE_BAG;
    size_t r = is_bag ? l->owners[e] : e;
    float scale = 1.0F;

    if (is_bag)
        scale = 1.0F / (float)(l->starts[r + 1] - l->starts[r]);
    add_scaled(sum, matrix_row(dx, r) + l->offset, scale, l->width);
    add_scaled(sum + l->width, matrix_row(dz, r), scale, l->linear);
}

/*
 * The gradient of the row that an id has got by its last entry. Entries from
 * before it was admitted are row 0's. Alone and without linear weights it is
 * summed in dx's own floats, which are lent, else in sum (D + L).
 */
static const float *
sum_chain(const struct lookup *l, uint32_t last, struct matrix dx,
          struct matrix dz, float *sum)
{
    uint32_t e = l->heads[last];
    float *g;

    while (l->rows[e] != l->rows[last])
        e = l->next[e];
    if (l->kind == FEATURE_BAG || l->linear > 0) {
        memset(sum, 0, (l->width + l->linear) * sizeof(*sum));
        for (; e != NO_ENTRY; e = l->next[e])
            add_entry(l, e, dx, dz, sum);
        return sum;
    }
    g = matrix_row(dx, e) + l->offset;
    for (e = l->next[e]; e != NO_ENTRY; e = l->next[e])
        add_scaled(g, matrix_row(dx, e) + l->offset, 1.0F, l->width);
    return g;
}

/* Row 0 learns from all ids that have none, if there are such. */
static void
learn_unknown(struct lookup *l, size_t entry_count, struct matrix dx,
              struct matrix dz, const struct optimizer *o, const struct pace *p)
{
    size_t width = l->width + l->linear;
    struct row_update update = {l->unknown, l->sums};
    size_t updates = 0;

    memset(l->sums, 0, width * sizeof(*l->sums));
    for (uint32_t e = 0; e < entry_count; e++) {
        if (l->rows[e] != l->unknown)
            continue;
        add_entry(l, e, dx, dz, l->sums);
        updates = 1;
    }
    optimizer_apply_rows(o, p, &update, updates, width);
}

void
lookup_learn(struct lookup *l, const struct columns *c, size_t first,
             size_t end, struct matrix dx, struct matrix dz,
             const struct optimizer *o, const struct pace *p)
{
    bool is_bag = l->kind == FEATURE_BAG;
    size_t width = l->width + l->linear;
    size_t bytes =
        (width + optimizer_state_width(o->kind, width)) * sizeof(float);
    size_t begin = is_bag ? l->starts[first] : first;
    size_t stop = is_bag ? l->starts[end] : end;
    struct row_update updates[UPDATES];
    size_t n = 0;

    for (size_t e = begin; e < at_most(begin + AHEAD, stop); e++)
        prefetch_bytes(l->rows[e], bytes);
    for (size_t e = begin; e < stop; e++) {
        if (e + AHEAD < stop)
            prefetch_bytes(l->rows[e + AHEAD], bytes);
        if (l->next[e] != NO_ENTRY || l->rows[e] == l->unknown)
            continue;
        updates[n].row = l->rows[e];
        updates[n].g = sum_chain(l, (uint32_t)e, dx, dz, l->sums + n * width);
        if (++n == UPDATES) {
            optimizer_apply_rows(o, p, updates, n, width);
            n = 0;
        }
    }
    optimizer_apply_rows(o, p, updates, n, width);
    if (end == c->row_count)
        learn_unknown(l, stop, dx, dz, o, p);
}
