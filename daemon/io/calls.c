/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker whose items are calls.
 */
#include "daemon/io/calls.h"

#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <stdlib.h>

#define CALLS_MAGIC 0x43414c4cu
#define CALLS_MAX   16 /* owners have one call each, or two */

struct calls {
    unsigned magic;
    struct worker *worker;
};

static void
on_call(void *ctx, void *item)
{
    struct call *call = item;

    (void)ctx;
    call->work(call->ctx);
}

static void
on_done(void *ctx, void *item)
{
    struct call *call = item;

    (void)ctx;
    call->is_under_way = false;
    call->done(call->ctx);
}

enum status
calls_new(struct calls **out, struct loop *l, struct error *err)
{
    struct calls *c = calloc(1, sizeof(*c));
    struct worker_spec worker = {
        .name = "kafka-calls",
        .slots = CALLS_MAX,
        .ctx = c,
        .work = on_call,
        .done = on_done,
    };
    enum status st;

    if (c == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a thread");
    c->magic = CALLS_MAGIC;
    st = worker_new(&c->worker, l, &worker, err);
    if (st != STATUS_OK) {
        free(c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

void
calls_begin(struct calls *c, struct call *call)
{
    void *item = call;
    enum status st;

    OBJ_CHECK(c, CALLS_MAGIC);
    assert(!call->is_under_way);
    call->is_under_way = true;
    st = worker_offer(c->worker, &item);
    assert(st == STATUS_OK); /* there are fewer owners than slots */
}

void
calls_free(struct calls **self)
{
    struct calls *c;

    if (*self == NULL)
        return;
    OBJ_TAKE(c, self, CALLS_MAGIC);
    worker_give_up(&c->worker);
    c->magic = 0;
    free(c);
}
