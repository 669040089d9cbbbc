/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of 2 MiB, prepared ahead by a thread.
 */
#include "stages/model/table_blocks.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE_BYTES   ((size_t)4096)
#define REGION_BYTES ((size_t)256 << 20)
#define READY_MIN    2u
#define READY_MAX    16u
#define LATE_MAX     16384u

#ifndef MADV_COLLAPSE /* Linux 6.1; an older one refuses, and all stays slow */
#define MADV_COLLAPSE 25
#endif

/* Address space that blocks are cut from. The two kinds never mix, so that
 * nobody but the feeder ever waits for a huge page. */
struct region {
    unsigned char *at;
    unsigned char *end;
    bool is_huge;
};

/* A block that was given back, until the feeder comes to it. */
struct returned {
    struct returned *next;
};

static struct {
    pthread_mutex_t life; /* of users, and of the feeder's end */
    size_t users;
    pthread_mutex_t lock; /* of all below; held for moments */
    pthread_cond_t has_work;
    pthread_t thread;
    bool has_thread;
    bool is_ending;
    size_t taken; /* blocks in use */
    struct region cold;
    struct region huge;
    void *ready[READY_MAX];
    size_t ready_count;
    struct returned *returned;
    void *late[LATE_MAX]; /* cold blocks in use, to be made huge pages of */
    size_t late_count;
} pool = {
    .life = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .has_work = PTHREAD_COND_INITIALIZER,
    .huge = {.is_huge = true},
};

static void
unmap(void *at, size_t bytes)
{
    if (bytes > 0)
        (void)munmap(at, bytes);
}

/* Gets address space, from a whole block on. */
static bool
refill(struct region *r)
{
    size_t bytes = REGION_BYTES + TABLE_BLOCK_BYTES;
    unsigned char *map =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (map == MAP_FAILED)
        return false;
    before = (size_t)(-(uintptr_t)map % TABLE_BLOCK_BYTES);
    unmap(map, before);
    r->at = map + before;
    r->end = r->at + REGION_BYTES;
    unmap(r->end, TABLE_BLOCK_BYTES - before);
    /* Advice only: otherwise the table is slower, not wrong. */
    (void)madvise(r->at, REGION_BYTES,
                  r->is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return true;
}

static void *
cut_block(struct region *r)
{
    void *block;

    if (r->at == r->end && !refill(r))
        return NULL;
    block = r->at;
    r->at += TABLE_BLOCK_BYTES;
    return block;
}

static void
drop_region(struct region *r)
{
    unmap(r->at, (size_t)(r->end - r->at));
    r->at = NULL;
    r->end = NULL;
}

/* How many blocks are to be ready: few for a process with small tables. */
static size_t
want_ready(void)
{
    size_t count = pool.taken / 8;

    if (count < READY_MIN)
        return READY_MIN;
    return count < READY_MAX ? count : READY_MAX;
}

static void
touch(unsigned char *block)
{
    for (size_t at = 0; at < TABLE_BLOCK_BYTES; at += PAGE_BYTES)
        *(volatile unsigned char *)(block + at) = 0;
}

/*
 * Makes a huge page of a block that was handed out cold, since none was ready:
 * the kernel copies it under the feet of whoever uses it. Advice again: what is
 * no block any more, or cannot be had, changes nothing.
 */
static bool
collapse_late(void)
{
    void *block;

    if (pool.late_count == 0)
        return false;
    block = pool.late[--pool.late_count];
    (void)pthread_mutex_unlock(&pool.lock);
    (void)madvise(block, TABLE_BLOCK_BYTES, MADV_HUGEPAGE);
    (void)madvise(block, TABLE_BLOCK_BYTES, MADV_COLLAPSE);
    (void)pthread_mutex_lock(&pool.lock);
    return true;
}

/* Does one piece of work, outside the lock where it takes long; false: there
 * is none. */
static bool
work(void)
{
    void *block = pool.returned;
    bool is_wanted = pool.ready_count < want_ready();

    if (block != NULL)
        pool.returned = pool.returned->next;
    else if (is_wanted)
        block = cut_block(&pool.huge);
    if (block == NULL)
        return collapse_late();
    (void)pthread_mutex_unlock(&pool.lock);
    if (is_wanted)
        touch(block);
    else
        unmap(block, TABLE_BLOCK_BYTES);
    (void)pthread_mutex_lock(&pool.lock);
    /* Only the feeder adds, so there is room still. */
    if (is_wanted)
        pool.ready[pool.ready_count++] = block;
    return true;
}

static void *
feed(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&pool.lock);
    while (!pool.is_ending) {
        if (!work())
            (void)pthread_cond_wait(&pool.has_work, &pool.lock);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* Without a thread every block is a cold one. Called with the lock held. */
static void
start_feeder(void)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pool.has_thread = pthread_create(&pool.thread, NULL, feed, NULL) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool.has_thread)
        (void)pthread_setname_np(pool.thread, "feeder");
}

