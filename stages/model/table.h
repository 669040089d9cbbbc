/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_H
#define MODEL_TABLE_H

#include "stages/model/matrix.h"
#include "stages/model/model.h"

/*
 * A collision-free embedding table: id -> row, growing in bounded blocks up to
 * rows_max, with admission after n sightings, expiry by event time, and
 * snapshots that are read in slices while rows change.
 *
 * A row's payload is `width` parameters followed by `state_width` floats of
 * optimizer state. Row 0 serves missing and unknown ids; it is learned like any
 * other, never expires, and is not counted in rows_max. The index is a linear
 * hash of small segments, so that growing never rehashes more than one. At
 * rows_max the policy is stated: new ids are served by row 0 and counted as
 * refused until expiry frees rows.
 *
 * Thread: one at a time (the owner hands different tables to different
 * helpers). Allocates: blocks and segments only, of memory that a thread
 * shared by all tables prepares ahead (table_blocks.h).
 */

struct table;

struct table_spec {
    const char *name; /* of the feature: seeds the initial rows */
    size_t width;
    size_t state_width;
    uint64_t rows_max;
    uint32_t admit_after;
    uint32_t expire_after_s; /* 0: never */
    size_t embedding_width;  /* the first ones get normal initial values, the
                                rest of width (linear weights) starts at 0 */
    float deviation;
    float state_initial; /* ADAGRAD's first accumulator */
    uint64_t seed;
};

must_check enum status
table_new(struct table **out, const struct table_spec *spec, struct error *err);
void table_free(struct table **self);

/*
 * An id on its way to its row. That takes three touches: table_ask, table_aim,
 * and table_see or table_find. Each of the first two asks the caches for what
 * the next touch reads, so nobody waits for memory who has other ids to touch
 * between them (some dozens are enough, of whatever table).
 */
struct table_probe {
    uint64_t id;
    uint64_t hash;
    const uint64_t *line; /* of the index, where the search begins */
    float *payload;
    uint32_t row;
};

/* table_ask begins the way of n ids. */
void table_ask(const struct table *t, const uint64_t *ids, size_t n,
               struct table_probe *probes);

/* table_aim goes on with it. Rows that learn soon are wanted with their state,
 * others for their parameters alone. */
void table_aim(const struct table *t, struct table_probe *probes, size_t n,
               bool learns_soon);

/*
 * table_find writes the row and payload of each of n probes, row 0 for ids
 * without one; changes nothing, and nobody may write to these payloads.
 *
 * to (n, some) written with the first parameters of each; may be NULL
 */
void table_find(const struct table *t, struct table_probe *probes, size_t n,
                const struct matrix *to);

/*
 * table_see counts a sighting of each of n probes (in order, duplicates counted
 * each) at event time now_s, admits what is due, and writes row and payload,
 * which may be changed until the next table_snapshot_begin or
 * table_snapshot_read. Times are kept in 32 bits, 1970 to 2106; 0 and before
 * are "unknown", and the id's time then begins when expiry first meets it. An
 * id that is not admitted is remembered as a candidate; at max(rows_max, 1024)
 * candidates, or without memory, it is not, and counted as refused. Allocates:
 * blocks and segments.
 *
 * to as for table_find
 */
void table_see(struct table *t, struct table_probe *probes, size_t n,
               int64_t now_s, const struct matrix *to);

/*
 * table_touch writes row and payload of each of n probes as they stand after
 * table_see, which may be changed likewise; counts and admits nothing.
 *
 * to as for table_find
 */
void table_touch(struct table *t, struct table_probe *probes, size_t n,
                 const struct matrix *to);

/*
 * table_expire walks a bounded piece of the rows and frees those not seen for
 * expire_after_s before now_s; called once a step, it turns through the whole
 * table over many steps. Deterministic: the cursor is part of the state.
 */
void table_expire(struct table *t, int64_t now_s);

uint64_t table_rows(const struct table *t);
void table_count(const struct table *t, struct table_counters *out);
void table_ids(const struct table *t, model_id_fn fn, void *ctx);

/*
 * Snapshots, as model_snapshot_*: begin fixes the state, read gives pieces,
 * end frees the copies. Tensors of table "user", in this order:
 *
 *   user/embedding    F32 (R, width)        parameters of rows 0..R-1
 *   user/ids          U64 (R)               0 for free rows and row 0
 *   user/state        F32 (R, state_width)  is_state, absent when 0 wide
 *   user/sightings    U32 (R)               is_state
 *   user/last_seen    I64 (R)               is_state
 *   user/candidates, user/candidate_sightings, user/candidate_last_seen
 *   user/cursors      U64 (n)               is_state: free list head, expiry
 *                                           cursor, refused count, ...
 *
 * R is the number of rows ever used at begin. Free rows keep their link to the
 * next free row in user/last_seen, so that row numbers replay exactly. The
 * candidates are (C), their row 0 unused, is_state. Reading gives NOMEM when a
 * changed row's copy found no memory: the snapshot must be given up. The pause
 * of begin does not depend on the number of rows; a read copies at most
 * capacity bytes to buf, and first, once a chunk, at most 256 KiB (or one row)
 * aside. Allocates: begin a chunk, changes the copies in blocks of 2 MiB; end
 * hands them back to be freed on another thread.
 */
must_check enum status table_snapshot_begin(struct table *t, struct error *err);
size_t table_snapshot_count(const struct table *t);
const struct tensor *table_snapshot_tensor(const struct table *t, size_t i);
must_check enum status table_snapshot_read(struct table *t, void *buf,
                                           size_t capacity,
                                           struct tensor_piece *out);
void table_snapshot_end(struct table *t);

/*
 * table_restore fills a new table from those of the count tensors that carry
 * its names; those it used are set true in used[count], the others left alone.
 * Checks shapes, finite values, ids within 53 bits and unique, links and
 * cursors in range: BADDATA. RESTORE_WEIGHTS reads embedding and ids only.
 * RESTORE_MATCHING does without what does not fit, in four parts: embedding and
 * ids (without them nothing); state; sightings, last_seen and cursors; the
 * candidates. On failure the table is good for table_free only.
 */
must_check enum status table_restore(struct table *t,
                                     const struct tensor *tensors, size_t count,
                                     enum restore_mode mode, bool *used,
                                     struct error *err);

#endif
