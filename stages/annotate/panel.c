/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hearings: asks go out to the teachers and come back, and their answers go
 * into the batch.
 */
#include "stages/annotate/panel.h"

#include "stages/annotate/rejected.h"
#include "stages/event/feature_id.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <stdlib.h>
#include <string.h>

#define PANEL_MAGIC 0x50414e45u
#define TICK_MS     100u

/* One teacher, and its thread where it has one. */
struct seat {
    struct panel *panel;
    struct teacher_stats *stats; /* the role's */
    struct seat *fallback;       /* for rows that it does not answer; or NULL */
    double *weights;             /* (tasks) of its logits; NULL: each 1 */
    const struct teacher_settings *settings;
    const struct teacher_ops *ops;
    struct teacher *teacher;
    struct worker *worker; /* NULL: it needs none */
    bool has_stopped;
    struct error error; /* of its end; the thread's until has_stopped */
};

/* Who is asked about rows with an id of the gate's feature. */
struct gate {
    uint64_t id;
    uint8_t seats;
};

struct panel {
    unsigned magic;
    struct pipeline *pipeline;
    struct panel_spec spec;
    struct seat *seats; /* (count) */
    size_t count;
    size_t width; /* logits a row */
    size_t task_count;
    uint8_t first_asked; /* seats, one bit each, that no gate decides on */
    struct gate *gates;  /* (gate_count) by id */
    size_t gate_count;
    size_t gate_column;
    struct timer *tick;        /* looks for asks that are worth nothing now */
    struct hearing **hearings; /* (hearings_max) under way */
    size_t hearing_count;
    bool is_stopping;
    bool has_stopped;
};

/* ---- who is asked ---- */

/* Whether a seat is named as the one to fall back on. */
static bool
is_fallback(const struct panel *panel, size_t i)
{
    for (size_t k = 0; k < panel->count; k++) {
        if (panel->seats[k].fallback == &panel->seats[i])
            return true;
    }
    return false;
}

static int
compare_gates(const void *a, const void *b)
{
    const struct gate *x = a;
    const struct gate *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* The seats of a row, one bit each. */
static uint8_t
find_seats(const struct panel *panel, const struct batch *b, size_t row)
{
    struct gate key = {0};
    const struct gate *found;

    if (panel->gate_count == 0)
        return panel->first_asked;
    key.id = b->columns->features[panel->gate_column].ids[row];
    found = bsearch(&key, panel->gates, panel->gate_count,
                    sizeof(panel->gates[0]), compare_gates);
    return found != NULL ? found->seats : panel->first_asked;
}

static bool
is_asked(const struct hearing *h, size_t row, size_t seat)
{
    return (h->targets[row] >> seat & 1) != 0;
}

/* ---- what became of it ---- */

/* Rows that a teacher rejected leave the batch as dead letters. */
static enum status
take_rejected(struct seat *seat, struct batch *b, const struct ask *ask,
              struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t row = 0; row < b->columns->row_count && st == STATUS_OK &&
                         ask->reasons.used > 0;
         row++) {
        if (ask->answers[row] != ANSWER_REJECTED)
            continue;
        seat->stats->rejected++;
        if (row < columns_real(b->columns)) /* imagined ones have no label */
            st = reject_row(seat->panel->pipeline, b, row, ask_reason(ask, row),
                            err);
    }
    return st;
}

/* Counts rows, and lets another teacher have those that were not answered. */
static void
take_failed(struct seat *seat, struct hearing *h, const struct ask *ask)
{
    struct batch *b = h->batch;
    bool has_failed = ask->error.status != STATUS_OK;
    size_t back = seat->fallback != NULL
                      ? (size_t)(seat->fallback - seat->panel->seats)
                      : 0;

    for (size_t row = 0; row < b->columns->row_count; row++) {
        if (!ask->wanted[row])
            continue;
        if (ask->answers[row] == ANSWER_GIVEN)
            seat->stats->answers++;
        if (ask->answers[row] != ANSWER_NONE || !has_failed)
            continue;
        seat->stats->failures++;
        if (seat->fallback != NULL && !b->is_rejected[row])
            h->next_targets[row] |= (uint8_t)(1u << back);
    }
}

