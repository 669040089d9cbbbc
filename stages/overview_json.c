/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status page: one JSON object. Numbers that are not known are null.
 */
#include "stages/overview_priv.h"

#include "daemon/base/clock.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/object.h"
#include "daemon/io/process.h"
#include "daemon/version.h"

#include <math.h>
#include <string.h>

static void
put_text(struct json_writer *w, const char *key, const char *text)
{
    json_put_key(w, key);
    json_put_string(w, text);
}

static void
put_count(struct json_writer *w, const char *key, uint64_t count)
{
    json_put_key(w, key);
    json_put_uint(w, count);
}

static void
put_number(struct json_writer *w, const char *key, double number)
{
    json_put_key(w, key);
    json_put_double(w, number);
}

static void
put_bool(struct json_writer *w, const char *key, bool value)
{
    json_put_key(w, key);
    json_put_bool(w, value);
}

/* An offset, or null where it is -1. */
static void
put_offset(struct json_writer *w, const char *key, int64_t offset)
{
    json_put_key(w, key);
    if (offset < 0)
        json_put_null(w);
    else
        json_put_int(w, offset);
}

static void
open_member(struct json_writer *w, const char *key)
{
    json_put_key(w, key);
    json_open_object(w);
}

static void
put_counts(struct json_writer *w, const struct pipeline *p)
{
    const struct role_counts *c = &p->counts;

    open_member(w, "counts");
    put_count(w, "records", c->records);
    put_count(w, "rows", c->rows);
    put_count(w, "skipped", c->skipped);
    put_count(w, "duplicates", p->stats.duplicates);
    put_count(w, "dead_letters", c->dead_letters);
    if (p->role == ROLE_ANNOTATE)
        put_count(w, "labels", c->labels);
    else
        put_count(w, "examples", c->examples);
    json_close_object(w);
}

static void
put_rates(struct json_writer *w, const struct pipeline *p,
          const struct overview_rates *r)
{
    open_member(w, "rates");
    put_number(w, "records", r->records);
    if (p->role == ROLE_ANNOTATE)
        put_number(w, "labels", r->labels);
    else
        put_number(w, "examples", r->examples);
    put_number(w, "dead_letters", r->dead_letters);
    json_close_object(w);
}

static void
put_partitions(struct json_writer *w, const struct role_report *r)
{
    int64_t total = 0;
    bool is_known = r->partition_count > 0;

    for (size_t i = 0; i < r->partition_count; i++) {
        int64_t lag = overview_lag(r, &r->partitions[i]);

        is_known = is_known && lag >= 0;
        total += lag > 0 ? lag : 0;
    }
    open_member(w, "lag");
    put_text(w, "unit", r->unit == OFFSET_RECORDS ? "records" : "bytes");
    put_offset(w, "total", is_known ? total : -1);
    json_close_object(w);
    json_put_key(w, "partitions");
    json_open_array(w);
    for (size_t i = 0; i < r->partition_count; i++) {
        const struct partition_report *p = &r->partitions[i];

        json_open_object(w);
        put_text(w, "log", p->log);
        json_put_key(w, "partition");
        json_put_int(w, p->partition);
        put_count(w, "epoch", p->epoch);
        put_offset(w, "position", p->position);
        put_offset(w, "committed", p->committed);
        put_offset(w, "end", p->end);
        put_offset(w, "lag", overview_lag(r, p));
        put_bool(w, "is_paused", p->is_paused);
        json_close_object(w);
    }
    json_close_array(w);
    put_count(w, "partitions_left_off", r->partitions_left_off);
}

static void
put_report(struct json_writer *w, const struct role_report *r)
{
    open_member(w, "in_flight");
    put_count(w, "records", r->in_flight_records);
    put_count(w, "batches", r->in_flight_batches);
    put_number(w, "oldest_seconds", r->oldest_seconds);
    json_close_object(w);
    put_partitions(w, r);
    open_member(w, "rebalances");
    put_count(w, "assigned", r->partitions_assigned);
    put_count(w, "revoked", r->partitions_revoked);
    put_count(w, "lost", r->partitions_lost);
    json_close_object(w);
    open_member(w, "transactions");
    put_count(w, "committed", r->transactions_committed);
    put_count(w, "aborted", r->transactions_aborted);
    put_count(w, "unknown", r->transactions_unknown);
    json_close_object(w);
    put_count(w, "records_lost", r->records_lost);
}

