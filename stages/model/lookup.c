/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids to inputs and back. Entries of one row are chained before it is updated;
 * a row that came once (most, with many ids) is updated straight from the
 * gradient of the inputs, without a copy.
 */
#include "stages/model/lookup.h"

#include "daemon/base/prefetch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NO_ENTRY UINT32_MAX
#define UPDATES  4  /* rows changed at a time */
#define AHEAD    32 /* rows asked of the caches in advance */

enum status
lookup_init(struct lookup *l, size_t batch_max, struct error *err)
{
    size_t n = batch_max * l->ids_max;
    size_t piece = LOOKUP_ROWS * l->ids_max;

    assert(n > 0 && n < UINT32_MAX / 8);
    l->entry_max = n;
    l->slot_bits = 1;
    while (((size_t)1 << l->slot_bits) < 4 * n)
        l->slot_bits++;
    l->probes[0] = calloc(piece, sizeof(*l->probes[0]));
    l->probes[1] = calloc(piece, sizeof(*l->probes[1]));
    l->rows = calloc(n, sizeof(*l->rows));
    l->next = calloc(n, sizeof(*l->next));
    l->first = calloc(n, sizeof(*l->first));
    l->starts = calloc(batch_max + 1, sizeof(*l->starts));
    l->owners = calloc(n, sizeof(*l->owners));
    l->slots = calloc((size_t)1 << l->slot_bits, sizeof(*l->slots));
    l->sums = calloc(UPDATES * (l->width + l->linear), sizeof(*l->sums));
    if (l->probes[0] == NULL || l->probes[1] == NULL || l->rows == NULL ||
        l->next == NULL || l->first == NULL || l->starts == NULL ||
        l->owners == NULL || l->slots == NULL || l->sums == NULL)
        return error_set(err, STATUS_NOMEM, "model: lookup of %zu ids", n);
    return STATUS_OK;
}

