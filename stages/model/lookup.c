/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids to inputs and back. Entries of one row are chained while the rows are
 * looked up, in a hash of row numbers that a stamp empties; a row that came
 * once (most, with many ids) is then updated straight from the gradient of the
 * inputs, without a copy.
 */
#include "stages/model/lookup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define END_OF_CHAIN UINT32_MAX
#define AHEAD        16  /* rows asked of the caches in advance */
#define BLOCK        256 /* rows looked up, then copied */

enum status
lookup_init(struct lookup *l, size_t batch_max, struct error *err)
{
    size_t n = batch_max * l->ids_max;

    assert(n > 0 && n < UINT32_MAX / 4);
    l->entry_max = n;
    l->slot_bits = 1;
    while (((size_t)1 << l->slot_bits) < 2 * n)
        l->slot_bits++;
    l->rows = calloc(n, sizeof(*l->rows));
    l->next = calloc(n, sizeof(*l->next));
    l->first = calloc(n, sizeof(*l->first));
    l->last = calloc(n, sizeof(*l->last));
    l->starts = calloc(batch_max + 1, sizeof(*l->starts));
    l->owners = calloc(n, sizeof(*l->owners));
    l->slots = calloc((size_t)1 << l->slot_bits, sizeof(*l->slots));
    if (l->rows == NULL || l->next == NULL || l->first == NULL ||
        l->last == NULL || l->starts == NULL || l->owners == NULL ||
        l->slots == NULL)
        return error_set(err, STATUS_NOMEM, "model: lookup of %zu ids", n);
    return STATUS_OK;
}

void
lookup_fini(struct lookup *l)
{
    free(l->slots);
    free(l->owners);
    free(l->starts);
    free(l->last);
    free(l->first);
    free(l->next);
    free(l->rows);
    table_free(&l->table);
    memset(l, 0, sizeof(*l));
}

/* The ids of a batch as the table takes them, and how many. */
static const uint64_t *
batch_ids(const struct lookup *l, const struct columns *c, size_t *n)
{
    const struct column *f = &c->features[l->column];

    assert(f->kind == l->kind);
    *n = c->row_count;
    if (l->kind == FEATURE_BAG) {
        *n = f->offsets[c->row_count] - f->offsets[0];
        assert(*n <= l->entry_max);
        return f->ids + f->offsets[0];
    }
    return f->ids;
}

/* Spreads the rows of a bag's ids over entries, from the back, since an empty
 * bag takes an entry that has no id. */
static void
spread_bags(struct lookup *l, const struct columns *c)
{
    const uint32_t *offsets = c->features[l->column].offsets;
    size_t entry = 0;
    size_t from;

    for (size_t r = 0; r < c->row_count; r++) {
        size_t n = offsets[r + 1] - offsets[r];

        l->starts[r] = (uint32_t)entry;
        entry += n == 0 ? 1 : n;
    }
    assert(entry <= l->entry_max);
    l->starts[c->row_count] = (uint32_t)entry;
    from = offsets[c->row_count] - offsets[0];
    for (size_t r = c->row_count; r-- > 0;) {
        size_t n = offsets[r + 1] - offsets[r];
        size_t to = l->starts[r];

        from -= n;
        memmove(l->rows + to, l->rows + from, n * sizeof(*l->rows));
        if (n == 0)
            l->rows[to] = 0;
        for (size_t e = to; e < l->starts[r + 1]; e++)
            l->owners[e] = (uint32_t)r;
    }
    l->entry_count = entry;
}

static void
next_stamp(struct lookup *l)
{
    l->stamp++;
    if (l->stamp == 0) {
        memset(l->slots, 0, sizeof(*l->slots) << l->slot_bits);
        l->stamp = 1;
    }
}

static void
chain_entries(struct lookup *l)
{
    uint32_t mask = (1U << l->slot_bits) - 1U;
    uint32_t distinct = 0;

    next_stamp(l);
    for (uint32_t e = 0; e < l->entry_count; e++) {
        uint32_t row = l->rows[e];
        uint32_t at = (row * 0x9E3779B1U) >> (32U - l->slot_bits);
        struct lookup_slot *s = &l->slots[at];

        while (s->stamp == l->stamp && s->row != row) {
            at = (at + 1U) & mask;
            s = &l->slots[at];
        }
        l->next[e] = END_OF_CHAIN;
        if (s->stamp == l->stamp) {
            l->next[l->last[s->distinct]] = e;
            l->last[s->distinct] = e;
            continue;
        }
        *s = (struct lookup_slot){l->stamp, row, distinct};
        l->first[distinct] = e;
        l->last[distinct] = e;
        distinct++;
    }
    l->distinct_count = distinct;
}

