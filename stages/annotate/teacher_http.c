/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model server as the teacher: asks, the queue of their rows, and which job
 * goes next.
 */
#include "stages/annotate/http_teacher.h"
#include "stages/shape.h"

#include "daemon/base/clock.h"
#include "daemon/base/hash.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEACHER_MAGIC 0x48545450u

/* Values a row that an output may have beyond what its tasks take. */
#define SPARE_WIDTH 64

uint64_t
http_now_ms(void)
{
    return clock_now_ns() / 1000000;
}

bool
http_is_tfserving(const struct teacher *t)
{
    return t->settings->protocol == PROTOCOL_TFSERVING_ROW ||
           t->settings->protocol == PROTOCOL_TFSERVING_COLUMN;
}

/* ---- Trouble ---- */

void
http_trouble(struct teacher *t, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)error_set(&t->trouble, STATUS_REFUSED, "%s", text);
    if (strncmp(t->trouble_said, text, sizeof(t->trouble_said) - 1) == 0)
        return;
    (void)snprintf(t->trouble_said, sizeof(t->trouble_said), "%.63s", text);
    log_warn("teacher_trouble", "teacher=%s error=\"%.300s\"",
             t->settings->name, text);
}

void
http_no_trouble(struct teacher *t)
{
    if (t->trouble.status == STATUS_OK)
        return;
    error_clear(&t->trouble);
    t->trouble_said[0] = '\0';
    log_info("teacher_answers", "teacher=%s", t->settings->name);
}

/* ---- Slots ---- */

struct slot *
http_slot_of(const struct http_row *r)
{
    return r->slot->ask != NULL && r->slot->serial == r->serial ? r->slot
                                                                : NULL;
}

/* Puts the rows without an end into the queue, which has room for all. */
static void
queue_rows(struct teacher *t, struct slot *s)
{
    const struct ask *ask = s->ask;

    if (t->queue_count == 0)
        t->queued_ms = http_now_ms();
    for (size_t row = 0; row < ask->batch->columns->row_count; row++) {
        struct http_row *r;

        if (!ask->wanted[row] || ask->answers[row] != ANSWER_NONE)
            continue;
        assert(t->queue_count < t->queue_max);
        r = &t->queue[(t->queue_head + t->queue_count++) % t->queue_max];
        *r = (struct http_row){s, s->serial, (uint32_t)row};
        s->open++;
    }
    s->not_before_ms = 0;
}

/* Takes the rows of a question that is over out of the queue. */
static void
unqueue_rows(struct teacher *t, const struct slot *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->queue_count; i++) {
        struct http_row *r = &t->queue[(t->queue_head + i) % t->queue_max];

        if (r->slot == s)
            continue;
        t->queue[(t->queue_head + kept++) % t->queue_max] = *r;
    }
    t->queue_count = kept;
}

/* Gives the ask back. */
static void
end_slot(struct teacher *t, struct slot *s)
{
    struct ask *ask = s->ask;

    if (s->open > 0)
        unqueue_rows(t, s);
    for (size_t row = 0; row < ask->batch->columns->row_count; row++) {
        t->counts.answered += ask->answers[row] == ANSWER_GIVEN;
        t->counts.rejected += ask->answers[row] == ANSWER_REJECTED;
    }
    ask->own = NULL;
    s->ask = NULL;
    s->serial++;
    s->open = 0;
    ask->done(ask->ctx, ask);
}

/* Rows that were rejected and not settled: they may be asked about again, or
 * have no answer. */
static void
forget_rejected(struct teacher *t, struct ask *ask)
{
    for (size_t row = 0; row < ask->batch->columns->row_count; row++) {
        if (ask->answers[row] != ANSWER_REJECTED)
            continue;
        if (t->share.is_outage)
            http_trouble(t, "refuses too many events, the last one: %.200s",
                         ask_reason(ask, row));
        ask->answers[row] = ANSWER_NONE;
    }
    bytes_clear(&ask->reasons);
}

/* Asks again, later, about the rows that were rejected. */
static void
begin_again(struct teacher *t, struct slot *s)
{
    forget_rejected(t, s->ask);
    s->rejected = 0;
    s->is_doubtful = false;
    s->not_before_ms =
        http_now_ms() + 1 + pacer_retry_ms(&t->pacer, ++s->rounds, 0);
    t->must_pump = true; /* its time must be waited for */
}

/* No row is open any more. Rejected ones are asked about a second time before
 * they are dead; too many of them are an outage, in which none is. */
