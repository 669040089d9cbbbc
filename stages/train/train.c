/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches to the trainer's thread and home again; versions to publish.
 */
#include "stages/train/train.h"

#include "stages/settings.h"
#include "stages/tap.h"
#include "stages/train/letters.h"
#include "stages/train/trainer.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <stdlib.h>

#define TRAIN_MAGIC  0x54524149u
#define VERSIONS_MAX 64
#define REPORT_MS    1000

struct train {
    struct stage stage;
    unsigned magic;
    struct trainer *trainer;
    struct worker *worker;
    struct letters *letters; /* NULL: the trainer writes dead letters */
    struct batch *held;      /* until its letters are acknowledged */
    struct timer *pulse;     /* asks the trainer how it stands */
    struct trainer_order order;
    bool is_order_out; /* it is the trainer's */
    bool wants_checkpoint;
    uint64_t interval_ms; /* between checkpoints; 0: examples alone count */
    uint64_t checkpoint_examples; /* trained by then */
    uint64_t checkpoint_ns;       /* when one was last asked for by time */
    uint64_t due[VERSIONS_MAX];   /* not taken by the next stage yet */
    size_t due_count;
    uint64_t last_due;         /* the thread's, read after it stopped */
    struct error finish_error; /* likewise */
    bool is_stopping;
    bool has_worker_stopped;
};

static void
add_due(struct train *t, uint64_t number)
{
    if (number == 0 || t->stage.pipeline->settings->publish_path[0] == '\0')
        return;
    if (t->due_count == VERSIONS_MAX) /* the newest ones matter */
        t->due_count--;
    t->due[t->due_count++] = number;
}

/* Hands versions on, oldest first; false: the next stage is full. */
static bool
push_due(struct train *t)
{
    while (t->due_count > 0) {
        struct version *v = calloc(1, sizeof(*v));
        void *parcel = v;
        struct error err;

        if (v == NULL) {
            (void)error_set(&err, STATUS_NOMEM, "no memory for a version");
            t->due_count = 0;
            stage_failed(&t->stage, &err);
            return true;
        }
        v->number = t->due[0];
        if (stage_push(&t->stage, &parcel) != STATUS_OK) {
            free(v);
            return false;
        }
        t->due_count--;
        for (size_t i = 0; i < t->due_count; i++)
            t->due[i] = t->due[i + 1];
    }
    return true;
}

static void
go_on(struct train *t)
{
    bool is_empty = push_due(t);

    if (is_empty && t->has_worker_stopped && !t->stage.is_stopped)
        stage_stopped(&t->stage);
}

/* ---- the trainer's thread ---- */

static void
on_batch(void *ctx, void *item)
{
    struct train *t = ctx;
    struct batch *b = item;
    uint64_t started_ns = clock_now_ns();

    if (item == &t->order) {
        trainer_obey(t->trainer, &t->order);
        return;
    }
    trainer_batch(t->trainer, b);
    b->work_ns = clock_now_ns() - started_ns;
}

static bool
on_idle(void *ctx)
{
    struct train *t = ctx;

    return trainer_idle(t->trainer);
}

static void
on_finish(void *ctx)
{
    struct train *t = ctx;

    trainer_finish(t->trainer, !atomic_load(&t->stage.pipeline->is_interrupted),
                   &t->last_due, &t->finish_error);
}

/* ---- the loop ---- */

/* Gives the trainer an order, unless it still has one or has no room: then the
 * next pulse tries again. */
static void
send_order(struct train *t)
{
    void *item = &t->order;

    if (t->is_order_out || t->is_stopping)
        return;
    t->order.wants_checkpoint = t->wants_checkpoint;
    if (worker_offer(t->worker, &item) != STATUS_OK)
        return;
    t->is_order_out = true;
    t->wants_checkpoint = false;
}

static void
on_pulse(void *ctx)
{
    struct train *t = ctx;

    if (t->interval_ms > 0 && clock_seconds_since(t->checkpoint_ns) * 1000.0 >=
                                  (double)t->interval_ms) {
        t->wants_checkpoint =
            t->wants_checkpoint ||
            t->stage.pipeline->counts.examples != t->checkpoint_examples;
        t->checkpoint_examples = t->stage.pipeline->counts.examples;
        t->checkpoint_ns = clock_now_ns();
    }
    if (t->wants_checkpoint || t->stage.pipeline->is_observed)
        send_order(t);
}

static void
on_obeyed(struct train *t)
{
    struct error err = t->order.error;

    t->is_order_out = false;
    t->stage.pipeline->trained = t->order.report;
    add_due(t, t->order.due_version);
    if (err.status != STATUS_OK)
        stage_failed(&t->stage, &err);
    if (t->wants_checkpoint)
        send_order(t);
    go_on(t);
}

