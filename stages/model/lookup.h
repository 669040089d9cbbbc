/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_LOOKUP_H
#define MODEL_LOOKUP_H

#include "stages/model/columns.h"
#include "stages/model/matrix.h"
#include "stages/model/optimizer.h"
#include "stages/model/table.h"

/*
 * One categorical or bag feature between its column and its table: ids to
 * rows, rows to inputs, gradients of inputs back to one update a row. An
 * *entry* is one id of one row of the batch; a bag's inputs are the mean over
 * its entries, and an empty bag is one entry of the missing id. A table row
 * holds the embedding (D), then one linear weight a logit (L, may be 0).
 *
 * Thread: one at a time. Allocates: table blocks
 * at most, but for lookup_init.
 */

struct lookup_slot {
    uint32_t stamp;
    uint32_t row;
    uint32_t distinct;
};

struct lookup {
    struct table *table; /* owned */
    enum feature_kind kind;
    size_t column;
    size_t ids_max;
    size_t width;         /* D */
    size_t linear;        /* L */
    size_t offset;        /* of the embedding in the inputs */
    size_t linear_offset; /* of the linear weights behind the inputs */

    size_t entry_max;
    size_t entry_count;
    uint32_t *rows;   /* (entry_max) of the table */
    uint32_t *next;   /* (entry_max) the next entry of the same row */
    uint32_t *starts; /* BAG (B + 1) first entry of each row of the batch */
    uint32_t *owners; /* BAG (entry_max) row of the batch */

    size_t distinct_count;
    uint32_t *first; /* (entry_max) first entry of each distinct row */
    uint32_t *last;  /* (entry_max) */
    struct lookup_slot *slots;
    uint32_t slot_bits;
    uint32_t stamp; /* of this batch's slots */
};

/* lookup_init allocates for batches of batch_max rows; kind, column, ids_max,
 * width, linear, offsets and table are set before. */
must_check enum status lookup_init(struct lookup *l, size_t batch_max,
                                   struct error *err);

/* lookup_fini frees what lookup_init allocated, and the table. */
void lookup_fini(struct lookup *l);

/* lookup_ask_slots, then lookup_ask_rows, ask the caches for what lookup_find
 * will read; see table_ask_slots. */
void lookup_ask_slots(const struct lookup *l, const struct columns *c);
void lookup_ask_rows(const struct lookup *l, const struct columns *c);

/*
 * lookup_find finds the rows of a batch, changes nothing in the table, and
 * writes the batch's inputs.
 *
 * x (B, .) columns offset.. (D) and linear_offset.. (L) written
 */
void lookup_find(struct lookup *l, const struct columns *c, struct matrix x);

/*
 * lookup_see counts and admits a batch's ids at now_s, writes its inputs as
 * lookup_find does, and chains the entries of each distinct row for
 * lookup_learn.
 */
void lookup_see(struct lookup *l, const struct columns *c, int64_t now_s,
                struct matrix x);

/*
 * lookup_learn sums the gradients of each distinct row and updates it once.
 *
 * dx  (B, N) read
 * dz  (B, .) read
 * sum (D + L) scratch
 */
void lookup_learn(struct lookup *l, struct matrix dx, struct matrix dz,
                  const struct optimizer *o, const struct pace *p, float *sum);

#endif
