/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_BLOCKS_H
#define MODEL_TABLE_BLOCKS_H

#include <stddef.h>

/*
 * The memory of all tables of the process, in blocks of 2 MiB. A thread of its
 * own (the feeder) keeps some blocks prepared, on huge pages and already
 * touched, so that the thread which learns does not wait while the system finds
 * and clears memory: 0.2 ms a block, and many times that on a virtual machine
 * whose host finds the memory only then. Who finds none prepared gets a block
 * of base pages, which come one by one as they are touched. Which of the two
 * it is changes nothing but speed: the content of a block is undefined.
 *
 * Thread: any.
 */

#define TABLE_BLOCK_BYTES ((size_t)2 << 20)

/* table_blocks_enter must come before the others, table_blocks_leave after
 * them, as often; the last one to leave ends the feeder, frees what is prepared
 * and may wait for a block that is being touched. */
void table_blocks_enter(void);
void table_blocks_leave(void);

/* table_blocks_cold gives a block of base pages that nobody has touched, for
 * arrays that may stay small. NULL: no memory. Blocks: never. */
void *table_blocks_cold(void);

/* table_blocks_warm has the feeder make a huge page of a cold block in use.
 * Starts the feeder when it does not run. Blocks: never. */
void table_blocks_warm(void *block);

/* table_blocks_take gives a prepared block, or else a cold one that is warmed
 * at once. NULL: no memory. Starts the feeder when it does not run. Blocks:
 * never. */
void *table_blocks_take(void);

/* table_blocks_borrow is table_blocks_take for a block that goes back soon: it
 * stays as it is. */
void *table_blocks_borrow(void);

/* table_blocks_give takes count blocks back; the feeder uses or frees them.
 * Blocks: never. */
void table_blocks_give(unsigned char *const *blocks, size_t count);

#endif
