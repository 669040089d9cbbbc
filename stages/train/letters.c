/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch at a time; when the producer fails, a new one sends all of them
 * again. The producer is made when there is something to send.
 */
#include "stages/train/letters.h"

#include "stages/dead_letters.h"
#include "stages/settings.h"
#include "stages/topics.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/calls.h"
#include "daemon/io/kafka_producer.h"

#include <stdlib.h>

#define LETTERS_MAGIC 0x4c455454u
#define REOPEN_MS     500

struct letters {
    unsigned magic;
    struct pipeline *pipeline;
    void (*on_acknowledged)(void *ctx);
    void *ctx;
    struct kafka_producer *producer;
    struct kafka_target *topic;
    const struct bytes *records; /* of the batch; NULL: none is under way */
    size_t at;
    size_t unsettled;
    bool has_failed;
    struct call retire;
    struct kafka_producer *retired;
    struct timer *reopen;
};

static void on_delivered(void *ctx, void *opaque, size_t count,
                         const struct error *err);

static void
on_failed(void *ctx, const struct error *err)
{
    struct letters *l = ctx;

    if (l->has_failed)
        return;
    l->has_failed = true;
    log_error("producer_failed",
              "text=\"%s\" then=\"dead letters are sent "
              "again\"",
              err->text);
    kafka_producer_give_up(l->producer);
}

static enum status
open_producer(struct letters *l, struct error *err)
{
    const struct kafka_producer_spec spec = {
        .properties = *topics_producer_properties(l->pipeline->topics),
        .on_delivered = on_delivered,
        .on_failed = on_failed,
        .ctx = l,
    };
    enum status st =
        kafka_producer_open(&l->producer, l->pipeline->loop, &spec, err);

    if (st == STATUS_OK)
        st = kafka_producer_target(l->producer,
                                   l->pipeline->settings->dead_letters_topic,
                                   &l->topic, err);
    return st;
}

/* A producer that failed is freed beside the loop, once nothing of its is ours
 * any more. */
static bool
can_retire(const struct letters *l)
{
    return l->has_failed && l->producer != NULL &&
           kafka_producer_pending(l->producer) == 0;
}

static void
retire_producer(struct letters *l)
{
    kafka_producer_mute(l->producer);
    l->retired = l->producer;
    l->producer = NULL;
    calls_begin(l->pipeline->calls, &l->retire);
}

static void
go_on(struct letters *l)
{
    struct error err;
    enum status st;

    if (can_retire(l)) /* later: this may be a call from inside of it */
        timer_start(l->reopen, 0, 0);
    if (l->records == NULL || l->producer == NULL || l->has_failed)
        return;
    st = dead_letters_send(l->producer, l->topic, l->records, &l->at,
                           &l->unsettled, l, &err);
    if (st != STATUS_OK && st != STATUS_AGAIN)
        on_failed(l, &err);
    if (l->unsettled > 0 || st != STATUS_OK)
        return;
    l->records = NULL;
    l->on_acknowledged(l->ctx);
}

static void
on_delivered(void *ctx, void *opaque, size_t count, const struct error *err)
{
    struct letters *l = ctx;

    (void)opaque;
    l->unsettled -= count;
    if (err != NULL)
        on_failed(l, err);
    go_on(l);
}

static void
on_retire(void *ctx)
{
    struct letters *l = ctx;

    kafka_producer_free(&l->retired);
}

static void
on_retired(void *ctx)
{
    struct letters *l = ctx;

    l->has_failed = false;
    l->at = 0;
    if (l->records != NULL)
        timer_start(l->reopen, REOPEN_MS, 0);
}

static void
on_reopen(void *ctx)
{
    struct letters *l = ctx;
    struct error err;

    if (can_retire(l)) {
        retire_producer(l);
        return;
    }
    if (l->producer == NULL && open_producer(l, &err) != STATUS_OK) {
        log_warn("producer_failed", "text=\"%s\"", err.text);
        timer_start(l->reopen, REOPEN_MS, 0);
        return;
    }
    go_on(l);
}

enum status
letters_send(struct letters *l, const struct batch *b, struct error *err)
{
    enum status st = STATUS_OK;

    OBJ_CHECK(l, LETTERS_MAGIC);
    assert(l->records == NULL);
    l->records = &b->dead_letters;
    l->at = 0;
    if (l->producer == NULL && !l->has_failed)
        st = open_producer(l, err);
    if (st == STATUS_OK)
        go_on(l);
    return st;
}

void
letters_stop(struct letters *l)
{
    OBJ_CHECK(l, LETTERS_MAGIC);
    timer_stop(l->reopen);
    l->records = NULL;
    if (l->producer != NULL)
        retire_producer(l);
}

enum status
letters_open(struct letters **out, struct pipeline *p,
             void (*on_acknowledged)(void *ctx), void *ctx, struct error *err)
{
    struct letters *l = calloc(1, sizeof(*l));
    enum status st;

    if (l == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for dead letters");
    l->magic = LETTERS_MAGIC;
    l->pipeline = p;
    l->on_acknowledged = on_acknowledged;
    l->ctx = ctx;
    l->retire = (struct call){on_retire, on_retired, l, false};
    st = timer_new(&l->reopen, p->loop, on_reopen, l, err);
    if (st != STATUS_OK) {
        free(l);
        return st;
    }
    *out = l;
    return STATUS_OK;
}

void
letters_free(struct letters **self)
{
    struct letters *l;

    if (*self == NULL)
        return;
    OBJ_TAKE(l, self, LETTERS_MAGIC);
    kafka_producer_free(&l->producer);
    timer_free(&l->reopen);
    l->magic = 0;
    free(l);
}
