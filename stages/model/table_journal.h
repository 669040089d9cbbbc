/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_JOURNAL_H
#define MODEL_TABLE_JOURNAL_H

#include "stages/model/table_index.h"

/*
 * What a snapshot still needs of rows that have changed since it began: their
 * copies as of then (images), in lists by chunk of rows. The reader turns
 * through the chunks in order; a row behind the reader, or made since the
 * beginning, needs no copy. Beginning costs the same for every size: the maps
 * are fresh pages of the system, zero by themselves. At the worst, when every
 * row changes before it is read, the images are as large as the table.
 */

struct table_image {
    struct table_image *next;
    struct row_meta meta;
    uint32_t row;
    float payload[];
};

struct table_slab;

struct table_journal {
    uint32_t first; /* rows [first, first + count) are not read yet; */
    uint32_t count; /* 0 when no snapshot is being taken */
    unsigned chunk_shift;
    bool is_spoiled; /* a copy found no memory: the snapshot is no good */
    size_t payload_bytes;
    uint64_t *saved;             /* a bit a row: its image exists */
    struct table_image **chunks; /* a list of images a chunk */
    size_t saved_bytes;
    size_t chunks_bytes;
    struct table_image *spare;
    struct table_image *taken; /* lent by table_journal_take */
    struct table_slab *slabs;
};

/* table_journal_init prepares for rows of payload_bytes (0: none). */
void table_journal_init(struct table_journal *j, size_t payload_bytes);

/* table_journal_fini frees everything. */
void table_journal_fini(struct table_journal *j);

/* table_journal_begin starts for rows [0, rows), rows > 0. False: no
 * memory, nothing started. Allocates: the maps. */
bool table_journal_begin(struct table_journal *j, uint32_t rows);

/*
 * table_journal_save copies a row as it is now, unless it has been already.
 * The row is one of those not read yet. Allocates: at most a slab of images.
 */
void table_journal_save(struct table_journal *j, uint32_t row,
                        const struct row_meta *meta, const float *payload);

/*
 * table_journal_take ends the need of the next chunk, rows rows long (at most
 * 1 << chunk_shift), and lends the list of its images, valid until the next
 * call with this journal.
 */
const struct table_image *table_journal_take(struct table_journal *j,
                                             uint32_t rows);

/* table_journal_end stops; the slabs stay for table_journal_trim. */
void table_journal_end(struct table_journal *j);

/* table_journal_trim frees a bounded piece of what a past snapshot held;
 * nothing while one is being taken. */
void table_journal_trim(struct table_journal *j);

#endif
