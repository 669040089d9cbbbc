/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hearings: asks go out to the teachers and come back, and their answers go
 * into the batch.
 */
#include "stages/annotate/panel.h"

#include "stages/annotate/rejected.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PANEL_MAGIC 0x50414e45u
#define TICK_MS     100u

/* One teacher, and its thread where it has one. */
struct seat {
    struct panel *panel;
    const struct teacher_settings *settings;
    const struct teacher_ops *ops;
    struct teacher *teacher;
    struct worker *worker; /* NULL: it needs none */
    bool has_stopped;
    struct error error; /* of its end; the thread's until has_stopped */
};

struct panel {
    unsigned magic;
    struct pipeline *pipeline;
    struct panel_spec spec;
    struct seat *seats; /* (count) */
    size_t count;
    size_t width;              /* logits a row */
    struct timer *tick;        /* looks for asks that are worth nothing now */
    struct hearing **hearings; /* (hearings_max) under way */
    size_t hearing_count;
    bool is_stopping;
    bool has_stopped;
};

/* ---- answers into the batch ---- */

/* Writes a row's logits into the columns of its tasks. */
static bool
write_row(struct columns *c, size_t row, const float *logits)
{
    bool has_any = false;

    for (size_t i = 0; i < c->task_count; i++) {
        struct outcome_column *t = &c->tasks[i];
        bool is_finite = true;

        for (size_t k = 0; k < t->width; k++)
            is_finite = is_finite && isfinite(logits[k]);
        t->has_teacher[row] = is_finite;
        if (is_finite)
            memcpy(t->teacher + row * t->width, logits,
                   t->width * sizeof(float));
        has_any = has_any || is_finite;
        logits += t->width;
    }
    return has_any;
}

static void
write_none(struct columns *c, size_t row)
{
    for (size_t i = 0; i < c->task_count; i++)
        c->tasks[i].has_teacher[row] = 0;
}

/* Takes over what one teacher answered. */
static void
take_answers(struct batch *b, const char *name, const struct ask *ask)
{
    uint8_t numbers[ASK_VERSIONS_MAX];

    for (size_t i = 0; i < ask->version_count; i++)
        numbers[i] = batch_answerer(b, name, ask->versions[i]);
    for (size_t row = 0; row < b->columns->row_count; row++) {
        if (!ask->wanted[row])
            continue;
        if (ask->answers[row] == ANSWER_GIVEN &&
            write_row(b->columns, row, ask->logits + row * ask->width))
            b->answered_by[row] = numbers[ask->version_of[row]];
        else
            write_none(b->columns, row);
    }
}

/* Rows that a teacher rejected leave the batch as dead letters. */
static enum status
take_rejected(struct panel *panel, struct batch *b, const struct ask *ask,
              struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t row = 0; row < b->columns->row_count && ask->reasons.used > 0 &&
                         st == STATUS_OK;
         row++) {
        if (ask->answers[row] == ANSWER_REJECTED &&
            row < columns_real(b->columns)) /* imagined ones have no label */
            st = reject_row(panel->pipeline, b, row, ask_reason(ask, row), err);
    }
    return st;
}

/* ---- hearings ---- */

static void
stop_seats(struct panel *panel)
{
    if (!panel->is_stopping || panel->hearing_count > 0)
        return;
    timer_stop(panel->tick);
    for (size_t i = 0; i < panel->count; i++) {
        struct seat *seat = &panel->seats[i];

        if (seat->worker != NULL)
            worker_stop(seat->worker);
        else
            seat->has_stopped = true;
    }
}

static void
say_stopped(struct panel *panel)
{
    struct error err;

    if (!panel->is_stopping || panel->hearing_count > 0 || panel->has_stopped)
        return;
    error_clear(&err);
    for (size_t i = 0; i < panel->count; i++) {
        if (!panel->seats[i].has_stopped)
            return;
        if (err.status == STATUS_OK)
            err = panel->seats[i].error;
    }
    panel->has_stopped = true;
    panel->spec.on_stopped(panel->spec.ctx, &err);
}

