/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two roles on one loop. With file logs the train role reads what the annotate
 * role of the same process writes: it ends when that one has ended.
 */
#include "stages/run.h"

#include "stages/operate.h"
#include "stages/pipeline.h"
#include "stages/settings.h"
#include "stages/shape.h"
#include "stages/summary.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/io/log_file.h"
#include "daemon/io/loop.h"
#include "daemon/version.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_MS  200
#define LOG_SECONDS  10
#define BAR_WIDTH    30
#define GIVE_UP_EXIT 75 /* EX_TEMPFAIL: started again, it goes on */

struct run {
    struct settings *settings;
    struct lifecycle life;
    struct operate *operate;
    struct role_report report; /* of what is left, at a deadline */
    void (*give_up)(int exit_code);
    struct loop *loop;
    struct timer *progress;
    struct timer *deadline;
    struct event_shape *events;
    struct pipeline *roles[2]; /* by enum role; NULL: not of this process */
    bool has_ended[2];
    bool was_signalled;
    uint64_t started_ns;
    bool is_terminal; /* progress is drawn, and was */
    uint64_t logged_ns;
    uint64_t input_bytes; /* that the first role will read; 0: unknown */
};

static bool
is_over(const struct run *r)
{
    return (r->roles[0] == NULL || r->has_ended[0]) &&
           (r->roles[1] == NULL || r->has_ended[1]);
}

static void
on_annotate_end(void *ctx)
{
    struct run *r = ctx;
    struct pipeline *train = r->roles[ROLE_TRAIN];

    r->has_ended[ROLE_ANNOTATE] = true;
    if (train != NULL && !r->has_ended[ROLE_TRAIN]) {
        train->is_growing = false;
        if (r->roles[ROLE_ANNOTATE]->error.status != STATUS_OK) {
            train->is_interrupted = true;
            pipeline_stop(train);
        } else {
            pipeline_wake(train);
        }
    }
    if (is_over(r))
        loop_stop(r->loop);
}

static void
on_train_end(void *ctx)
{
    struct run *r = ctx;
    struct pipeline *annotate = r->roles[ROLE_ANNOTATE];

    r->has_ended[ROLE_TRAIN] = true;
    if (annotate != NULL && !r->has_ended[ROLE_ANNOTATE] &&
        r->roles[ROLE_TRAIN]->error.status != STATUS_OK) {
        annotate->is_interrupted = true;
        pipeline_stop(annotate);
    }
    if (is_over(r))
        loop_stop(r->loop);
}

static void
on_labels_written(void *ctx)
{
    struct run *r = ctx;

    if (r->roles[ROLE_TRAIN] != NULL && !r->has_ended[ROLE_TRAIN])
        pipeline_wake(r->roles[ROLE_TRAIN]);
}

/* Says what is left, and ends the process. Nothing of it is lost: what was not
 * acknowledged or saved is read again. */
static void
abandon(struct run *r)
{
    for (int i = 0; i < 2; i++) {
        if (r->roles[i] == NULL || r->has_ended[i])
            continue;
        pipeline_report(r->roles[i], &r->report);
        log_error("shutdown_abandoned",
                  "role=%s records=%" PRIu64 " batches=%" PRIu64
                  " oldest_seconds=%.1f",
                  i == ROLE_ANNOTATE ? "annotate" : "train",
                  r->report.in_flight_records, r->report.in_flight_batches,
                  r->report.oldest_seconds);
    }
    r->give_up(GIVE_UP_EXIT);
}

static void
on_deadline(void *ctx)
{
    struct run *r = ctx;

    log_error("shutdown_too_slow", "timeout_ms=%llu",
              (unsigned long long)r->settings->shutdown_timeout);
    abandon(r);
}

static void
on_reload_signal(void *ctx)
{
    struct run *r = ctx;

    for (int i = 0; i < 2; i++) {
        if (r->roles[i] != NULL && !r->has_ended[i])
            pipeline_refresh(r->roles[i]);
    }
    operate_reload(r->operate);
}

static void
on_stop_signal(void *ctx)
{
    struct run *r = ctx;

    if (r->was_signalled) {
        log_error("shutdown_forced", "text=\"second signal\"");
        abandon(r);
    }
    r->was_signalled = true;
    lifecycle_enter(&r->life, LIFE_DRAINING);
    log_info("shutdown", "text=\"draining, then a last checkpoint\"");
    timer_start(r->deadline, r->settings->shutdown_timeout, 0);
    for (int i = 0; i < 2; i++) {
        if (r->roles[i] != NULL && !r->has_ended[i]) {
            r->roles[i]->is_interrupted = true;
            pipeline_stop(r->roles[i]);
        }
    }
}

/* Draws "name [#####     ]  52 %  74,000 events/s". */
static void
draw_progress(const struct run *r, uint64_t bytes_read, uint64_t done,
              double seconds)
{
    double share =
        r->input_bytes > 0 ? (double)bytes_read / (double)r->input_bytes : 0;
    char bar[BAR_WIDTH + 1];

    share = share > 1 ? 1 : share;
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)(share * BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    (void)fprintf(
        stderr, "\r\033[K%-14s [%s] %3.0f %%  %9" PRIu64 " events  %9.0f/s",
        r->settings->name, bar, 100 * share, done, (double)done / seconds);
    (void)fflush(stderr);
}

