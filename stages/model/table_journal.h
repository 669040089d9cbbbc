/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_JOURNAL_H
#define MODEL_TABLE_JOURNAL_H

#include "stages/model/table_index.h"

/*
 * What a snapshot still needs of rows that have changed since it began: their
 * copies as of then (images), listed by chunk of rows. The reader turns through
 * the chunks in order; a row behind the reader, or made since the beginning,
 * needs no copy. Beginning costs the same for every size: the maps are fresh
 * pages of the system, zero by themselves. At the worst, when every row changes
 * before it is read, the images are as large as the table.
 */

struct table_image {
    uint64_t row;
    struct row_meta meta; /* and its payload behind it */
};

/* The bytes of a row whose payload has so many. */
static inline size_t
table_row_bytes(size_t payload_bytes)
{
    return sizeof(struct row_meta) + (payload_bytes + 7) / 8 * 8;
}

/* Images of one chunk, a cache line of them: the reader knows early what it is
 * going to need, and a read costs no chain of misses. */
#define TABLE_LIST_IMAGES 13u

struct table_list {
    struct table_list *next;
    uint32_t count;
    uint32_t images[TABLE_LIST_IMAGES];
};

struct table_journal {
    uint32_t first; /* rows [first, first + count) are not read yet; */
    uint32_t count; /* 0 when no snapshot is being taken */
    unsigned chunk_shift;
    bool is_spoiled; /* a copy found no memory: the snapshot is no good */
    size_t row_bytes;
    uint64_t *saved;            /* a bit a row: its image exists */
    struct table_list **chunks; /* what there is of each chunk */
    size_t saved_bytes;
    size_t chunks_bytes;
    struct table_pages images;
    struct table_pages lists;
    struct table_list *taken; /* lent by table_journal_take */
    struct table_list *spare; /* lists with images to use again */
    struct table_list *empty; /* lists without */
};

/* table_journal_init prepares for rows of row_bytes. */
void table_journal_init(struct table_journal *j, size_t row_bytes);

/* table_journal_begin starts for rows [0, rows), rows > 0. False: no
 * memory, nothing started. Allocates: the maps. */
bool table_journal_begin(struct table_journal *j, uint32_t rows);

/*
 * table_journal_save copies a row as it is now, unless it has been already.
 * The row is one of those not read yet; its payload lies behind its meta.
 * Allocates: at most two blocks.
 */
void table_journal_save(struct table_journal *j, uint32_t row,
                        const struct row_meta *meta);

/*
 * table_journal_take ends the need of the next chunk, rows rows long (at most
 * 1 << chunk_shift), and lends the list of its images, valid until the next
 * call with this journal.
 */
const struct table_list *table_journal_take(struct table_journal *j,
                                            uint32_t rows);

/* table_journal_end stops and gives all memory back; without a beginning it
 * does nothing. */
void table_journal_end(struct table_journal *j);

static inline struct table_image *
table_journal_image(const struct table_journal *j, uint32_t image)
{
    return table_pages_at(&j->images, image);
}

#endif