/* How long batches took: of the last seconds, or since the start. */
static void
put_work(struct json_writer *w, const char *key, const struct pipeline *p,
         const struct overview_rates *rates)
{
    const struct histogram *h =
        histogram_count(&rates->work) > 0 ? &rates->work : &p->stats.work;

    open_member(w, key);
    put_count(w, "batches", histogram_count(&p->stats.work));
    put_count(w, "failed", histogram_count(&p->stats.work_failed));
    put_number(w, "p50_seconds", histogram_quantile(h, 0.5));
    put_number(w, "p99_seconds", histogram_quantile(h, 0.99));
    json_close_object(w);
}

static void
put_teachers(struct json_writer *w, const struct pipeline *p)
{
    json_put_key(w, "teachers");
    json_open_array(w);
    for (size_t i = 0; i < settings_teacher_count(p->settings); i++) {
        const struct teacher_stats *t = &p->stats.teachers[i];

        json_open_object(w);
        put_text(w, "name", settings_teacher(p->settings, i)->name);
        put_text(w, "version", t->version);
        put_count(w, "answers", t->answers);
        put_count(w, "failures", t->failures);
        put_count(w, "rejected", t->rejected);
        put_count(w, "versions_refused", t->refused);
        put_count(w, "batches", histogram_count(&t->seconds));
        put_count(w, "failed_batches", t->failed_asks);
        put_number(w, "p50_seconds", histogram_quantile(&t->seconds, 0.5));
        put_number(w, "p99_seconds", histogram_quantile(&t->seconds, 0.99));
        json_close_object(w);
    }
    json_close_array(w);
}

static void
put_model(struct json_writer *w, const char *key, const struct curve_quality *q)
{
    open_member(w, key);
    put_number(w, "score", q->score);
    put_number(w, "loss", q->loss);
    put_number(w, "normalized_entropy", q->normalized_entropy);
    put_number(w, "calibration", q->calibration);
    put_number(w, "window_score", q->window_score);
    put_number(w, "window_loss", q->window_loss);
    put_number(w, "distance_to_teacher", q->distance);
    json_close_object(w);
}

static void
put_quality(struct json_writer *w, const struct pipeline *p)
{
    static const char *const scores[] = {[TASK_BINARY] = "auc",
                                         [TASK_CLASS] = "accuracy",
                                         [TASK_REGRESSION] = ""};
    static const char *const losses[] = {[TASK_BINARY] = "log_loss",
                                         [TASK_CLASS] = "cross_entropy",
                                         [TASK_REGRESSION] =
                                             "mean_squared_error"};

    open_member(w, "quality");
    for (size_t i = 0; i < p->settings->task_count; i++) {
        const struct task_settings *task = &p->settings->tasks[i];
        const struct curve_summary *q = &p->trained.quality[i];

        open_member(w, task->name);
        put_text(w, "score", scores[task->kind]);
        put_text(w, "loss", losses[task->kind]);
        put_count(w, "examples", q->examples);
        put_count(w, "judged", q->judged);
        for (size_t m = 0; m < CURVE_MODELS; m++)
            put_model(w, overview_model_name(m), &q->models[m]);
        put_number(w, "eta_score", q->eta_score);
        put_number(w, "eta_loss", q->eta_loss);
        json_close_object(w);
    }
    json_close_object(w);
}

/* Nothing where no task has an adapter. */
static void
put_adapters(struct json_writer *w, const struct pipeline *p)
{
    bool has_any = false;

    for (size_t i = 0; i < p->settings->task_count; i++) {
        const struct adapter_report *a = &p->trained.adapters[i];

        if (isnan(a->teacher))
            continue;
        if (!has_any)
            open_member(w, "adapters");
        has_any = true;
        open_member(w, p->settings->tasks[i].name);
        put_number(w, "teacher_loss", a->teacher);
        put_number(w, "adapted_loss", a->adapted);
        json_close_object(w);
    }
    if (has_any)
        json_close_object(w);
}

/* Of soft_weight auto: who is the student, and how all of them stand. */
static void
put_arms(struct json_writer *w, const struct arms_report *a)
{
    if (a->count == 0)
        return;
    json_put_key(w, "soft_weight");
    arms_report_write(a, w);
}

