/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics page. Families come in the order of metrics.def.
 */
#include "stages/overview_priv.h"

#include "daemon/base/clock.h"
#include "daemon/base/macros.h"
#include "daemon/base/object.h"
#include "daemon/io/process.h"
#include "daemon/version.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum metric {
#define METRIC(id, name, kind, labels, help) METRIC_##id,
#include "stages/metrics.def"
#undef METRIC
};

#define NONE (NULL)
#define LABELS(...)                                                            \
    {                                                                          \
        __VA_ARGS__                                                            \
    }
#define KIND_COUNTER   METRIC_KIND_COUNTER
#define KIND_GAUGE     METRIC_KIND_GAUGE
#define KIND_HISTOGRAM METRIC_KIND_HISTOGRAM

static const struct metric_row rows[] = {
#define METRIC(id, text, kind_, labels_, help_)                                \
    [METRIC_##id] = {.name = "distilld_" text,                                 \
                     .kind = KIND_##kind_,                                     \
                     .labels = LABELS labels_,                                 \
                     .help = (help_)},
#include "stages/metrics.def"
#undef METRIC
};

/* The page while it is written. */
struct page {
    struct metrics_writer w;
    struct overview *o;
    const struct pipeline *annotate; /* NULL: not in this process */
    const struct pipeline *train;
};

#define NUMBER_TEXT 24

static void
put(struct page *p, enum metric id, double value)
{
    metrics_put(&p->w, id, value, NULL);
}

static void
put_labeled(struct page *p, enum metric id, double value, const char *a,
            const char *b, const char *c)
{
    const char *const values[METRIC_LABELS_MAX] = {a, b, c};

    metrics_put(&p->w, id, value, values);
}

static const struct pipeline *
get_role(const struct page *p, size_t role)
{
    return role == ROLE_ANNOTATE ? p->annotate : p->train;
}

static void
put_process(struct page *p)
{
    struct obstacles obstacles;
    const struct overview_spec *spec = &p->o->spec;

    overview_find_obstacles(p->o, &obstacles);
    put_labeled(p, METRIC_BUILD_INFO, 1, version_text(), spec->librdkafka,
                spec->openblas);
    for (int life = LIFE_STARTING; life <= LIFE_STOPPED; life++)
        put_labeled(p, METRIC_STATE, (enum life)life == spec->life->life,
                    life_name((enum life)life), NULL, NULL);
    put(p, METRIC_READY, obstacles.count == 0);
    put(p, METRIC_UPTIME, clock_seconds_since(p->o->started_ns));
}

static bool
reads_events(const struct pipeline *p)
{
    return p->role == ROLE_ANNOTATE ||
           p->settings->train_input == TRAIN_INPUT_EVENTS;
}

static void
put_flow(struct page *p)
{
    uint64_t dead[DEAD_REASONS] = {0};

    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct pipeline *role = get_role(p, i);

        if (role != NULL && reads_events(role))
            put(p, METRIC_EVENTS_CONSUMED, (double)role->counts.records);
    }
    if (p->train != NULL && !reads_events(p->train))
        put(p, METRIC_LABELS_CONSUMED, (double)p->train->counts.records);
    if (p->annotate != NULL)
        put(p, METRIC_LABELS_PRODUCED, (double)p->annotate->counts.labels);
    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        for (size_t r = 0; get_role(p, i) != NULL && r < DEAD_REASONS; r++)
            dead[r] += get_role(p, i)->stats.dead_letters[r];
    }
    for (size_t r = 0; r < DEAD_REASONS; r++)
        put_labeled(p, METRIC_DEAD_LETTERS, (double)dead[r],
                    dead_reason_name((enum dead_reason)r), NULL, NULL);
}

/* How often a stage of this name failed with a status, in both roles. */
static uint64_t
count_errors(const struct page *p, const char *stage, size_t status)
{
    uint64_t count = 0;

    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct pipeline *role = get_role(p, i);

        for (size_t s = 0; role != NULL && s < role->stage_count; s++) {
            if (strcmp(role->stages[s]->ops->name, stage) == 0)
                count += role->stats.errors[s][status];
        }
    }
    return count;
}

static void
put_errors_of(struct page *p, const char *stage)
{
    for (size_t status = 0; status < STATS_STATUSES; status++) {
        uint64_t count = count_errors(p, stage, status);
        char type[NUMBER_TEXT];
        size_t n = 0;

        if (count == 0)
            continue;
        for (const char *c = status_name((enum status)status);
             *c != '\0' && n + 1 < sizeof(type); c++)
            type[n++] = (char)tolower((unsigned char)*c);
        type[n] = '\0';
        put_labeled(p, METRIC_ERRORS, (double)count, stage, type, NULL);
    }
}

