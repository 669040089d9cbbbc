/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A team of threads. The owner publishes work by raising `round`; each helper
 * answers by lowering `busy`. Both are waited for by spinning first, since the
 * parts of a step are some tens of microseconds long.
 */
#include "stages/model/helpers.h"

#include "daemon/base/object.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define HELPERS_MAGIC 0x6e1f02a5U
#define SPINS         4000

struct helper {
    struct helpers *team;
    size_t number;
    pthread_t thread;
};

struct helpers {
    unsigned magic;
    size_t count; /* with the caller */
    size_t started;
    helper_fn fn; /* the work of this round; NULL: end */
    void *ctx;
    atomic_uint round;
    atomic_size_t busy;
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    pthread_cond_t is_done;
    struct helper helpers[];
};

static void
pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Returns the new round once it is another one than seen. */
static unsigned
wait_for_work(struct helpers *h, unsigned seen)
{
    unsigned now;

    for (int i = 0; i < SPINS; i++) {
        now = atomic_load_explicit(&h->round, memory_order_acquire);
        if (now != seen)
            return now;
        pause_briefly();
    }
    (void)pthread_mutex_lock(&h->lock);
    while ((now = atomic_load(&h->round)) == seen)
        (void)pthread_cond_wait(&h->has_work, &h->lock);
    (void)pthread_mutex_unlock(&h->lock);
    return now;
}

static void *
help(void *arg)
{
    struct helper *self = arg;
    struct helpers *h = self->team;
    unsigned seen = 0;

    for (;;) {
        helper_fn fn;

        seen = wait_for_work(h, seen);
        fn = h->fn;
        if (fn == NULL)
            return NULL;
        fn(h->ctx, self->number);
        if (atomic_fetch_sub(&h->busy, 1) == 1) {
            (void)pthread_mutex_lock(&h->lock);
            (void)pthread_cond_signal(&h->is_done);
            (void)pthread_mutex_unlock(&h->lock);
        }
    }
}

static void
publish(struct helpers *h, helper_fn fn, void *ctx)
{
    h->fn = fn;
    h->ctx = ctx;
    atomic_store(&h->busy, h->count - 1);
    (void)pthread_mutex_lock(&h->lock);
    (void)atomic_fetch_add(&h->round, 1);
    (void)pthread_cond_broadcast(&h->has_work);
    (void)pthread_mutex_unlock(&h->lock);
}

static void
wait_for_all(struct helpers *h)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&h->busy, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    (void)pthread_mutex_lock(&h->lock);
    while (atomic_load(&h->busy) != 0)
        (void)pthread_cond_wait(&h->is_done, &h->lock);
    (void)pthread_mutex_unlock(&h->lock);
}

static int
start_one(struct helpers *h, size_t number)
{
    struct helper *one = &h->helpers[number];
    sigset_t all;
    sigset_t kept;
    int failed;

    one->team = h;
    one->number = number;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &kept);
    failed = pthread_create(&one->thread, NULL, help, one);
    (void)pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return failed;
}

enum status
helpers_new(struct helpers **out, size_t n, struct error *err)
{
    struct helpers *h;

    assert(n >= 1);
    *out = NULL;
    h = calloc(1, sizeof(*h) + n * sizeof(h->helpers[0]));
    if (h == NULL)
        return error_set(err, STATUS_NOMEM, "model: %zu helper threads", n);
    h->magic = HELPERS_MAGIC;
    h->count = n;
    h->started = 1;
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->has_work, NULL);
    (void)pthread_cond_init(&h->is_done, NULL);
    while (h->started < n) {
        int failed = start_one(h, h->started);

        if (failed != 0) {
            helpers_free(&h);
            return error_errno(err, failed, "model: helper thread");
        }
        h->started++;
    }
    *out = h;
    return STATUS_OK;
}

void
helpers_free(struct helpers **self)
{
    struct helpers *h;

    if (*self == NULL)
        return;
    OBJ_TAKE(h, self, HELPERS_MAGIC);
    publish(h, NULL, NULL);
    for (size_t i = 1; i < h->started; i++)
        (void)pthread_join(h->helpers[i].thread, NULL);
    (void)pthread_cond_destroy(&h->is_done);
    (void)pthread_cond_destroy(&h->has_work);
    (void)pthread_mutex_destroy(&h->lock);
    h->magic = 0;
    free(h);
}

void
helpers_run(struct helpers *h, helper_fn fn, void *ctx)
{
    OBJ_CHECK(h, HELPERS_MAGIC);
    assert(fn != NULL);
    if (h->count > 1)
        publish(h, fn, ctx);
    fn(ctx, 0);
    if (h->count > 1)
        wait_for_all(h);
}
