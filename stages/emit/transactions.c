/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of transactions on the calls thread.
 */
#include "stages/emit/transactions.h"

#include "stages/settings.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/calls.h"
#include "daemon/io/host.h"

#include <stdio.h>
#include <stdlib.h>

#define TRANSACTIONS_MAGIC 0x5452414eu

struct transactions {
    unsigned magic;
    struct pipeline *pipeline;
    transactions_fn on_step;
    void *ctx;
    enum transactions_state state;
    char id[KAFKA_TOPIC_MAX + 1];
    struct call call;
    /* Of the step under way, the calls thread's: */
    enum transactions_step step;
    struct kafka_producer *producer;
    struct kafka_consumer *member;
    struct kafka_offset offsets[KAFKA_PARTITIONS_MAX];
    size_t offset_count;
    enum transaction_outcome outcome;
    struct error error;
    uint64_t committed;
    uint64_t aborted;
    uint64_t unknown;
};

/* ---- the calls thread ---- */

static void
on_call(void *ctx)
{
    struct transactions *t = ctx;
    const char *topic = t->pipeline->settings->events_topic;

    switch (t->step) {
    case TRANSACTIONS_INIT:
        t->outcome = transaction_init(t->producer, &t->error);
        break;
    case TRANSACTIONS_BEGIN:
        t->outcome = transaction_begin(t->producer, &t->error);
        break;
    case TRANSACTIONS_COMMIT:
        t->outcome = transaction_commit(t->producer, t->member, topic,
                                        t->offsets, t->offset_count, &t->error);
        break;
    case TRANSACTIONS_ABORT:
        t->outcome = transaction_abort(t->producer, &t->error);
        break;
    }
}

/* ---- the loop ---- */

static void
count_end(struct transactions *t)
{
    if (t->outcome == TRANSACTION_DONE && t->step == TRANSACTIONS_COMMIT)
        t->committed++;
    else if (t->outcome == TRANSACTION_ABORTED)
        t->aborted++;
    else if (t->outcome != TRANSACTION_DONE && t->step == TRANSACTIONS_COMMIT)
        t->unknown++;
}

static void
on_call_done(void *ctx)
{
    struct transactions *t = ctx;

    count_end(t);
    if (t->outcome == TRANSACTION_DONE && t->step == TRANSACTIONS_BEGIN)
        t->state = TRANSACTIONS_OPEN;
    else if (t->outcome == TRANSACTION_DONE ||
             t->outcome == TRANSACTION_ABORTED)
        t->state = TRANSACTIONS_READY;
    else
        t->state = TRANSACTIONS_CLOSED;
    t->on_step(t->ctx, t->step, t->outcome, &t->error);
}

void
transactions_do(struct transactions *t, enum transactions_step step,
                struct kafka_producer *producer, const struct positions *after)
{
    OBJ_CHECK(t, TRANSACTIONS_MAGIC);
    assert(t->state != TRANSACTIONS_BUSY);
    assert((t->state == TRANSACTIONS_CLOSED) == (step == TRANSACTIONS_INIT));
    t->state = TRANSACTIONS_BUSY;
    t->step = step;
    t->producer = producer;
    t->member = t->pipeline->member;
    t->offset_count = 0;
    for (size_t i = 0; after != NULL && i < after->count; i++) {
        uint32_t partition = after->at[i].partition;
        int64_t offset = (int64_t)after->at[i].offset;
        int64_t labeled = t->pipeline->labeled[partition];

        t->offsets[t->offset_count++] = (struct kafka_offset){
            (int32_t)partition, offset > labeled ? offset : labeled};
    }
    calls_begin(t->pipeline->calls, &t->call);
}

void
transactions_close(struct transactions *t)
{
    OBJ_CHECK(t, TRANSACTIONS_MAGIC);
    assert(t->state != TRANSACTIONS_BUSY);
    t->state = TRANSACTIONS_CLOSED;
}

enum transactions_state
transactions_state(const struct transactions *t)
{
    OBJ_CHECK(t, TRANSACTIONS_MAGIC);
    return t->state;
}

const char *
transactions_id(const struct transactions *t)
{
    OBJ_CHECK(t, TRANSACTIONS_MAGIC);
    return t->id;
}

void
transactions_report(const struct transactions *t, struct role_report *r)
{
    OBJ_CHECK(t, TRANSACTIONS_MAGIC);
    r->transactions_committed = t->committed;
    r->transactions_aborted = t->aborted;
    r->transactions_unknown = t->unknown;
    if (t->state == TRANSACTIONS_CLOSED)
        role_report_add_obstacle(r, "no transaction can be opened");
}

enum status
transactions_new(struct transactions **out, struct pipeline *p,
                 transactions_fn on_step, void *ctx, struct error *err)
{
    const char *given = p->settings->labels_transactional_id;
    struct transactions *t = calloc(1, sizeof(*t));
    char process[HOST_PROCESS_SIZE];

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for transactions");
    t->magic = TRANSACTIONS_MAGIC;
    t->pipeline = p;
    t->on_step = on_step;
    t->ctx = ctx;
    t->call = (struct call){on_call, on_call_done, t, false};
    host_process(process);
    if (given[0] != '\0')
        (void)snprintf(t->id, sizeof(t->id), "%s", given);
    else
        (void)snprintf(t->id, sizeof(t->id), "%.100s-%s",
                       p->settings->events_group, process);
    log_info("transactions", "id=%s", t->id);
    *out = t;
    return STATUS_OK;
}

void
transactions_free(struct transactions **self)
{
    struct transactions *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TRANSACTIONS_MAGIC);
    t->magic = 0;
    free(t);
}