static void
settle_slot(struct teacher *t, struct slot *s)
{
    bool is_settled = s->rejected == 0 || s->rounds > 0;

    if (is_settled &&
        !reject_share_add(&t->share, s->ask->wanted_count, s->rejected))
        is_settled = false;
    if (is_settled && (s->rejected == 0 || !s->is_doubtful))
        end_slot(t, s);
    else
        begin_again(t, s);
}

void
http_row_end(struct teacher *t, const struct http_row *r, bool is_rejected)
{
    struct slot *s = http_slot_of(r);

    assert(s != NULL && s->open > 0);
    s->rejected += is_rejected;
    s->is_doubtful = s->is_doubtful || (is_rejected && t->share.is_outage);
    if (--s->open == 0)
        settle_slot(t, s);
}

void
http_fail(struct teacher *t, const struct error *err)
{
    if (t->fatal.status == STATUS_OK)
        (void)error_set(&t->fatal, err->status, "teacher %s: %.500s",
                        t->settings->name, err->text);
    for (size_t i = 0; i < t->slot_count; i++) {
        if (t->slots[i].ask == NULL)
            continue;
        forget_rejected(t, t->slots[i].ask);
        t->slots[i].ask->error = t->fatal;
        end_slot(t, &t->slots[i]);
    }
}

/* ---- The pump ---- */

/* Moves rows from the queue into a free job. */
static void
fill_job(struct teacher *t, struct http_job *j)
{
    j->at = 0;
    j->failures = 0;
    j->not_before_ms = 0;
    while (j->count < t->rows_max && t->queue_count > 0) {
        j->rows[j->count++] = t->queue[t->queue_head];
        t->queue_head = (t->queue_head + 1) % t->queue_max;
        t->queue_count--;
    }
    j->size = j->count;
    t->queued_ms = http_now_ms();
}

static void
wait_until(uint64_t *earliest, uint64_t ms)
{
    if (ms < *earliest)
        *earliest = ms;
}

/* Begins again with the questions whose outage has lasted long enough. */
static void
requeue_slots(struct teacher *t, uint64_t now_ms, uint64_t *earliest)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        struct slot *s = &t->slots[i];

        if (s->ask == NULL || s->not_before_ms == 0)
            continue;
        if (s->not_before_ms <= now_ms)
            queue_rows(t, s);
        else
            wait_until(earliest, s->not_before_ms);
    }
}

/* A job whose call may begin: one that was tried before, else a new one of
 * rows in the queue; NULL: none before *earliest. */
static struct http_job *
next_job(struct teacher *t, uint64_t now_ms, uint64_t *earliest)
{
    struct http_job *unused = NULL;

    for (size_t i = 0; i < t->job_count; i++) {
        struct http_job *j = &t->jobs[i];

        if (j->count == 0)
            unused = j;
        else if (j->call == NULL && j->not_before_ms <= now_ms)
            return j;
        else if (j->call == NULL)
            wait_until(earliest, j->not_before_ms);
    }
    if (unused == NULL || t->queue_count == 0)
        return NULL;
    if (t->queue_count < t->rows_max &&
        t->queued_ms + t->settings->batch_delay > now_ms) {
        wait_until(earliest, t->queued_ms + t->settings->batch_delay);
        return NULL;
    }
    fill_job(t, unused);
    return unused;
}

static void
pump_once(struct teacher *t)
{
    uint64_t earliest = UINT64_MAX;
    uint64_t now_ms = http_now_ms();

    requeue_slots(t, now_ms, &earliest);
    while (t->step == PROBE_DONE && t->fatal.status == STATUS_OK) {
        uint64_t wait_ms = pacer_wait_ms(&t->pacer, now_ms);
        struct http_job *j;

        if (wait_ms == UINT64_MAX)
            break; /* the end of a call comes here */
        if (wait_ms > 0) {
            wait_until(&earliest, now_ms + wait_ms);
            break;
        }
        j = next_job(t, now_ms, &earliest);
        if (j == NULL)
            break;
        (void)http_job_send(j);
    }
    if (earliest == UINT64_MAX)
        timer_stop(t->timer);
    else
        timer_start(t->timer, earliest > now_ms ? earliest - now_ms : 1, 0);
}

void
http_pump(struct teacher *t)
{
    t->must_pump = true;
    if (t->is_pumping)
        return;
    t->is_pumping = true;
    while (t->must_pump) {
        t->must_pump = false;
        pump_once(t);
    }
    t->is_pumping = false;
}

static void
on_timer(void *ctx)
{
    http_pump(ctx);
}

/* ---- Asks ---- */

