/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_PRIV_H
#define MODEL_TABLE_PRIV_H

#include "stages/model/table.h"
#include "stages/model/table_store.h"

/*
 * What table.c, table_snapshot.c and table_restore.c share.
 */

#define TABLE_MAGIC 0x7ab1e0a1u

/* The elements of <name>/cursors, in file order. */
enum table_cursor {
    CURSOR_VERSION, /* of this list: TABLE_CURSORS_VERSION */
    CURSOR_FREE_FIRST,
    CURSOR_FREE_COUNT,
    CURSOR_EXPIRY,
    CURSOR_CANDIDATE_FREE_FIRST,
    CURSOR_CANDIDATE_FREE_COUNT,
    CURSOR_CANDIDATE_EXPIRY,
    CURSOR_REFUSED,
    CURSOR_EXPIRED,
    CURSOR_COUNT,
};

#define TABLE_CURSORS_VERSION 1u

/* The tensors of a table, in file order. */
enum table_tensor {
    TABLE_EMBEDDING,
    TABLE_IDS,
    TABLE_STATE, /* left out when state_width is 0 */
    TABLE_SIGHTINGS,
    TABLE_LAST_SEEN,
    TABLE_CANDIDATES,
    TABLE_CANDIDATE_SIGHTINGS,
    TABLE_CANDIDATE_LAST_SEEN,
    TABLE_CURSORS,
    TABLE_TENSOR_COUNT,
};

/* A part of the chunk that is being read: where it comes from and where in
 * its tensor it belongs. */
struct table_part {
    enum table_tensor tensor;
    unsigned char *data;
    size_t bytes;
    uint64_t offset;
};

struct table_snapshot {
    bool is_active;
    bool has_cursors; /* they come last, and have come */
    struct tensor tensors[TABLE_TENSOR_COUNT]; /* those that there are */
    size_t tensor_count;
    size_t numbers[TABLE_TENSOR_COUNT]; /* enum table_tensor -> tensors */
    uint64_t cursors[CURSOR_COUNT];
    unsigned char *buf; /* holds one chunk, tensor by tensor */
    struct table_part parts[TABLE_TENSOR_COUNT];
    size_t part_count;
    size_t part; /* being given out, */
    size_t done; /* so many bytes of it already */
};

struct table {
    unsigned magic;
    char name[MODEL_NAME_MAX];
    struct table_spec spec; /* its name points to name */
    uint64_t seed;          /* of the initial rows: of spec.seed and name */
    size_t look_bytes;      /* of a row, without its state */
    struct table_store rows;
    struct table_store candidates;
    uint64_t refused;
    uint64_t expired;
    struct table_snapshot snapshot;
};

/* table_describe writes name, type, rank, width and is_state of one tensor;
 * shape[0] is left to the caller. */
void table_describe(const struct table *t, enum table_tensor what,
                    struct tensor *out);

/* table_gather_cursors writes the state that is not in rows. */
void table_gather_cursors(const struct table *t,
                          uint64_t out[static CURSOR_COUNT]);

/* table_fill_state writes a row's first optimizer state. */
void table_fill_state(struct table *t, uint32_t row);

#endif
