/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single producer, single consumer: head is written by the putter only, tail
 * by the taker only; release and acquire order the slots between them.
 */
#include "daemon/base/ring.h"

#include "daemon/base/object.h"

#include <stdatomic.h>
#include <stdlib.h>

#define RING_MAGIC 0x52494e47u

struct ring {
    unsigned magic;
    size_t slots;
    _Alignas(64) atomic_size_t head; /* next to write */
    _Alignas(64) atomic_size_t tail; /* next to read */
    void *items[];
};

enum status
ring_new(struct ring **out, size_t slots, struct error *err)
{
    size_t bytes = sizeof(struct ring) + slots * sizeof(void *);
    struct ring *r;

    assert(slots > 0);
    r = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a ring of %zu",
                         slots);
    r->magic = RING_MAGIC;
    r->slots = slots;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    *out = r;
    return STATUS_OK;
}

void
ring_free(struct ring **self)
{
    struct ring *r;

    if (*self == NULL)
        return;
    OBJ_TAKE(r, self, RING_MAGIC);
    assert(atomic_load(&r->head) == atomic_load(&r->tail));
    r->magic = 0;
    free(r);
}

enum status
ring_put(struct ring *r, void **item)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);

    OBJ_CHECK(r, RING_MAGIC);
    assert(*item != NULL);
    if (head - tail == r->slots)
        return STATUS_AGAIN;
    r->items[head % r->slots] = *item;
    *item = NULL;
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return STATUS_OK;
}

void *
ring_take(struct ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    void *item;

    OBJ_CHECK(r, RING_MAGIC);
    if (head == tail)
        return NULL;
    item = r->items[tail % r->slots];
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return item;
}