void
lookup_fini(struct lookup *l)
{
    free(l->sums);
    free(l->slots);
    free(l->owners);
    free(l->starts);
    free(l->first);
    free(l->next);
    free(l->rows);
    free(l->probes[1]);
    free(l->probes[0]);
    table_free(&l->table);
    memset(l, 0, sizeof(*l));
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
copy(float *restrict to, const float *restrict from, size_t n)
{
    if (n == 16)
        memcpy(to, from, 16 * sizeof(*to));
    else if (n == 4)
        memcpy(to, from, 4 * sizeof(*to));
    else
        memcpy(to, from, n * sizeof(*to));
}

static void
add_scaled(float *restrict to, const float *restrict from, float scale,
           size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += scale * from[i];
}

static void
gather_one(struct lookup *l, const struct piece *p, struct matrix x)
{
    for (size_t r = p->first; r < p->end; r++) {
        float *row = p->probes[r - p->first].payload;
        float *to = matrix_row(x, r);

        l->rows[r] = row;
        copy(to + l->offset, row, l->width);
        if (l->linear > 0)
            copy(to + l->linear_offset, row + l->width, l->linear);
    }
    l->entry_count = p->end;
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

/* empty is the payload that an empty bag takes, of row 0. */
static void
gather_bags(struct lookup *l, const struct columns *c, const struct piece *p,
            float *empty, struct matrix x)
{
    const uint32_t *offsets = c->features[l->column].offsets;
    const struct table_probe *probe = p->probes;
    size_t entry = p->first == 0 ? 0 : l->starts[p->first];

    for (size_t r = p->first; r < p->end; r++) {
        size_t n = offsets[r + 1] - offsets[r];

        assert(entry + n + (n == 0) <= l->entry_max);
        l->starts[r] = (uint32_t)entry;
        if (n == 0)
            l->rows[entry] = empty;
        for (size_t i = 0; i < n; i++)
            l->rows[entry + i] = (probe++)->payload;
        for (size_t i = 0; i < n + (n == 0); i++)
            l->owners[entry++] = (uint32_t)r;
        l->starts[r + 1] = (uint32_t)entry;
        gather_mean(l, r, matrix_row(x, r) + l->offset,
                    matrix_row(x, r) + l->linear_offset);
    }
    l->entry_count = entry;
}

void
lookup_ask(struct lookup *l, const struct columns *c, size_t piece)
{
    struct piece p = find_piece(l, c, piece);

    table_ask(l->table, p.ids, p.id_count, p.probes);
}

void
lookup_aim(struct lookup *l, const struct columns *c, size_t piece)
{
    struct piece p = find_piece(l, c, piece);

    table_aim(l->table, p.probes, p.id_count);
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

/* Counts or only finds ids. */
static void
look_up(struct lookup *l, const struct columns *c, const struct piece *p,
        const int64_t *now_s)
{
    size_t real;

    if (now_s == NULL) {
        table_find(l->table, p->probes, p->id_count);
        return;
    }
    real = real_ids(l, c, p);
    table_see(l->table, p->probes, real, *now_s);
    table_touch(l->table, p->probes + real, p->id_count - real);
}

/* The payload of row 0, which an empty bag takes. */
static float *
empty_bag(struct lookup *l, bool is_changed)
{
    const uint64_t missing = ID_MISSING;
    struct table_probe empty;

    table_ask(l->table, &missing, 1, &empty);
    table_aim(l->table, &empty, 1);
    if (is_changed)
        table_touch(l->table, &empty, 1);
    else
        table_find(l->table, &empty, 1);
    return empty.payload;
}

static void
look_up_piece(struct lookup *l, const struct columns *c, size_t piece,
              const int64_t *now_s, struct matrix x)
{
    struct piece p = find_piece(l, c, piece);

    assert(x.rows == c->row_count && l->offset + l->width <= x.columns);
    assert(l->linear_offset + l->linear <= x.columns);
    if (p.end == p.first)
        return;
    look_up(l, c, &p, now_s);
    if (l->kind != FEATURE_BAG) {
        gather_one(l, &p, x);
        return;
    }
    gather_bags(l, c, &p, empty_bag(l, now_s != NULL), x);
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

/*
 * Chains the entries of each row, in order, and lists the first of each; gives
 * their number. A slot of the hash holds the last entry of a row so far.
 */
static size_t
chain_entries(struct lookup *l)
{
    uint32_t mask = (1U << l->slot_bits) - 1U;
    size_t count = 0;

    memset(l->slots, 0xff, sizeof(*l->slots) << l->slot_bits);
    for (uint32_t e = 0; e < l->entry_count; e++) {
        uint64_t hash = (uintptr_t)l->rows[e] * UINT64_C(0x9E3779B97F4A7C15);
        uint32_t at = (uint32_t)(hash >> (64U - l->slot_bits));
        uint32_t last = l->slots[at];

        while (last != NO_ENTRY && l->rows[last] != l->rows[e]) {
            at = (at + 1U) & mask;
            last = l->slots[at];
        }
        l->next[e] = NO_ENTRY;
        l->slots[at] = e;
        if (last == NO_ENTRY)
            l->first[count++] = e;
        else
            l->next[last] = e;
    }
    return count;
}

/* Sums into dx's own floats of entry e, which leads a row, and lends them. */
static const float *
sum_in_place(const struct lookup *l, uint32_t e, struct matrix dx)
{
    float *g = matrix_row(dx, e) + l->offset;

    for (e = l->next[e]; e != NO_ENTRY; e = l->next[e])
        add_scaled(g, matrix_row(dx, e) + l->offset, 1.0F, l->width);
    return g;
}

/* The same into sum (D + L), for bags, and where there are linear weights. */
static const float *
sum_apart(const struct lookup *l, uint32_t e, struct matrix dx,
          struct matrix dz, float *sum)
{
    bool is_bag = l->kind == FEATURE_BAG;

    memset(sum, 0, (l->width + l->linear) * sizeof(*sum));
    for (; e != NO_ENTRY; e = l->next[e]) {
        size_t r = is_bag ? l->owners[e] : e;
        float scale = 1.0F;

        if (is_bag)
            scale = 1.0F / (float)(l->starts[r + 1] - l->starts[r]);
        add_scaled(sum, matrix_row(dx, r) + l->offset, scale, l->width);
        add_scaled(sum + l->width, matrix_row(dz, r), scale, l->linear);
    }
    return sum;
}

/* Asks the caches for the rows of n entries, which are about to change. */
static void
ask_rows(const struct lookup *l, const uint32_t *entries, size_t n,
         size_t bytes)
{
    for (size_t i = 0; i < n; i++)
        prefetch_bytes(l->rows[entries[i]], bytes);
}

void
lookup_learn(struct lookup *l, struct matrix dx, struct matrix dz,
             const struct optimizer *o, const struct pace *p)
{
    bool is_plain = l->kind != FEATURE_BAG && l->linear == 0;
    size_t width = l->width + l->linear;
    size_t bytes =
        (width + optimizer_state_width(o->kind, width)) * sizeof(float);
    size_t count = chain_entries(l);
    struct row_update updates[UPDATES];

    ask_rows(l, l->first, at_most(count, AHEAD), bytes);
    for (size_t u = 0; u < count; u += UPDATES) {
        size_t n = at_most(count - u, UPDATES);
        size_t later = at_most(u + AHEAD, count);
        const uint32_t *first = l->first + u;

        ask_rows(l, l->first + later, at_most(count - later, UPDATES), bytes);
        for (size_t i = 0; i < n; i++) {
            updates[i].row = l->rows[first[i]];
            updates[i].g =
                is_plain ? sum_in_place(l, first[i], dx)
                         : sum_apart(l, first[i], dx, dz, l->sums + i * width);
        }
        optimizer_apply_rows(o, p, updates, n, width);
    }
}