static void
put_training(struct json_writer *w, const struct pipeline *p)
{
    const struct train_report *t = &p->trained;

    if (!t->is_filled)
        return;
    open_member(w, "model");
    put_count(w, "examples", t->examples);
    put_count(w, "batches", t->batches);
    put_count(w, "skipped_steps", t->skipped_steps);
    put_count(w, "discarded_examples", t->discarded);
    put_number(w, "loss", t->loss);
    put_number(w, "gradient_norm", t->gradient_norm);
    put_text(w, "teacher_version", t->teacher_version);
    if (t->minds_age) {
        put_number(w, "teacher_age_seconds", t->teacher_age_s);
        put_count(w, "old_labels", t->old_labels);
    }
    put_adapters(w, p);
    json_close_object(w);
    open_member(w, "checkpoint");
    put_count(w, "version", t->version);
    put_count(w, "examples", t->version_examples);
    put_number(w, "age_seconds", overview_checkpoint_age(t));
    put_bool(w, "is_writing", t->is_writing);
    put_count(w, "failures", t->checkpoint_failures);
    put_count(w, "publish_failures", p->stats.publish_failures);
    json_close_object(w);
    put_arms(w, &t->arms);
    put_quality(w, p);
}

static void
put_role(struct json_writer *w, const struct overview *o, enum role role)
{
    const struct pipeline *p = o->spec.roles[role];
    struct overview_rates rates;

    if (p == NULL)
        return;
    overview_rates(o, role, &rates);
    open_member(w, role == ROLE_ANNOTATE ? "annotate" : "train");
    put_counts(w, p);
    put_rates(w, p, &rates);
    put_report(w, &o->reports[role]);
    if (role == ROLE_ANNOTATE) {
        put_work(w, "teacher", p, &rates);
        put_teachers(w, p);
    } else {
        put_work(w, "steps", p, &rates);
        put_training(w, p);
    }
    json_close_object(w);
}

static void
put_process(struct json_writer *w, struct overview *o)
{
    const struct histogram *lag = heartbeat_lag(o->spec.heartbeat);
    const struct histogram *turns = heartbeat_turns(o->spec.heartbeat);
    struct process_usage usage;

    process_measure(&usage);
    open_member(w, "loop");
    put_number(w, "lag_p99_seconds", histogram_quantile(lag, 0.99));
    put_number(w, "turn_p99_seconds", histogram_quantile(turns, 0.99));
    json_close_object(w);
    open_member(w, "process");
    put_count(w, "resident_bytes", usage.resident_bytes);
    put_number(w, "cpu_seconds", usage.cpu_seconds);
    json_close_object(w);
}

static void
put_status(struct json_writer *w, struct overview *o)
{
    struct obstacles obstacles;

    overview_gather(o);
    overview_find_obstacles(o, &obstacles);
    json_open_object(w);
    put_text(w, "name", o->spec.settings->name);
    put_text(w, "version", version_text());
    put_text(w, "state", life_name(o->spec.life->life));
    put_number(w, "uptime_seconds", clock_seconds_since(o->started_ns));
    put_bool(w, "is_ready", obstacles.count == 0);
    json_put_key(w, "obstacles");
    json_open_array(w);
    for (size_t i = 0; i < obstacles.count; i++)
        json_put_string(w, obstacles.texts[i]);
    json_close_array(w);
    open_member(w, "roles");
    put_role(w, o, ROLE_ANNOTATE);
    put_role(w, o, ROLE_TRAIN);
    json_close_object(w);
    put_process(w, o);
    json_close_object(w);
}

enum status
overview_write_status(struct overview *o, struct bytes *out, struct error *err)
{
    struct json_writer w;
    size_t room = (size_t)64 << 10;
    enum status st;

    OBJ_CHECK(o, OVERVIEW_MAGIC);
    for (;;) {
        bytes_clear(out);
        st = bytes_reserve(out, room, err);
        if (st != STATUS_OK)
            return st;
        json_writer_init(&w, out->data, room, 0);
        put_status(&w, o);
        if (!w.is_full)
            break;
        room *= 2;
    }
    out->used = w.len;
    return STATUS_OK;
}
