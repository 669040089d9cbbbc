/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of a replay, from the first question to the counts at its end.
 */
#include "stages/replay/replay_priv.h"
#include "stages/settings.h"

#include "daemon/base/clock.h"
#include "daemon/base/json_path.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/log_file.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define REPLAY_MAGIC 0x52504c59u
#define PROGRESS_MS  200
#define LOG_SECONDS  10
#define BAR_WIDTH    30
#define GIVE_UP_EXIT 75 /* EX_TEMPFAIL: started again, it goes on */

static const bool allowed[5][5] = {
    [REPLAY_FINDING] = {[REPLAY_RESUMING] = true,
                        [REPLAY_SENDING] = true,
                        [REPLAY_ENDING] = true},
    [REPLAY_RESUMING] = {[REPLAY_SENDING] = true, [REPLAY_ENDING] = true},
    [REPLAY_SENDING] = {[REPLAY_ENDING] = true},
    [REPLAY_ENDING] = {[REPLAY_ENDED] = true},
};

void
replay_enter(struct replay *r, enum replay_phase next)
{
    OBJ_CHECK(r, REPLAY_MAGIC);
    assert(allowed[r->phase][next]);
    r->phase = next;
}

/* A file is waited for; standard input might never come. */
static bool
waits_for_input(const struct replay *r)
{
    return r->input != NULL && replay_input_is_reading(r->input);
}

static bool
is_stdin(const struct replay *r)
{
    return strcmp(r->options->input, "-") == 0;
}

void
replay_finish(struct replay *r)
{
    if (r->phase != REPLAY_ENDING || r->call.is_under_way ||
        kafka_producer_pending(r->producer) > 0 ||
        (waits_for_input(r) && !is_stdin(r)))
        return;
    replay_enter(r, REPLAY_ENDED);
    loop_stop(r->loop);
}

/* Sends nothing more; what is under way is still waited for. */
static void
begin_end(struct replay *r)
{
    if (r->phase < REPLAY_ENDING)
        replay_enter(r, REPLAY_ENDING);
    timer_stop(r->timer);
    timer_start(r->deadline, r->settings->shutdown_timeout, 0);
    replay_finish(r);
}

void
replay_fail(struct replay *r, const struct error *err)
{
    if (r->status == STATUS_OK) {
        r->status = err->status;
        r->error = *err;
    }
    if (r->phase < REPLAY_ENDING)
        begin_end(r);
}

/* ---- callbacks ---- */

static void
on_producer_failed(void *ctx, const struct error *err)
{
    replay_fail(ctx, err);
}

static void
on_timer(void *ctx)
{
    struct replay *r = ctx;

    if (r->phase == REPLAY_FINDING)
        find_begin(r);
    else if (r->phase == REPLAY_SENDING)
        send_lines(r);
}

static void
on_deadline(void *ctx)
{
    struct replay *r = ctx;

    log_error("replay_abandoned", "unacknowledged=%zu after_ms=%" PRIu64,
              kafka_producer_pending(r->producer),
              r->settings->shutdown_timeout);
    r->options->give_up(GIVE_UP_EXIT);
}

static void
on_stop_signal(void *ctx)
{
    struct replay *r = ctx;

    if (r->was_signalled) {
        log_error("replay_abandoned",
                  "text=\"second signal\" "
                  "unacknowledged=%zu",
                  kafka_producer_pending(r->producer));
        r->options->give_up(GIVE_UP_EXIT);
    }
    r->was_signalled = true;
    begin_end(r);
}

/* Draws "topic [#####     ]  52 %  74,000 events  500/s". */
static void
draw_progress(const struct replay *r, double seconds)
{
    uint64_t done = r->counts.acknowledged;
    double share =
        r->input_bytes > 0 ? (double)r->read_bytes / (double)r->input_bytes : 0;
    char bar[BAR_WIDTH + 1];

    share = share > 1 ? 1 : share;
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)(share * BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    (void)fprintf(stderr,
                  "\r\033[K%-14s [%s] %3.0f %%  %9" PRIu64 " events  %9.0f/s",
                  r->settings->events_topic, bar, 100 * share, done,
                  (double)done / seconds);
    (void)fflush(stderr);
}

static void
on_progress(void *ctx)
{
    struct replay *r = ctx;
    double seconds;

    if (r->started_ns == 0)
        return;
    seconds = clock_seconds_since(r->started_ns);
    if (r->options->shows_progress) {
        draw_progress(r, seconds > 0 ? seconds : 1);
    } else if (clock_seconds_since(r->logged_ns) >= LOG_SECONDS) {
        r->logged_ns = clock_now_ns();
        log_info("replay",
                 "sent=%" PRIu64 " acknowledged=%" PRIu64 " seconds=%.0f",
                 r->counts.sent, r->counts.acknowledged, seconds);
    }
}