static void
ask_teacher(struct teacher *t, struct ask *ask)
{
    size_t rows = ask->batch->columns->row_count;
    struct slot *s = NULL;

    OBJ_CHECK(t, TEACHER_MAGIC);
    for (size_t i = 0; i < t->slot_count && s == NULL; i++) {
        if (t->slots[i].ask == NULL)
            s = &t->slots[i];
    }
    assert(s != NULL); /* at most pipeline.batches are under way */
    if (t->fatal.status != STATUS_OK)
        ask->error = t->fatal;
    s->ask = ask;
    s->open = 0;
    s->rejected = 0;
    s->rounds = 0;
    s->is_doubtful = false;
    s->not_before_ms = 0;
    ask->own = s;
    tensor_rows_clear(s->rows);
    for (size_t row = 0; row < rows && ask->error.status == STATUS_OK; row++) {
        if (ask->wanted[row] &&
            tensor_rows_add(s->rows, ask->batch, row, &ask->error) != STATUS_OK)
            break;
    }
    if (ask->error.status != STATUS_OK || ask->wanted_count == 0) {
        end_slot(t, s);
        return;
    }
    queue_rows(t, s);
    http_pump(t);
}

static void
cancel_ask(struct teacher *t, struct ask *ask)
{
    struct slot *s = ask->own;

    OBJ_CHECK(t, TEACHER_MAGIC);
    assert(s != NULL && s->ask == ask);
    forget_rejected(t, ask);
    if (t->trouble.status != STATUS_OK)
        ask->error = t->trouble;
    end_slot(t, s);
}

static void
report_teacher(const struct teacher *t, struct role_report *r)
{
    const char *name = t->settings->name;
    struct teacher_report *own = role_report_add_teacher(r);

    OBJ_CHECK(t, TEACHER_MAGIC);
    if (own != NULL)
        *own = (struct teacher_report){
            .name = name,
            .breaker = pacer_state_name(t->pacer.state),
            .calls = t->counts.calls,
            .retries = t->counts.retries,
            .answered = t->counts.answered,
            .rejected = t->counts.rejected,
            .in_flight = t->pacer.under_way,
            .limit = pacer_limit(&t->pacer),
            .seconds = &t->counts.seconds,
        };
    if (t->fatal.status != STATUS_OK)
        role_report_add_obstacle(r, "%s", t->fatal.text);
    else if (t->share.is_outage)
        role_report_add_obstacle(r, "teacher %s refuses too many events: %.80s",
                                 name, t->trouble.text);
    else if (t->step != PROBE_DONE)
        role_report_add_obstacle(r, "teacher %s is not ready: %.90s", name,
                                 t->trouble.text);
    else if (t->pacer.state != PACER_CLOSED)
        role_report_add_obstacle(r, "teacher %s does not answer: %.90s", name,
                                 t->trouble.text);
}

/* ---- Life ---- */

enum status
http_calls_open(struct http_calls **out, struct loop *l,
                const struct teacher_settings *s, struct error *err)
{
    struct http_header headers[HTTP_CALL_HEADERS_MAX];
    struct http_calls_spec spec = {
        .calls_max = s->in_flight_max + 1, /* a probe beside them */
        .reply_bytes_max = s->reply_max,
        .connect_ms = s->connect_timeout,
        .ca_file = s->ca_file,
        .certificate = s->certificate,
        .key = s->key,
        .bearer = s->token,
        .user = s->user,
        .password = s->password,
        .headers = headers,
        .header_count = s->headers.count,
        .agent = "distilld",
    };

    if (spec.calls_max > HTTP_CALLS_MAX)
        spec.calls_max = HTTP_CALLS_MAX;
    assert(s->headers.count <= HTTP_CALL_HEADERS_MAX);
    for (size_t i = 0; i < s->headers.count; i++)
        headers[i] = (struct http_header){s->headers.items[i].name,
                                          s->headers.items[i].value};
    return http_calls_new(out, l, &spec, err);
}