static void
on_trained(void *ctx, void *item)
{
    struct train *t = ctx;
    struct batch *b = item;
    struct error err;

    if (item == &t->order) {
        on_obeyed(t);
        return;
    }
    err = b->error;
    if (b->has_position)
        histogram_add(&t->stage.pipeline->stats.work, (double)b->work_ns / 1e9);
    t->stage.pipeline->counts.examples += columns_real(b->columns);
    add_due(t, b->due_version);
    batch_release(&b);
    if (err.status != STATUS_OK)
        stage_failed(&t->stage, &err);
    else if (!t->is_stopping)
        stage_has_room(&t->stage);
    go_on(t);
}

static void
on_worker_stopped(void *ctx)
{
    struct train *t = ctx;

    t->has_worker_stopped = true;
    if (t->finish_error.status != STATUS_OK)
        stage_failed(&t->stage, &t->finish_error);
    add_due(t, t->last_due);
    go_on(t);
}

static void
checkpoint_train(struct stage *s)
{
    struct train *t = (struct train *)s;

    OBJ_CHECK(t, TRAIN_MAGIC);
    t->wants_checkpoint = true;
    send_order(t);
}

static void
start_train(struct stage *s)
{
    struct train *t = (struct train *)s;

    OBJ_CHECK(t, TRAIN_MAGIC);
    t->checkpoint_ns = clock_now_ns();
    if (s->pipeline->is_observed)
        send_order(t);
    timer_start(t->pulse, REPORT_MS, REPORT_MS);
    go_on(t);
}

static void
on_acknowledged(void *ctx)
{
    struct train *t = ctx;
    void *item = t->held;
    enum status st;

    t->held = NULL;
    st = worker_offer(t->worker, &item);
    assert(st == STATUS_OK); /* as many slots as batches and orders */
    stage_has_room(&t->stage);
}

/* Holds a batch back that has letters to send. */
static void
hold(struct train *t, struct batch *b)
{
    struct error err;

    t->held = b;
    if (letters_send(t->letters, b, &err) == STATUS_OK)
        return;
    t->held = NULL;
    batch_release(&b);
    stage_failed(&t->stage, &err);
}

static enum status
offer_train(struct stage *s, void **parcel)
{
    struct train *t = (struct train *)s;
    struct batch *b = *parcel;

    OBJ_CHECK(t, TRAIN_MAGIC);
    OBJ_CHECK(b, BATCH_MAGIC);
    if (t->held != NULL)
        return STATUS_AGAIN;
    tap_show_batch(s->pipeline->tap, b);
    if (t->letters == NULL || b->dead_letters.used == 0)
        return worker_offer(t->worker, parcel);
    *parcel = NULL;
    hold(t, b);
    return STATUS_OK;
}

static void
resume_train(struct stage *s)
{
    struct train *t = (struct train *)s;

    OBJ_CHECK(t, TRAIN_MAGIC);
    go_on(t);
}

static void
stop_train(struct stage *s)
{
    struct train *t = (struct train *)s;

    OBJ_CHECK(t, TRAIN_MAGIC);
    if (t->is_stopping)
        return;
    t->is_stopping = true;
    timer_stop(t->pulse);
    if (t->letters != NULL)
        letters_stop(t->letters);
    batch_release(&t->held); /* no checkpoint has passed it */
    worker_stop(t->worker);
}

static void
free_train(struct stage **self)
{
    struct train *t = (struct train *)*self;

    OBJ_CHECK(t, TRAIN_MAGIC);
    *self = NULL;
    worker_free(&t->worker);
    timer_free(&t->pulse);
    letters_free(&t->letters);
    trainer_free(&t->trainer);
    t->magic = 0;
    free(t);
}

static enum status
open_train(struct stage **out, struct pipeline *p, struct error *err)
{
    struct train *t = calloc(1, sizeof(*t));
    struct worker_spec worker = {
        .name = "trainer",
        .slots = p->settings->pipeline_batches + 1, /* and an order */
        .ctx = t,
        .work = on_batch,
        .done = on_trained,
        .idle = on_idle,
        .finish = on_finish,
        .stopped = on_worker_stopped,
    };
    struct stage *s;
    uint64_t due = 0;
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    s = &t->stage;
    t->magic = TRAIN_MAGIC;
    t->stage.pipeline = p;
    if (!settings_is_deterministic(p->settings))
        t->interval_ms = p->settings->checkpoint_interval;
    st = trainer_open(&t->trainer, p, &due, err);
    if (st == STATUS_OK && p->settings->dead_letters_log == LOG_KIND_KAFKA)
        st = letters_open(&t->letters, p, on_acknowledged, t, err);
    if (st == STATUS_OK)
        st = timer_new(&t->pulse, p->loop, on_pulse, t, err);
    if (st == STATUS_OK)
        st = worker_new(&t->worker, p->loop, &worker, err);
    if (st != STATUS_OK) {
        free_train(&s);
        return st;
    }
    add_due(t, due);
    *out = s;
    return STATUS_OK;
}

const struct stage_ops train_stage = {
    .name = "train",
    .takes = PARCEL_BATCH,
    .gives = PARCEL_VERSION,
    .open = open_train,
    .start = start_train,
    .offer = offer_train,
    .resume = resume_train,
    .stop = stop_train,
    .checkpoint = checkpoint_train,
    .free = free_train,
};