static void
end_hearing(struct panel *panel, struct hearing *h)
{
    struct batch *b = h->batch;

    error_clear(&h->error);
    b->work_ns = 0;
    for (size_t i = 0; i < panel->count; i++) {
        struct ask *ask = &h->asks[i];

        if (h->error.status == STATUS_OK && ask->error.status != STATUS_OK)
            h->error = ask->error;
        if (ask->work_ns > b->work_ns)
            b->work_ns = ask->work_ns;
        take_answers(b, panel->seats[i].settings->name, ask);
        if (h->error.status == STATUS_OK)
            (void)take_rejected(panel, b, ask, &h->error);
    }
    for (size_t i = 0; i < panel->hearing_count; i++) {
        if (panel->hearings[i] == h)
            panel->hearings[i] = panel->hearings[--panel->hearing_count];
    }
    h->is_under_way = false;
    h->batch = NULL;
    panel->spec.on_heard(panel->spec.ctx, h);
    stop_seats(panel);
    say_stopped(panel);
}

static void
on_done(void *ctx, struct ask *ask)
{
    struct hearing *h = ctx;
    struct panel *panel = h->panel;

    assert(ask->is_under_way && h->open > 0);
    ask->is_under_way = false;
    if (ask->began_ns > 0)
        ask->work_ns = clock_now_ns() - ask->began_ns;
    if (--h->open == 0)
        end_hearing(panel, h);
}

/* Thread: the teacher's, where it has one. */
static void
answer(const struct seat *seat, struct ask *ask)
{
    uint64_t began_ns = clock_now_ns();

    seat->ops->answer(seat->teacher, ask);
    ask->work_ns = clock_now_ns() - began_ns;
}

static void
put_ask(struct seat *seat, struct ask *ask)
{
    void *item = ask;
    enum status st;

    switch (seat->ops->way) {
    case TEACHER_AT_ONCE:
        answer(seat, ask);
        ask->done(ask->ctx, ask);
        break;
    case TEACHER_ON_THREAD:
        st = worker_offer(seat->worker, &item);
        assert(st == STATUS_OK); /* as many slots as hearings */
        break;
    case TEACHER_ASYNC:
        ask->began_ns = clock_now_ns();
        seat->ops->ask(seat->teacher, ask);
        break;
    }
}

void
panel_hear(struct panel *panel, struct hearing *h, struct batch *b)
{
    OBJ_CHECK(panel, PANEL_MAGIC);
    assert(!h->is_under_way && !panel->is_stopping);
    assert(panel->hearing_count < panel->spec.hearings_max);
    h->batch = b;
    h->is_under_way = true;
    h->is_canceled = false;
    panel->hearings[panel->hearing_count++] = h;
    h->open = panel->count + 1; /* none ends it while asks go out */
    for (size_t i = 0; i < panel->count; i++) {
        struct ask *ask = &h->asks[i];

        ask_begin(ask, b);
        for (size_t row = 0; row < b->columns->row_count; row++) {
            if (b->is_chosen[row])
                ask_want(ask, row);
        }
        ask->done = on_done;
        ask->ctx = h;
        ask->is_under_way = true;
        put_ask(&panel->seats[i], ask);
    }
    if (--h->open == 0)
        end_hearing(panel, h);
}

/* What is of an epoch that is over must not keep batches from coming home. */
static void
cancel_hearing(struct panel *panel, struct hearing *h)
{
    h->is_canceled = true;
    h->open++;
    for (size_t i = 0; i < panel->count; i++) {
        const struct seat *seat = &panel->seats[i];

        if (h->asks[i].is_under_way && seat->ops->way == TEACHER_ASYNC)
            seat->ops->cancel(seat->teacher, &h->asks[i]);
    }
    if (--h->open == 0)
        end_hearing(panel, h);
}

static void
on_tick(void *ctx)
{
    struct panel *panel = ctx;

    /* One that ends may take others with it, or bring new ones. */
    for (size_t i = panel->hearing_count; i-- > 0;) {
        struct hearing *h =
            i < panel->hearing_count ? panel->hearings[i] : NULL;

        if (h != NULL && !h->is_canceled &&
            h->batch->epoch != panel->pipeline->epoch)
            cancel_hearing(panel, h);
    }
}

/* ---- the thread of a teacher ---- */

static void
on_ask(void *ctx, void *item)
{
    answer(ctx, item);
}

static void
on_answered(void *ctx, void *item)
{
    struct ask *ask = item;

    (void)ctx;
    ask->done(ask->ctx, ask);
}

static bool
on_idle(void *ctx)
{
    struct seat *seat = ctx;

    return seat->ops->idle(seat->teacher);
}

static void
on_finish(void *ctx)
{
    struct seat *seat = ctx;

    seat->ops->finish(seat->teacher, &seat->error);
}

static void
on_worker_stopped(void *ctx)
{
    struct seat *seat = ctx;

    seat->has_stopped = true;
    say_stopped(seat->panel);
}