/* Ends the feeder and frees what nobody has taken. */
static void
end_feeder(void)
{
    assert(pool.taken == 0);
    (void)pthread_mutex_lock(&pool.lock);
    pool.is_ending = true;
    (void)pthread_cond_signal(&pool.has_work);
    (void)pthread_mutex_unlock(&pool.lock);
    if (pool.has_thread)
        (void)pthread_join(pool.thread, NULL);
    pool.has_thread = false;
    pool.is_ending = false;
    while (pool.ready_count > 0)
        unmap(pool.ready[--pool.ready_count], TABLE_BLOCK_BYTES);
    while (pool.returned != NULL) {
        void *block = pool.returned;

        pool.returned = pool.returned->next;
        unmap(block, TABLE_BLOCK_BYTES);
    }
    pool.late_count = 0;
    drop_region(&pool.cold);
    drop_region(&pool.huge);
}

void
table_blocks_enter(void)
{
    (void)pthread_mutex_lock(&pool.life);
    pool.users++;
    (void)pthread_mutex_unlock(&pool.life);
}

void
table_blocks_leave(void)
{
    (void)pthread_mutex_lock(&pool.life);
    assert(pool.users > 0);
    pool.users--;
    if (pool.users == 0)
        end_feeder();
    (void)pthread_mutex_unlock(&pool.life);
}

void *
table_blocks_cold(void)
{
    void *block;

    (void)pthread_mutex_lock(&pool.lock);
    block = cut_block(&pool.cold);
    pool.taken += block != NULL;
    (void)pthread_mutex_unlock(&pool.lock);
    return block;
}

/* Has the feeder make a huge page of a cold block; with the lock held. */
static void
add_late(void *block)
{
    if (block != NULL && pool.late_count < LATE_MAX)
        pool.late[pool.late_count++] = block;
}

/* Wakes the feeder, or starts it; with the lock held. */
static void
call_feeder(void)
{
    if (!pool.has_thread)
        start_feeder();
    (void)pthread_cond_signal(&pool.has_work);
}

void
table_blocks_warm(void *block)
{
    (void)pthread_mutex_lock(&pool.lock);
    add_late(block);
    call_feeder();
    (void)pthread_mutex_unlock(&pool.lock);
}

/* A prepared block, or a cold one; is_lasting: to be made a huge page of. */
static void *
take(bool is_lasting)
{
    void *block;

    (void)pthread_mutex_lock(&pool.lock);
    if (pool.ready_count > 0) {
        block = pool.ready[--pool.ready_count];
    } else {
        block = cut_block(&pool.cold);
        add_late(is_lasting ? block : NULL);
    }
    pool.taken += block != NULL;
    call_feeder();
    (void)pthread_mutex_unlock(&pool.lock);
    return block;
}

void *
table_blocks_take(void)
{
    return take(true);
}

void *
table_blocks_borrow(void)
{
    return take(false);
}

void
table_blocks_give(unsigned char *const *blocks, size_t count)
{
    if (count == 0)
        return;
    (void)pthread_mutex_lock(&pool.lock);
    assert(count <= pool.taken);
    for (size_t i = 0; i < count; i++) {
        struct returned *r = (void *)blocks[i];

        r->next = pool.returned;
        pool.returned = r;
    }
    pool.taken -= count;
    (void)pthread_cond_signal(&pool.has_work);
    (void)pthread_mutex_unlock(&pool.lock);
}