static void
take_ask(struct seat *seat, struct hearing *h, struct ask *ask)
{
    struct teacher_stats *stats = seat->stats;

    histogram_add(&stats->seconds, (double)ask->work_ns / 1e9);
    if (ask->work_ns > h->round_ns)
        h->round_ns = ask->work_ns;
    if (ask->version_count > 0)
        memcpy(stats->version, ask->versions[ask->version_count - 1],
               sizeof(stats->version));
    blend_add(&h->blend, ask, seat->settings->name, seat->weights,
              &stats->unplaced);
    if (h->error.status == STATUS_OK && !h->is_canceled)
        (void)take_rejected(seat, h->batch, ask, &h->error);
    take_failed(seat, h, ask);
    if (ask->error.status != STATUS_OK)
        stats->failed_asks++;
    if (ask->error.status != STATUS_OK && h->error.status == STATUS_OK &&
        seat->settings->on_failure == ON_FAILURE_WAIT)
        h->error = ask->error;
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
    blend_write(&h->blend);
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

static void begin_round(struct panel *panel, struct hearing *h);

/* All that were asked have answered, or will not. */
static void
end_round(struct panel *panel, struct hearing *h)
{
    size_t rows = h->batch->columns->row_count;
    bool has_more = false;

    memset(h->next_targets, 0, rows);
    h->round_ns = 0;
    for (size_t i = 0; i < panel->count; i++) {
        if (h->asks[i].was_asked)
            take_ask(&panel->seats[i], h, &h->asks[i]);
        h->asks[i].was_asked = false;
    }
    h->batch->work_ns += h->round_ns;
    memcpy(h->targets, h->next_targets, rows);
    for (size_t row = 0; row < rows && !has_more; row++)
        has_more = h->targets[row] != 0;
    if (has_more && h->error.status == STATUS_OK && !h->is_canceled)
        begin_round(panel, h);
    else
        end_hearing(panel, h);
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
    if (ask->is_canceled && ask->error.status == STATUS_OK)
        (void)error_set(&ask->error, STATUS_TIMEOUT,
                        "no answer within the deadline");
    if (--h->open == 0)
        end_round(panel, h);
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

/* Asks each teacher about the rows that are its. */
static void
begin_round(struct panel *panel, struct hearing *h)
{
    size_t rows = h->batch->columns->row_count;

    h->open = 1; /* none ends it while asks go out */
    for (size_t i = 0; i < panel->count; i++) {
        struct ask *ask = &h->asks[i];

        ask_begin(ask, h->batch);
        for (size_t row = 0; row < rows; row++) {
            if (is_asked(h, row, i))
                ask_want(ask, row);
        }
        /* One that learns has to see what it is not asked about. */
        if (ask->wanted_count == 0 && !panel->pipeline->settings->teacher_learn)
            continue;
        ask->done = on_done;
        ask->ctx = h;
        ask->is_under_way = true;
        ask->was_asked = true;
        h->open++;
        put_ask(&panel->seats[i], ask);
    }
    if (--h->open == 0)
        end_round(panel, h);
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
    error_clear(&h->error);
    b->work_ns = 0;
    panel->hearings[panel->hearing_count++] = h;
    blend_begin(&h->blend, b);
    for (size_t row = 0; row < b->columns->row_count; row++)
        h->targets[row] =
            b->is_chosen[row] ? find_seats(panel, b, row) : (uint8_t)0;
    begin_round(panel, h);
}

static bool
is_late(const struct seat *seat, const struct ask *ask)
{
    return seat->settings->on_failure != ON_FAILURE_WAIT &&
           clock_now_ns() - ask->began_ns >=
               seat->settings->deadline * UINT64_C(1000000);
}

/* Cancels the asks of a hearing that are late; all when it is over: they must
 * not keep its batch from coming home. */
static void
cancel_asks(struct panel *panel, struct hearing *h, bool is_over)
{
    h->is_canceled = h->is_canceled || is_over;
    h->open++; /* a canceled ask may end at once */
    for (size_t i = 0; i < panel->count; i++) {
        const struct seat *seat = &panel->seats[i];
        struct ask *ask = &h->asks[i];

        if (!ask->is_under_way || ask->is_canceled ||
            seat->ops->way != TEACHER_ASYNC ||
            (!is_over && !is_late(seat, ask)))
            continue;
        ask->is_canceled = true;
        seat->ops->cancel(seat->teacher, ask);
    }
    if (--h->open == 0)
        end_round(panel, h);
}

static void
on_tick(void *ctx)
{
    struct panel *panel = ctx;

    /* One that ends may take others with it, or bring new ones. */
    for (size_t i = panel->hearing_count; i-- > 0;) {
        struct hearing *h =
            i < panel->hearing_count ? panel->hearings[i] : NULL;

        if (h != NULL)
            cancel_asks(panel, h, h->batch->epoch != panel->pipeline->epoch);
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

static enum status
set_weights(struct panel *panel, struct seat *seat, struct error *err)
{
    const struct teacher_settings *s = seat->settings;

    if (panel->pipeline->settings->teacher_combine != TEACHER_COMBINE_MEAN)
        return STATUS_OK;
    seat->weights = calloc(panel->task_count, sizeof(double));
    if (seat->weights == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for teachers");
    for (size_t i = 0; i < panel->task_count; i++)
        seat->weights[i] =
            s->weights.count > 0 ? s->weights.items[i] : s->weight;
    return STATUS_OK;
}

static void
link_fallback(struct panel *panel, struct seat *seat)
{
    for (size_t i = 0; i < panel->count; i++) {
        if (seat->settings->on_failure == ON_FAILURE_FALLBACK &&
            strcmp(panel->seats[i].settings->name, seat->settings->fallback) ==
                0)
            seat->fallback = &panel->seats[i];
    }
}

static size_t
find_feature(const struct event_spec *events, const char *name)
{
    size_t i = 0;

    while (i < events->feature_count &&
           strcmp(events->features[i].name, name) != 0)
        i++;
    assert(i < events->feature_count); /* settings were checked */
    return i;
}

static enum status
set_gates(struct panel *panel, struct error *err)
{
    const struct settings *s = panel->pipeline->settings;
    size_t count = 0;

    panel->gate_column = find_feature(event_shape_spec(panel->pipeline->events),
                                      s->teacher_gate);
    for (size_t i = 0; i < panel->count; i++)
        count += panel->seats[i].settings->when.count;
    panel->gates = calloc(count + 1, sizeof(panel->gates[0]));
    if (panel->gates == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for %zu values", count);
    for (size_t i = 0; i < panel->count; i++) {
        const struct setting_strings *when = &panel->seats[i].settings->when;

        for (size_t k = 0; k < when->count; k++)
            panel->gates[panel->gate_count++] =
                (struct gate){feature_id(s->teacher_gate, when->items[k],
                                         strlen(when->items[k])),
                              (uint8_t)(1u << i)};
        if (when->count == 0 && !is_fallback(panel, i))
            panel->first_asked |= (uint8_t)(1u << i);
    }
    qsort(panel->gates, panel->gate_count, sizeof(panel->gates[0]),
          compare_gates);
    return STATUS_OK;
}

/* Says who is asked about what. */
static enum status
arrange(struct panel *panel, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < panel->count; i++)
        link_fallback(panel, &panel->seats[i]);
    for (size_t i = 0; i < panel->count && st == STATUS_OK; i++)
        st = set_weights(panel, &panel->seats[i], err);
    if (st != STATUS_OK)
        return st;
    switch (panel->pipeline->settings->teacher_combine) {
    case TEACHER_COMBINE_FIRST:
        panel->first_asked = 1;
        break;
    case TEACHER_COMBINE_MEAN:
        for (size_t i = 0; i < panel->count; i++) {
            if (!is_fallback(panel, i))
                panel->first_asked |= (uint8_t)(1u << i);
        }
        break;
    case TEACHER_COMBINE_GATE:
        st = set_gates(panel, err);
        break;
    }
    return st;
}

/* Opens all seats. */
static enum status
fill_seats(struct panel *panel, struct error *err)
{
    struct pipeline *p = panel->pipeline;
    size_t count = settings_teacher_count(p->settings);
    bool is_async = false;
    enum status st = STATUS_OK;

    assert(count <= TEACHERS_MAX);
    panel->seats = calloc(count, sizeof(panel->seats[0]));
    panel->hearings =
        calloc(panel->spec.hearings_max, sizeof(panel->hearings[0]));
    if (panel->seats == NULL || panel->hearings == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for teachers");
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        struct seat *seat = &panel->seats[i];

        panel->count++;
        seat->settings = settings_teacher(p->settings, i);
        seat->stats = &p->stats.teachers[i];
        st = open_seat(panel, seat, err);
        is_async = is_async || seat->ops->way == TEACHER_ASYNC;
    }
    if (st == STATUS_OK)
        st = timer_new(&panel->tick, p->loop, on_tick, panel, err);
    if (st == STATUS_OK && is_async)
        timer_start(panel->tick, TICK_MS, TICK_MS);
    return st;
}

enum status
panel_open(struct panel **out, struct pipeline *p,
           const struct panel_spec *spec, struct error *err)
{
    const struct event_spec *events = event_shape_spec(p->events);
    struct panel *panel = calloc(1, sizeof(*panel));
    enum status st;

    if (panel == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for teachers");
    panel->magic = PANEL_MAGIC;
    panel->pipeline = p;
    panel->spec = *spec;
    panel->task_count = events->task_count;
    for (size_t i = 0; i < events->task_count; i++)
        panel->width += event_logit_width(&events->tasks[i]);
    st = fill_seats(panel, err);
    if (st == STATUS_OK)
        st = arrange(panel, err);
    if (st != STATUS_OK) {
        panel_free(&panel);
        return st;
    }
    *out = panel;
    return STATUS_OK;
}

enum status
panel_hearing_init(struct panel *panel, struct hearing *h, size_t row_max,
                   struct error *err)
{
    enum status st;

    OBJ_CHECK(panel, PANEL_MAGIC);
    *h = (struct hearing){.panel = panel};
    h->asks = calloc(panel->count, sizeof(h->asks[0]));
    h->targets = calloc(row_max, 1);
    h->next_targets = calloc(row_max, 1);
    st = blend_init(&h->blend, row_max, panel->task_count, panel->width,
                    panel->pipeline->settings->teacher_combine ==
                            TEACHER_COMBINE_MEAN
                        ? panel->count
                        : 1,
                    err);
    if (h->asks == NULL || h->targets == NULL || h->next_targets == NULL)
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
    blend_fini(&h->blend);
    free(h->asks);
    free(h->targets);
    free(h->next_targets);
    *h = (struct hearing){.panel = NULL};
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
panel_refresh(struct panel *panel)
{
    OBJ_CHECK(panel, PANEL_MAGIC);
    for (size_t i = 0; i < panel->count; i++) {
        if (panel->seats[i].ops->refresh != NULL)
            panel->seats[i].ops->refresh(panel->seats[i].teacher);
    }
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
        if (panel->seats[i].ops != NULL)
            panel->seats[i].ops->free(&panel->seats[i].teacher);
        free(panel->seats[i].weights);
    }
    free(panel->gates);
    free(panel->seats);
    free(panel->hearings);
    panel->magic = 0;
    free(panel);
}
