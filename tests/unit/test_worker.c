/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items to a thread and back, and a thread that is given up.
 */
#include "daemon/io/worker.h"

#include "tests/support/check.h"

#include <stdatomic.h>

#define ITEMS 100

struct world {
    struct loop *loop;
    struct worker *worker;
    atomic_int worked;
    int done;
    bool has_stopped;
};

/* Thread: the worker's. */
static void
on_work(void *ctx, void *item)
{
    struct world *w = ctx;

    ++*(int *)item;
    (void)atomic_fetch_add(&w->worked, 1);
}

static void
on_done(void *ctx, void *item)
{
    struct world *w = ctx;

    CHECK_INT(*(int *)item, w->done + 1); /* in order */
    if (++w->done == ITEMS)
        worker_stop(w->worker);
}

static void
on_stopped(void *ctx)
{
    struct world *w = ctx;

    w->has_stopped = true;
    loop_stop(w->loop);
}

static void
open_world(struct world *w, size_t slots)
{
    struct worker_spec spec = {
        .name = "test",
        .slots = slots,
        .ctx = w,
        .work = on_work,
        .done = on_done,
        .stopped = on_stopped,
    };
    struct error err;

    *w = (struct world){.done = 0};
    CHECK_INT(loop_new(&w->loop, &err), STATUS_OK);
    CHECK_INT(worker_new(&w->worker, w->loop, &spec, &err), STATUS_OK);
}

static void
test_items_come_back_in_order(void)
{
    struct world w;
    int items[ITEMS];

    open_world(&w, ITEMS);
    for (int i = 0; i < ITEMS; i++) {
        void *item = &items[i];

        items[i] = i;
        CHECK_INT(worker_offer(w.worker, &item), STATUS_OK);
    }
    CHECK(!worker_has_room(w.worker));
    loop_run(w.loop);
    CHECK_INT(w.done, ITEMS);
    CHECK(w.has_stopped);
    worker_free(&w.worker);
    loop_free(&w.loop);
}

/* The loop turns no more: what was offered is worked on, and nobody is told. */
static void
test_given_up_with_items_under_way(void)
{
    struct world w;
    int items[3] = {0};

    open_world(&w, 3);
    for (int i = 0; i < 3; i++) {
        void *item = &items[i];

        CHECK_INT(worker_offer(w.worker, &item), STATUS_OK);
    }
    worker_give_up(&w.worker);
    CHECK(w.worker == NULL);
    CHECK_INT(atomic_load(&w.worked), 3);
    CHECK_INT(w.done, 0);
    loop_free(&w.loop);
}

int
main(void)
{
    RUN(test_items_come_back_in_order);
    RUN(test_given_up_with_items_under_way);
    return check_report();
}