static void
put_failures(struct page *p)
{
    double duplicates = 0;
    double lost = 0;

    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct pipeline *role = get_role(p, i);

        for (size_t s = 0; role != NULL && s < role->stage_count; s++) {
            /* consume is in both roles, and told once. */
            if (i == 0 || s > 0 || p->annotate == NULL)
                put_errors_of(p, role->stages[s]->ops->name);
        }
        if (role == NULL)
            continue;
        duplicates += (double)role->stats.duplicates;
        lost += (double)p->o->reports[i].records_lost;
    }
    put(p, METRIC_DUPLICATES, duplicates);
    put(p, METRIC_RECORDS_LOST, lost);
}

static void
put_lag(struct page *p, enum offset_unit unit)
{
    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct role_report *r = &p->o->reports[i];

        if (get_role(p, i) == NULL || r->unit != unit)
            continue;
        for (size_t j = 0; j < r->partition_count; j++) {
            const struct partition_report *part = &r->partitions[j];
            int64_t lag = overview_lag(r, part);
            char number[NUMBER_TEXT];

            (void)snprintf(number, sizeof(number), "%d", part->partition);
            if (lag >= 0)
                put_labeled(p,
                            unit == OFFSET_RECORDS ? METRIC_LAG_RECORDS
                                                   : METRIC_LAG_BYTES,
                            (double)lag, part->log, number, NULL);
        }
    }
}

static void
put_reports(struct page *p)
{
    struct role_report sum = {.partition_count = 0};
    double paused = 0;

    put_lag(p, OFFSET_RECORDS);
    put_lag(p, OFFSET_BYTES);
    for (size_t i = 0; i < OVERVIEW_ROLES; i++) {
        const struct role_report *r = &p->o->reports[i];

        if (get_role(p, i) == NULL)
            continue;
        for (size_t j = 0; j < r->partition_count; j++)
            paused += r->partitions[j].is_paused;
        if (r->oldest_seconds > sum.oldest_seconds)
            sum.oldest_seconds = r->oldest_seconds;
        sum.in_flight_records += r->in_flight_records;
        sum.partitions_assigned += r->partitions_assigned;
        sum.partitions_revoked += r->partitions_revoked;
        sum.partitions_lost += r->partitions_lost;
        sum.transactions_committed += r->transactions_committed;
        sum.transactions_aborted += r->transactions_aborted;
        sum.transactions_unknown += r->transactions_unknown;
    }
    put(p, METRIC_OLDEST_UNACKED, sum.oldest_seconds);
    put(p, METRIC_IN_FLIGHT, (double)sum.in_flight_records);
    put(p, METRIC_PAUSED_PARTITIONS, paused);
    put_labeled(p, METRIC_REBALANCES, (double)sum.partitions_assigned,
                "assigned", NULL, NULL);
    put_labeled(p, METRIC_REBALANCES, (double)sum.partitions_revoked, "revoked",
                NULL, NULL);
    put_labeled(p, METRIC_REBALANCES, (double)sum.partitions_lost, "lost", NULL,
                NULL);
    put_labeled(p, METRIC_TRANSACTIONS, (double)sum.transactions_committed,
                "committed", NULL, NULL);
    put_labeled(p, METRIC_TRANSACTIONS, (double)sum.transactions_aborted,
                "aborted", NULL, NULL);
    put_labeled(p, METRIC_TRANSACTIONS, (double)sum.transactions_unknown,
                "unknown", NULL, NULL);
}

static double
openness(const char *breaker)
{
    if (strcmp(breaker, "closed") == 0)
        return 0;
    return strcmp(breaker, "open") == 0 ? 1 : 0.5;
}

