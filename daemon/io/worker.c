/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread with a ring in and a ring out. The semaphore counts items put and
 * one more for the stop; the loop's wakeup drains the ring out to empty.
 */
#include "daemon/io/worker.h"

#include "daemon/base/object.h"
#include "daemon/base/ring.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WORKER_MAGIC 0x574f524bu

struct worker {
    unsigned magic;
    struct worker_spec spec;
    struct ring *in;
    struct ring *out;
    struct wakeup *wakeup;
    pthread_t thread;
    sem_t filled;
    size_t in_flight; /* loop only */
    bool is_stopping; /* loop only */
    bool is_stopped;  /* loop only */
    atomic_bool must_stop;
    atomic_bool has_finished;
};

/* Blocks until an item is put or the stop comes; NULL is the stop. */
static void *
wait_for_item(struct worker *w)
{
    bool has_more = w->spec.idle != NULL;

    for (;;) {
        if (has_more && sem_trywait(&w->filled) != 0) {
            has_more = w->spec.idle(w->spec.ctx);
            continue;
        }
        if (!has_more) {
            while (sem_wait(&w->filled) != 0)
                ;
        }
        return ring_take(w->in);
    }
}

static void *
run_worker(void *arg)
{
    struct worker *w = arg;

    for (;;) {
        void *item = wait_for_item(w);
        enum status st;

        if (item == NULL) {
            assert(atomic_load(&w->must_stop));
            break;
        }
        w->spec.work(w->spec.ctx, item);
        st = ring_put(w->out, &item);
        assert(st == STATUS_OK); /* no more than slots are in flight */
        wakeup_send(w->wakeup);
    }
    if (w->spec.finish != NULL)
        w->spec.finish(w->spec.ctx);
    atomic_store(&w->has_finished, true);
    wakeup_send(w->wakeup);
    return NULL;
}

static void
on_wakeup(void *ctx)
{
    struct worker *w = ctx;
    bool has_finished = atomic_load(&w->has_finished);
    void *item;

    while ((item = ring_take(w->out)) != NULL) {
        assert(w->in_flight > 0);
        w->in_flight--;
        w->spec.done(w->spec.ctx, item);
    }
    if (has_finished && !w->is_stopped) {
        w->is_stopped = true;
        w->spec.stopped(w->spec.ctx);
    }
}

enum status
worker_new(struct worker **out, struct loop *l, const struct worker_spec *spec,
           struct error *err)
{
    struct worker *w = calloc(1, sizeof(*w));
    enum status st;
    int rc;

    if (w == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a worker");
    w->magic = WORKER_MAGIC;
    w->spec = *spec;
    (void)sem_init(&w->filled, 0, 0);
    st = ring_new(&w->in, spec->slots, err);
    if (st != STATUS_OK)
        goto out;
    st = ring_new(&w->out, spec->slots, err);
    if (st != STATUS_OK)
        goto out;
    st = wakeup_new(&w->wakeup, l, on_wakeup, w, err);
    if (st != STATUS_OK)
        goto out;
    rc = pthread_create(&w->thread, NULL, run_worker, w);
    if (rc != 0) {
        st = error_errno(err, rc, "thread %s", spec->name);
        goto out;
    }
    (void)pthread_setname_np(w->thread, spec->name);
    *out = w;
    return STATUS_OK;

out:
    wakeup_free(&w->wakeup);
    ring_free(&w->out);
    ring_free(&w->in);
    (void)sem_destroy(&w->filled);
    free(w);
    return st;
}

bool
worker_has_room(const struct worker *w)
{
    OBJ_CHECK(w, WORKER_MAGIC);
    return w->in_flight < w->spec.slots;
}

enum status
worker_offer(struct worker *w, void **item)
{
    enum status st;

    OBJ_CHECK(w, WORKER_MAGIC);
    assert(!w->is_stopping);
    if (!worker_has_room(w))
        return STATUS_AGAIN;
    st = ring_put(w->in, item);
    assert(st == STATUS_OK);
    w->in_flight++;
    (void)sem_post(&w->filled);
    return STATUS_OK;
}

void
worker_stop(struct worker *w)
{
    OBJ_CHECK(w, WORKER_MAGIC);
    if (w->is_stopping)
        return;
    w->is_stopping = true;
    atomic_store(&w->must_stop, true);
    (void)sem_post(&w->filled);
}

void
worker_free(struct worker **self)
{
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, WORKER_MAGIC);
    assert((*self)->is_stopped || (*self)->in_flight == 0);
    worker_give_up(self);
}

void
worker_give_up(struct worker **self)
{
    struct worker *w;

    if (*self == NULL)
        return;
    OBJ_TAKE(w, self, WORKER_MAGIC);
    worker_stop(w);
    (void)pthread_join(w->thread, NULL);
    wakeup_free(&w->wakeup);
    while (ring_take(w->out) != NULL)
        ; /* the caller's again */
    ring_free(&w->out);
    ring_free(&w->in);
    (void)sem_destroy(&w->filled);
    w->magic = 0;
    free(w);
}