static enum status
open_slots(struct teacher *t, struct error *err)
{
    size_t rows = settings_teacher_rows(t->all);
    enum status st = STATUS_OK;

    t->slot_count = t->all->pipeline_batches;
    t->slots = calloc(t->slot_count, sizeof(t->slots[0]));
    t->queue_max = t->slot_count * rows;
    t->queue = calloc(t->queue_max, sizeof(t->queue[0]));
    if (t->slots == NULL || t->queue == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    for (size_t i = 0; i < t->slot_count && st == STATUS_OK; i++)
        st = tensor_rows_new(&t->slots[i].rows, t->source, rows, err);
    return st;
}

static enum status
open_jobs(struct teacher *t, struct error *err)
{
    enum status st = STATUS_OK;

    t->jobs = calloc(t->settings->in_flight_max, sizeof(t->jobs[0]));
    if (t->jobs == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    t->job_count = t->settings->in_flight_max;
    for (size_t i = 0; i < t->job_count && st == STATUS_OK; i++) {
        struct http_job *j = &t->jobs[i];

        j->teacher = t;
        bytes_init(&j->body, t->settings->body_max);
        j->rows = calloc(t->rows_max, sizeof(j->rows[0]));
        if (j->rows == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for a teacher");
        st = bytes_reserve(&j->body, t->settings->body_max, err);
    }
    return st;
}

static enum status
open_outputs(struct teacher *t, struct error *err)
{
    const struct event_spec *events = event_shape_spec(t->pipeline->events);

    for (size_t i = 0; i < events->task_count; i++)
        t->width += event_logit_width(&events->tasks[i]);
    t->logits = calloc(t->width, sizeof(t->logits[0]));
    if (t->logits == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    for (size_t i = 0; i < t->map->output_count; i++) {
        struct oip_output *o = &t->outputs[i];

        o->max = t->rows_max * (t->map->outputs[i].width_max + SPARE_WIDTH);
        o->values = calloc(o->max, sizeof(o->values[0]));
        if (o->values == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    }
    return oip_reader_new(&t->reader, t->settings->reply_max, err);
}

static void
init_pacer(struct teacher *t)
{
    const struct teacher_settings *s = t->settings;
    struct pacer_spec spec = {
        .calls_max = s->in_flight_max,
        .retry_min_ms = s->retry_min,
        .retry_max_ms = s->retry_max,
        .retry_after_max_ms = s->retry_max,
        .breaker_failures = (unsigned)s->breaker_failures,
        .seed = clock_now_ns() ^ hash64(s->url, strlen(s->url)),
    };

    pacer_init(&t->pacer, &spec);
    reject_share_init(&t->share, s->reject_share_max);
}

static void
free_teacher(struct teacher **self)
{
    struct teacher *t = *self;

    if (t == NULL)
        return;
    OBJ_CHECK(t, TEACHER_MAGIC);
    timer_free(&t->timer);
    timer_free(&t->probe_timer);
    http_calls_free(&t->calls);
    for (size_t i = 0; t->slots != NULL && i < t->slot_count; i++)
        tensor_rows_free(&t->slots[i].rows);
    for (size_t i = 0; i < t->job_count; i++) {
        free(t->jobs[i].rows);
        bytes_fini(&t->jobs[i].body);
    }
    for (size_t i = 0; i < TASKS_MAX; i++)
        free(t->outputs[i].values);
    oip_reader_free(&t->reader);
    tensor_source_free(&t->source);
    tensor_map_free(&t->map);
    bytes_fini(&t->canary);
    free(t->slots);
    free(t->queue);
    free(t->jobs);
    free(t->logits);
    t->magic = 0;
    free(t);
    *self = NULL;
}

static enum status
open_parts(struct teacher *t, struct error *err)
{
    const struct teacher_settings *s = t->settings;
    enum status st =
        tensor_map_new(&t->map, t->all, &s->inputs, &s->outputs, err);

    if (st == STATUS_OK)
        st = tensor_source_new(
            &t->source, t->map,
            t->all->events_record_bytes_max + EVENT_LABEL_BYTES_MAX, err);
    if (st == STATUS_OK)
        st = open_slots(t, err);
    if (st == STATUS_OK)
        st = open_jobs(t, err);
    if (st == STATUS_OK)
        st = open_outputs(t, err);
    if (st == STATUS_OK)
        st = http_probe_init(t, err);
    if (st == STATUS_OK)
        st = http_calls_open(&t->calls, t->pipeline->loop, s, err);
    if (st == STATUS_OK)
        st = timer_new(&t->timer, t->pipeline->loop, on_timer, t, err);
    return st;
}

static enum status
open_teacher(struct teacher **out, struct pipeline *p,
             const struct teacher_settings *s, struct error *err)
{
    struct teacher *t = calloc(1, sizeof(*t));
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    t->magic = TEACHER_MAGIC;
    t->pipeline = p;
    t->settings = s;
    t->all = p->settings;
    t->rows_max = s->batch_max;
    bytes_init(&t->canary, s->body_max);
    error_clear(&t->fatal);
    error_clear(&t->trouble);
    histogram_init(&t->counts.seconds, role_seconds, ROLE_SECONDS);
    init_pacer(t);
    st = open_parts(t, err);
    if (st != STATUS_OK) {
        free_teacher(&t);
        return st;
    }
    *out = t;
    http_probe_begin(t);
    return STATUS_OK;
}

const struct teacher_ops teacher_http = {
    .name = "http",
    .way = TEACHER_ASYNC,
    .open = open_teacher,
    .ask = ask_teacher,
    .cancel = cancel_ask,
    .report = report_teacher,
    .free = free_teacher,
};
