/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_LOOKUP_H
#define MODEL_LOOKUP_H

#include "stages/model/carver.h"
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
 * A batch is looked up in pieces of LOOKUP_ROWS rows, each in three touches:
 * lookup_ask, lookup_aim, lookup_find or lookup_see. While a piece waits for
 * memory, other pieces and other features have their turn: of one feature,
 * piece i may be found when i + 1 was aimed and before i + 2 is asked.
 *
 * Thread: one at a time. Allocates: table blocks at most.
 */

#define LOOKUP_ROWS 128

struct lookup {
    struct table *table; /* owned */
    enum feature_kind kind;
    size_t column;
    size_t ids_max;
    size_t width;         /* D */
    size_t linear;        /* L */
    size_t offset;        /* of the embedding in the inputs */
    size_t linear_offset; /* of the linear weights behind the inputs */

    struct table_probe *probes[2]; /* (LOOKUP_ROWS * ids_max) of a piece */
    size_t entry_max;
    float **rows;     /* (entry_max) payloads */
    float *unknown;   /* payload of row 0 */
    uint64_t *ids;    /* BAG (entry_max) of the entries */
    uint32_t *next;   /* (entry_max) the next entry of the same id, or none */
    uint32_t *heads;  /* (entry_max) the first entry of the same id */
    uint32_t *starts; /* BAG (B + 1) first entry of each row of the batch */
    uint32_t *owners; /* BAG (entry_max) row of the batch */
    uint32_t *slots;  /* (1 << slot_bits) a hash of ids: entry, or none */
    unsigned slot_bits;
    float *sums; /* (some, D + L) gradients */
};

/* lookup_carve cuts memory for batches of batch_max rows; kind, column,
 * ids_max, width, linear and offsets are set before. */
void lookup_carve(struct lookup *l, size_t batch_max, struct carver *c);

/* lookup_take_unknown finds row 0, which an empty bag takes, and says that it
 * may change: once, when the table is set, before all else. */
void lookup_take_unknown(struct lookup *l);

/* lookup_ask begins with a piece of the batch; without rows in it, it does
 * nothing, and so do the others. */
void lookup_ask(struct lookup *l, const struct columns *c, size_t piece);

/* lookup_aim goes on with it; rows that learn soon come with their state. */
void lookup_aim(struct lookup *l, const struct columns *c, size_t piece,
                bool learns_soon);

/*
 * lookup_find finds a piece's rows, changes nothing in the table, and writes
 * the piece's inputs.
 *
 * x (B, .) columns offset.. (D) and linear_offset.. (L) written
 */
void lookup_find(struct lookup *l, const struct columns *c, size_t piece,
                 struct matrix x);

/* lookup_see counts and admits a piece's ids at now_s, but for those of
 * imagined rows, and writes its inputs as lookup_find does. The pieces of a
 * batch come in order, from 0. */
void lookup_see(struct lookup *l, const struct columns *c, size_t piece,
                int64_t now_s, struct matrix x);

/* lookup_chain finds which entries of a batch have the same id, before the
 * first lookup_see of it. */
void lookup_chain(struct lookup *l, const struct columns *c);

/*
 * lookup_learn updates, once, each row whose last entry in the batch is one of
 * rows [first, end) of the batch, by the sum of its gradients. The parts of a
 * batch come in order, each when it has been seen; row 0 comes with the last.
 *
 * dx (B, N) read, and the feature's own columns used for sums
 * dz (B, .) read
 */
void lookup_learn(struct lookup *l, const struct columns *c, size_t first,
                  size_t end, struct matrix dx, struct matrix dz,
                  const struct optimizer *o, const struct pace *p);

#endif