/* Model servers: a family at a time, a line each. */
static void
put_servers(struct page *p)
{
    static const enum metric families[] = {
        METRIC_TEACHER_CALLS, METRIC_TEACHER_RETRIES,
        METRIC_TEACHER_ROWS,  METRIC_TEACHER_IN_FLIGHT,
        METRIC_TEACHER_LIMIT, METRIC_TEACHER_BREAKER};
    const struct role_report *r = &p->o->reports[ROLE_ANNOTATE];

    for (size_t i = 0; i < COUNT(families); i++) {
        for (size_t k = 0; k < r->teacher_count; k++) {
            const struct teacher_report *t = &r->teachers[k];
            const double values[] = {(double)t->calls,    (double)t->retries,
                                     (double)t->answered, (double)t->in_flight,
                                     (double)t->limit,    openness(t->breaker)};
            bool is_rows = families[i] == METRIC_TEACHER_ROWS;

            put_labeled(p, families[i], values[i], t->name,
                        is_rows ? "answered" : NULL, NULL);
            if (is_rows)
                put_labeled(p, families[i], (double)t->rejected, t->name,
                            "rejected", NULL);
        }
    }
    for (size_t k = 0; k < r->teacher_count; k++) {
        const char *const name[METRIC_LABELS_MAX] = {r->teachers[k].name};

        metrics_put_histogram(&p->w, METRIC_TEACHER_CALL_SECONDS,
                              r->teachers[k].seconds, name);
    }
}

/* A family comes in one piece, so each goes over all teachers. */
static void
put_teachers(struct page *p)
{
    const struct settings *s = p->annotate->settings;
    const struct teacher_stats *all = p->annotate->stats.teachers;
    size_t count = settings_teacher_count(s);

    for (size_t i = 0; i < count; i++) {
        const char *name = settings_teacher(s, i)->name;

        put_labeled(p, METRIC_TEACHER_ANSWERS, (double)all[i].answers, name,
                    "answered", NULL);
        put_labeled(p, METRIC_TEACHER_ANSWERS, (double)all[i].failures, name,
                    "failed", NULL);
        put_labeled(p, METRIC_TEACHER_ANSWERS, (double)all[i].rejected, name,
                    "rejected", NULL);
    }
    for (size_t i = 0; i < count; i++) {
        const char *const labels[METRIC_LABELS_MAX] = {
            settings_teacher(s, i)->name};

        metrics_put_histogram(&p->w, METRIC_TEACHER_ASK_SECONDS,
                              &all[i].seconds, labels);
    }
    for (size_t i = 0; i < count; i++) {
        if (all[i].version[0] != '\0')
            put_labeled(p, METRIC_TEACHER_VERSION, 1,
                        settings_teacher(s, i)->name, all[i].version, NULL);
    }
    for (size_t i = 0; i < count; i++)
        put_labeled(p, METRIC_TEACHER_REFUSED, (double)all[i].refused,
                    settings_teacher(s, i)->name, NULL, NULL);
}

static void
put_work(struct page *p)
{
    const struct train_report *t;

    if (p->annotate != NULL) {
        const struct role_stats *s = &p->annotate->stats;

        put_labeled(p, METRIC_TEACHER_REQUESTS,
                    (double)histogram_count(&s->work), "ok", NULL, NULL);
        put_labeled(p, METRIC_TEACHER_REQUESTS,
                    (double)histogram_count(&s->work_failed), "error", NULL,
                    NULL);
        metrics_put_histogram(&p->w, METRIC_TEACHER_SECONDS, &s->work, NULL);
        put_servers(p);
        put_teachers(p);
    }
    if (p->train == NULL)
        return;
    t = &p->train->trained;
    metrics_put_histogram(&p->w, METRIC_TRAIN_SECONDS, &p->train->stats.work,
                          NULL);
    put(p, METRIC_TRAIN_EXAMPLES, (double)p->train->counts.examples);
    if (!t->is_filled)
        return;
    put(p, METRIC_TRAIN_SKIPPED, (double)t->skipped_steps);
    if (!isnan(t->loss))
        put(p, METRIC_TRAIN_LOSS, t->loss);
    if (t->minds_age) {
        put(p, METRIC_TEACHER_AGE, t->teacher_age_s);
        put(p, METRIC_OLD_LABELS, (double)t->old_labels);
    }
    for (size_t i = 0; i < p->train->settings->task_count; i++) {
        const struct adapter_report *a = &t->adapters[i];
        const char *task = p->train->settings->tasks[i].name;

        if (isnan(a->teacher))
            continue;
        put_labeled(p, METRIC_ADAPTER_LOSS, a->teacher, task, "teacher", NULL);
        put_labeled(p, METRIC_ADAPTER_LOSS, a->adapted, task, "adapter", NULL);
    }
}