/* A bar drawn over and over on a terminal, or a log line now and then. */
static void
on_progress(void *ctx)
{
    struct run *r = ctx;
    double seconds = clock_seconds_since(r->started_ns);
    const struct pipeline *annotate = r->roles[ROLE_ANNOTATE];
    const struct pipeline *train = r->roles[ROLE_TRAIN];
    uint64_t labels = annotate != NULL ? annotate->counts.labels : 0;
    uint64_t examples = train != NULL ? train->counts.examples : 0;
    uint64_t bytes_read = 0;

    if (annotate != NULL)
        bytes_read = annotate->counts.bytes_read;
    else if (train != NULL)
        bytes_read = train->counts.bytes_read;
    if (r->is_terminal) {
        draw_progress(r, bytes_read, train != NULL ? examples : labels,
                      seconds);
    } else if (clock_seconds_since(r->logged_ns) >= LOG_SECONDS) {
        r->logged_ns = clock_now_ns();
        log_info("progress",
                 "labels=%" PRIu64 " examples=%" PRIu64 " seconds=%.0f", labels,
                 examples, seconds);
    }
}

static enum status
open_role(struct run *r, enum role role, const struct run_options *options,
          struct error *err)
{
    struct pipeline *p;
    enum status st;

    if (!settings_has_role(r->settings, role))
        return STATUS_OK;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a role");
    p->role = role;
    p->settings = r->settings;
    p->events = r->events;
    p->loop = r->loop;
    p->accepts_reset = options->accepts_reset;
    p->migrates = options->migrates;
    p->is_observed = operate_is_observed(r->operate);
    p->tap = operate_tap(r->operate);
    p->on_end = role == ROLE_ANNOTATE ? on_annotate_end : on_train_end;
    p->on_output = role == ROLE_ANNOTATE ? on_labels_written : NULL;
    p->ctx = r;
    p->is_growing = role == ROLE_TRAIN && r->roles[ROLE_ANNOTATE] != NULL;
    st = pipeline_open(p, err);
    if (st != STATUS_OK) {
        free(p);
        return st;
    }
    r->roles[role] = p;
    log_info("role_opened", "role=%s",
             role == ROLE_ANNOTATE ? "annotate" : "train");
    return STATUS_OK;
}

/* First of all: a port that is taken is found out before a large checkpoint
 * is read. Nobody is answered until the loop turns. */
static enum status
open_operate(struct run *r, const struct run_options *options,
             struct error *err)
{
    struct operate_spec spec = {
        .loop = r->loop,
        .settings = r->settings,
        .config_path = options->config_path,
        .roles = r->roles,
        .life = &r->life,
    };

    return operate_new(&r->operate, &spec, err);
}

static enum status
open_run(struct run *r, const struct run_options *options, struct error *err)
{
    enum status st = event_shape_new(&r->events, r->settings, err);

    if (st == STATUS_OK)
        st = loop_new(&r->loop, err);
    if (st == STATUS_OK)
        st = timer_new(&r->progress, r->loop, on_progress, r, err);
    if (st == STATUS_OK)
        st = timer_new(&r->deadline, r->loop, on_deadline, r, err);
    if (st == STATUS_OK)
        st = loop_on_signal(r->loop, SIGTERM, on_stop_signal, r, err);
    if (st == STATUS_OK)
        st = loop_on_signal(r->loop, SIGINT, on_stop_signal, r, err);
    if (st == STATUS_OK)
        st = loop_on_signal(r->loop, SIGHUP, on_reload_signal, r, err);
    if (st == STATUS_OK)
        st = open_operate(r, options, err);
    /* annotate first: it makes the labels log that train reads. */
    if (st == STATUS_OK)
        st = open_role(r, ROLE_ANNOTATE, options, err);
    if (st == STATUS_OK)
        st = open_role(r, ROLE_TRAIN, options, err);
    return st;
}

static void
close_run(struct run *r)
{
    operate_free(&r->operate);
    for (int i = 0; i < 2; i++) {
        if (r->roles[i] != NULL)
            pipeline_free(r->roles[i]);
        free(r->roles[i]);
    }
    timer_free(&r->progress);
    timer_free(&r->deadline);
    loop_free(&r->loop);
    event_shape_free(&r->events);
}

enum status
run_service(struct settings *settings, const struct run_options *options,
            struct error *err)
{
    struct run r = {
        .settings = settings,
        .give_up = options->give_up,
        .is_terminal = isatty(STDERR_FILENO) == 1,
        .started_ns = clock_now_ns(),
    };
    enum status st;

    log_info("starting", "version=%s name=%s config=%s", version_text(),
             settings->name,
             options->config_path != NULL ? options->config_path : "");
    st = open_run(&r, options, err);

    r.logged_ns = r.started_ns;
    r.input_bytes =
        log_size_hint(settings_has_role(settings, ROLE_ANNOTATE) ||
                              settings->train_input == TRAIN_INPUT_EVENTS
                          ? settings->events_path
                          : settings->labels_path);
    if (st != STATUS_OK) {
        close_run(&r);
        return st;
    }
    timer_start(r.progress, PROGRESS_MS, PROGRESS_MS);
    lifecycle_enter(&r.life, LIFE_RUNNING);
    for (int i = 0; i < 2; i++) {
        if (r.roles[i] != NULL)
            pipeline_start(r.roles[i]);
    }
    loop_run(r.loop);
    if (r.life.life != LIFE_DRAINING)
        lifecycle_enter(&r.life, LIFE_DRAINING);
    lifecycle_enter(&r.life, LIFE_STOPPED);
    if (r.is_terminal) {
        on_progress(&r);
        (void)fputc('\n', stderr);
    }
    summary_print(r.roles[ROLE_ANNOTATE], r.roles[ROLE_TRAIN],
                  clock_seconds_since(r.started_ns), stdout,
                  isatty(STDOUT_FILENO) == 1);
    for (int i = 0; i < 2 && st == STATUS_OK; i++) {
        if (r.roles[i] != NULL && r.roles[i]->error.status != STATUS_OK) {
            *err = r.roles[i]->error;
            st = err->status;
        }
    }
    close_run(&r);
    return st;
}