static size_t
at_most(size_t n, size_t most)
{
    return n < most ? n : most;
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
gather_one(const struct lookup *l, struct matrix x, size_t first, size_t end)
{
    for (size_t r = first; r < end; r++) {
        const float *row = table_row(l->table, l->rows[r]);
        float *to = matrix_row(x, r);

        copy(to + l->offset, row, l->width);
        if (l->linear > 0)
            copy(to + l->linear_offset, row + l->width, l->linear);
    }
}

static void
gather_bag(const struct lookup *l, struct matrix x)
{
    for (size_t r = 0; r < x.rows; r++) {
        size_t start = l->starts[r];
        size_t end = l->starts[r + 1];
        float scale = 1.0F / (float)(end - start);
        float *to = matrix_row(x, r) + l->offset;
        float *linear = matrix_row(x, r) + l->linear_offset;

        memset(to, 0, l->width * sizeof(*to));
        memset(linear, 0, l->linear * sizeof(*linear));
        for (size_t e = start; e < end; e++) {
            const float *row = table_row(l->table, l->rows[e]);

            add_scaled(to, row, scale, l->width);
            add_scaled(linear, row + l->width, scale, l->linear);
        }
    }
}

/* Counts or only finds ids, and writes their rows. */
static void
look_up(struct lookup *l, const uint64_t *ids, size_t n, const int64_t *now_s,
        uint32_t *rows)
{
    if (now_s != NULL)
        table_see(l->table, ids, n, *now_s, rows);
    else
        table_find(l->table, ids, n, rows);
}

/* Rows and inputs of a batch. Inputs are copied a block at a time, while the
 * translations of the rows' addresses are still at hand. */
static void
look_up_batch(struct lookup *l, const struct columns *c, const int64_t *now_s,
              struct matrix x)
{
    size_t n;
    const uint64_t *ids = batch_ids(l, c, &n);

    assert(x.rows == c->row_count && l->offset + l->width <= x.columns);
    assert(l->linear_offset + l->linear <= x.columns);
    l->entry_count = n;
    if (l->kind == FEATURE_BAG) {
        look_up(l, ids, n, now_s, l->rows);
        spread_bags(l, c);
        gather_bag(l, x);
        return;
    }
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t count = at_most(n - at, BLOCK);

        look_up(l, ids + at, count, now_s, l->rows + at);
        gather_one(l, x, at, at + count);
    }
}

void
lookup_ask_slots(const struct lookup *l, const struct columns *c)
{
    size_t n;
    const uint64_t *ids = batch_ids(l, c, &n);

    table_ask_slots(l->table, ids, n);
}

void
lookup_ask_rows(const struct lookup *l, const struct columns *c)
{
    size_t n;
    const uint64_t *ids = batch_ids(l, c, &n);

    table_ask_rows(l->table, ids, n);
}

void
lookup_find(struct lookup *l, const struct columns *c, struct matrix x)
{
    look_up_batch(l, c, NULL, x);
}

void
lookup_see(struct lookup *l, const struct columns *c, int64_t now_s,
           struct matrix x)
{
    look_up_batch(l, c, &now_s, x);
    chain_entries(l);
}

/* The gradient of a row that entry e leads: lends dx's own floats where the
 * row came once and has nothing else, otherwise sums into sum. */
static const float *
row_gradient(const struct lookup *l, uint32_t e, struct matrix dx,
             struct matrix dz, float *sum)
{
    bool is_bag = l->kind == FEATURE_BAG;

    if (!is_bag && l->linear == 0 && l->next[e] == END_OF_CHAIN)
        return matrix_row(dx, e) + l->offset;
    memset(sum, 0, (l->width + l->linear) * sizeof(*sum));
    for (; e != END_OF_CHAIN; e = l->next[e]) {
        size_t r = is_bag ? l->owners[e] : e;
        float scale = 1.0F;

        if (is_bag)
            scale = 1.0F / (float)(l->starts[r + 1] - l->starts[r]);
        add_scaled(sum, matrix_row(dx, r) + l->offset, scale, l->width);
        add_scaled(sum + l->width, matrix_row(dz, r), scale, l->linear);
    }
    return sum;
}

/* Asks for the payloads of the distinct rows [first, first + n). */
static void
change_rows(struct lookup *l, size_t first, size_t n, float **payloads)
{
    uint32_t rows[AHEAD] = {0};

    for (size_t i = 0; i < n; i++)
        rows[i] = l->rows[l->first[first + i]];
    table_change_many(l->table, rows, n, payloads);
}

void
lookup_learn(struct lookup *l, struct matrix dx, struct matrix dz,
             const struct optimizer *o, const struct pace *p, float *sum)
{
    size_t width = l->width + l->linear;
    size_t count = l->distinct_count;
    float *payloads[2][AHEAD];

    change_rows(l, 0, at_most(count, AHEAD), payloads[0]);
    for (size_t u = 0; u < count; u++) {
        size_t block = u / AHEAD;
        const float *g = row_gradient(l, l->first[u], dx, dz, sum);

        if (u % AHEAD == 0 && u + AHEAD < count)
            change_rows(l, u + AHEAD, at_most(count - u - AHEAD, AHEAD),
                        payloads[(block + 1) % 2]);
        optimizer_apply_row(o, p, payloads[block % 2][u % AHEAD], g, width);
    }
}