static void
put_checkpoints(struct page *p)
{
    const struct train_report *t;
    double age;

    if (p->train == NULL)
        return;
    t = &p->train->trained;
    if (t->is_filled) {
        age = overview_checkpoint_age(t);
        put(p, METRIC_CHECKPOINT_VERSION, (double)t->version);
        if (!isnan(age))
            put(p, METRIC_CHECKPOINT_AGE, age);
        put(p, METRIC_CHECKPOINT_FAILURES, (double)t->checkpoint_failures);
    }
    put_labeled(p, METRIC_PUBLISH_FAILURES,
                (double)p->train->stats.publish_failures, "directory", NULL,
                NULL);
}

/* A family over all tasks and models, each with an all and a window value. */
static void
put_family(struct page *p, enum metric id, enum task_kind kind, bool is_loss)
{
    const struct settings *s = p->train->settings;

    for (size_t i = 0; i < s->task_count; i++) {
        const struct curve_summary *q = &p->train->trained.quality[i];

        if (!is_loss && s->tasks[i].kind != kind)
            continue;
        for (size_t m = 0; m < CURVE_MODELS; m++) {
            const struct curve_quality *c = &q->models[m];
            double all = is_loss ? c->loss : c->score;
            double window = is_loss ? c->window_loss : c->window_score;

            if (!isnan(all))
                put_labeled(p, id, all, s->tasks[i].name,
                            overview_model_name(m), "all");
            if (!isnan(window))
                put_labeled(p, id, window, s->tasks[i].name,
                            overview_model_name(m), "window");
        }
    }
}

static void
put_quality(struct page *p)
{
    const struct settings *s;
    const struct curve_summary *q;

    if (p->train == NULL || !p->train->trained.is_filled)
        return;
    s = p->train->settings;
    q = p->train->trained.quality;
    put_family(p, METRIC_QUALITY_AUC, TASK_BINARY, false);
    put_family(p, METRIC_QUALITY_ACCURACY, TASK_CLASS, false);
    put_family(p, METRIC_QUALITY_LOSS, TASK_BINARY, true);
    for (size_t i = 0; i < s->task_count; i++) {
        for (size_t m = 0; m < CURVE_MODELS; m++) {
            if (!isnan(q[i].models[m].calibration))
                put_labeled(p, METRIC_QUALITY_CALIBRATION,
                            q[i].models[m].calibration, s->tasks[i].name,
                            overview_model_name(m), NULL);
        }
    }
    for (size_t i = 0; i < s->task_count; i++) {
        if (!isnan(q[i].eta_score))
            put_labeled(p, METRIC_TRANSFER_RATIO, q[i].eta_score,
                        s->tasks[i].name, "score", NULL);
        if (!isnan(q[i].eta_loss))
            put_labeled(p, METRIC_TRANSFER_RATIO, q[i].eta_loss,
                        s->tasks[i].name, "loss", NULL);
    }
}

static void
put_arms(struct page *p)
{
    const struct arms_report *a;

    if (p->train == NULL || p->train->trained.arms.count == 0)
        return;
    a = &p->train->trained.arms;
    for (size_t i = 0; i < a->count; i++) {
        if (!isnan(a->arms[i].loss))
            put_labeled(p, METRIC_ARM_LOSS, a->arms[i].loss, a->arms[i].name,
                        NULL, NULL);
    }
    for (size_t i = 0; i < a->count; i++)
        put_labeled(p, METRIC_ARM_IN_FORCE, i == a->in_force ? 1 : 0,
                    a->arms[i].name, NULL, NULL);
    put(p, METRIC_ARM_SWITCHES, (double)a->switches);
}

enum status
overview_write_metrics(struct overview *o, struct bytes *out, struct error *err)
{
    struct page p = {.o = o,
                     .annotate = o->spec.roles[ROLE_ANNOTATE],
                     .train = o->spec.roles[ROLE_TRAIN]};
    struct process_usage usage;

    OBJ_CHECK(o, OVERVIEW_MAGIC);
    overview_gather(o);
    process_measure(&usage);
    metrics_begin(&p.w, rows, COUNT(rows), out);
    put_process(&p);
    put_flow(&p);
    put_failures(&p);
    put_reports(&p);
    put_work(&p);
    put_checkpoints(&p);
    put_quality(&p);
    put_arms(&p);
    metrics_put_histogram(&p.w, METRIC_LOOP_LAG,
                          heartbeat_lag(o->spec.heartbeat), NULL);
    metrics_put_histogram(&p.w, METRIC_LOOP_TURN,
                          heartbeat_turns(o->spec.heartbeat), NULL);
    put(&p, METRIC_RESIDENT, (double)usage.resident_bytes);
    put(&p, METRIC_CPU, usage.cpu_seconds);
    return metrics_end(&p.w, err);
}