/* ---- life ---- */

static enum status
open_kafka(struct replay *r, struct error *err)
{
    struct kafka_producer_spec producer = {
        .on_delivered = send_on_delivered,
        .on_failed = on_producer_failed,
        .ctx = r,
    };
    struct kafka_consumer_spec consumer = {
        .topic = r->settings->events_topic,
        .on_wake = find_on_record,
        .ctx = r,
    };
    enum status st = kafka_settings_init(&r->kafka, r->settings, err);

    if (st != STATUS_OK)
        return st;
    producer.properties = r->kafka.producer;
    consumer.properties = r->kafka.consumer;
    st = kafka_producer_open(&r->producer, r->loop, &producer, err);
    if (st == STATUS_OK)
        st = kafka_producer_target(r->producer, r->settings->events_topic,
                                   &r->target, err);
    if (st == STATUS_OK && r->options->resumes)
        st = kafka_consumer_open(&r->consumer, r->loop, &consumer, err);
    return st;
}

static enum status
open_replay(struct replay *r, struct error *err)
{
    enum status st = loop_new(&r->loop, err);

    if (st == STATUS_OK)
        st = timer_new(&r->timer, r->loop, on_timer, r, err);
    if (st == STATUS_OK)
        st = timer_new(&r->deadline, r->loop, on_deadline, r, err);
    if (st == STATUS_OK)
        st = timer_new(&r->progress, r->loop, on_progress, r, err);
    if (st == STATUS_OK)
        st = loop_on_signal(r->loop, SIGTERM, on_stop_signal, r, err);
    if (st == STATUS_OK)
        st = loop_on_signal(r->loop, SIGINT, on_stop_signal, r, err);
    if (st == STATUS_OK)
        st = calls_new(&r->calls, r->loop, err);
    if (st == STATUS_OK)
        st = open_kafka(r, err);
    return st;
}

static void
close_replay(struct replay *r)
{
    kafka_consumer_free(&r->consumer);
    kafka_producer_free(&r->producer);
    if (waits_for_input(r))
        return; /* it ends with the process, and so does what it may touch */
    replay_input_free(&r->input);
    calls_free(&r->calls);
    timer_free(&r->timer);
    timer_free(&r->deadline);
    timer_free(&r->progress);
    loop_free(&r->loop);
    kafka_settings_fini(&r->kafka);
    r->magic = 0;
    free(r);
}

/* ---- the command ---- */

static enum status
check(const struct settings *s, const struct replay_options *o,
      struct error *err)
{
    struct json_path path;

    if (s->events_log != LOG_KIND_KAFKA)
        return error_set(err, STATUS_CONFIG,
                         "events.log is file, expected kafka: a replay writes "
                         "to events.topic");
    if (o->loops && strcmp(o->input, "-") == 0)
        return error_set(err, STATUS_USAGE,
                         "standard input cannot be begun again");
    if (o->speed > 0 && *s->events_time == '\0')
        return error_set(err, STATUS_CONFIG,
                         "events.time is empty, expected where an event's "
                         "time is: --speed goes by it");
    if (o->key == NULL)
        return STATUS_OK;
    return json_path_parse(&path, o->key, err);
}

enum status
replay_run(const struct settings *settings,
           const struct replay_options *options, struct replay_counts *counts,
           struct error *err)
{
    struct replay *r = calloc(1, sizeof(*r));
    enum status st;

    memset(counts, 0, sizeof(*counts));
    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a replay");
    r->magic = REPLAY_MAGIC;
    r->settings = settings;
    r->options = options;
    r->route.key_path = options->key;
    r->route.time_path = options->speed > 0 ? settings->events_time : NULL;
    r->route.time_unit = settings->events_time_unit;
    r->pace.rate = options->rate;
    r->pace.speed = options->speed;
    r->input_bytes = log_size_hint(options->input);
    st = check(settings, options, err);
    if (st == STATUS_OK)
        st = open_replay(r, err);
    if (st == STATUS_OK) {
        timer_start(r->progress, PROGRESS_MS, PROGRESS_MS);
        find_begin(r);
        loop_run(r->loop);
        if (options->shows_progress && r->started_ns != 0) {
            on_progress(r);
            (void)fputc('\n', stderr);
        }
        *counts = r->counts;
        counts->was_stopped = r->was_signalled;
        if (r->started_ns != 0)
            counts->seconds = clock_seconds_since(r->started_ns);
        *err = r->error;
        st = r->status;
    }
    close_replay(r);
    return st;
}