/* ---- life ---- */

static enum status
open_seat(struct panel *panel, struct seat *seat, struct error *err)
{
    struct worker_spec worker = {
        .name = "teacher",
        .slots = panel->spec.hearings_max,
        .ctx = seat,
        .work = on_ask,
        .done = on_answered,
        .stopped = on_worker_stopped,
    };
    enum status st;

    seat->panel = panel;
    seat->ops = panel->spec.kinds[seat->settings->kind];
    assert((seat->ops->way == TEACHER_ASYNC) == (seat->ops->answer == NULL));
    assert((seat->ops->way == TEACHER_ASYNC) == (seat->ops->ask != NULL));
    assert((seat->ops->way == TEACHER_ASYNC) == (seat->ops->cancel != NULL));
    st = seat->ops->open(&seat->teacher, panel->pipeline, seat->settings, err);
    if (st != STATUS_OK || seat->ops->way != TEACHER_ON_THREAD)
        return st;
    if (seat->ops->idle != NULL)
        worker.idle = on_idle;
    if (seat->ops->finish != NULL)
        worker.finish = on_finish;
    return worker_new(&seat->worker, panel->pipeline->loop, &worker, err);
}

enum status
panel_open(struct panel **out, struct pipeline *p,
           const struct panel_spec *spec, struct error *err)
{
    const struct event_spec *events = event_shape_spec(p->events);
    struct panel *panel = calloc(1, sizeof(*panel));
    size_t count = settings_teacher_count(p->settings);
    bool is_async = false;
    enum status st = STATUS_OK;

    if (panel == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for teachers");
    panel->magic = PANEL_MAGIC;
    panel->pipeline = p;
    panel->spec = *spec;
    for (size_t i = 0; i < events->task_count; i++)
        panel->width += event_logit_width(&events->tasks[i]);
    panel->seats = calloc(count, sizeof(panel->seats[0]));
    panel->hearings = calloc(spec->hearings_max, sizeof(panel->hearings[0]));
    if (panel->seats == NULL || panel->hearings == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for teachers");
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        panel->count++;
        panel->seats[i].settings = settings_teacher(p->settings, i);
        st = open_seat(panel, &panel->seats[i], err);
        is_async = is_async || panel->seats[i].ops->way == TEACHER_ASYNC;
    }
    if (st == STATUS_OK)
        st = timer_new(&panel->tick, p->loop, on_tick, panel, err);
    if (st != STATUS_OK) {
        panel_free(&panel);
        return st;
    }
    if (is_async)
        timer_start(panel->tick, TICK_MS, TICK_MS);
    *out = panel;
    return STATUS_OK;
}

enum status
panel_hearing_init(struct panel *panel, struct hearing *h, size_t row_max,
                   struct error *err)
{
    enum status st = STATUS_OK;

    OBJ_CHECK(panel, PANEL_MAGIC);
    *h = (struct hearing){.panel = panel};
    h->asks = calloc(panel->count, sizeof(h->asks[0]));
    if (h->asks == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for asks");
    for (size_t i = 0; i < panel->count && st == STATUS_OK; i++)
        st = ask_init(&h->asks[i], row_max, panel->width, err);
    return st;
}

void
panel_hearing_fini(struct panel *panel, struct hearing *h)
{
    for (size_t i = 0; h->asks != NULL && i < panel->count; i++)
        ask_fini(&h->asks[i]);
    free(h->asks);
    h->asks = NULL;
}

void
panel_stop(struct panel *panel)
{
    OBJ_CHECK(panel, PANEL_MAGIC);
    if (panel->is_stopping)
        return;
    panel->is_stopping = true;
    stop_seats(panel);
    say_stopped(panel);
}

void
panel_report(const struct panel *panel, struct role_report *r)
{
    OBJ_CHECK(panel, PANEL_MAGIC);
    for (size_t i = 0; i < panel->count; i++) {
        if (panel->seats[i].ops->report != NULL)
            panel->seats[i].ops->report(panel->seats[i].teacher, r);
    }
}

void
panel_free(struct panel **self)
{
    struct panel *panel;

    if (*self == NULL)
        return;
    OBJ_TAKE(panel, self, PANEL_MAGIC);
    timer_free(&panel->tick);
    for (size_t i = 0; i < panel->count; i++) {
        worker_free(&panel->seats[i].worker);
        panel->seats[i].ops->free(&panel->seats[i].teacher);
    }
    free(panel->seats);
    free(panel->hearings);
    panel->magic = 0;
    free(panel);
}
