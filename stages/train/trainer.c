/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the trainer does with a batch.
 */
#include "stages/train/trainer.h"

#include "stages/dead_letters.h"
#include "stages/keeper.h"
#include "stages/model/curve.h"
#include "stages/progress.h"
#include "stages/settings.h"
#include "stages/shape.h"
#include "stages/train/arms.h"

#include "daemon/base/clock.h"
#include "daemon/base/crash.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRAINER_MAGIC 0x54524e52u
#define METRICS_BYTES 8192

/* Of a batch in the running means of the adapters' losses. */
#define ADAPTER_SHARE 0.01

struct trainer {
    unsigned magic;
    struct pipeline *pipeline;
    const struct settings *settings;
    struct spec_owned shape;
    struct keeper *keeper;
    struct dead_letters *dead_letters; /* NULL: they are sent before */
    struct arms *arms;
    struct curve *curve;
    struct progress progress;
    uint64_t last_publish; /* examples when a version was last due */
    bool is_asked;         /* for a checkpoint, not begun yet */
    bool has_failed;       /* nothing is learned any more */
    uint64_t pending_due;  /* version to publish, not told yet; 0: none */
    uint64_t started_ns;
    double loss; /* of the student's last step; NAN before it */
    double gradient_norm;
    struct label_age_rule age_rule;
    int64_t *times;      /* (B) scratch */
    float *soft_weights; /* (B) */
    struct adapter_report adapters[TASKS_MAX];
    char teacher_version[LABEL_VERSION_MAX + 1];
    char config_sha256[DIGEST_HEX_SIZE];
};

/* ---- opening ---- */

/* Whether examples come with a teacher's answer for a task. */
static bool
has_teacher(const struct settings *s, const struct task_settings *task)
{
    for (size_t i = 0; i < settings_teacher_count(s); i++) {
        enum teacher_kind kind = settings_teacher(s, i)->kind;

        if (kind == TEACHER_KIND_FIELD && task->teacher_path[0] != '\0')
            return true;
        if (kind != TEACHER_KIND_FIELD && kind != TEACHER_KIND_NONE &&
            s->train_input == TRAIN_INPUT_LABELS)
            return true;
    }
    return false;
}

static bool
hears_teacher(const struct settings *s)
{
    bool has_one = false;

    for (size_t i = 0; i < s->task_count; i++)
        has_one = has_one || has_teacher(s, &s->tasks[i]);
    return has_one;
}

static void
fill_curve_spec(struct curve_spec *out, const struct settings *s)
{
    *out = (struct curve_spec){
        .task_count = s->task_count,
        .has_baseline = s->baseline,
        .window = s->metrics_window,
        .point_every = s->metrics_point_every,
        .judge_from_ms = s->metrics_from,
    };
    for (size_t i = 0; i < s->task_count; i++) {
        struct curve_task *t = &out->tasks[i];

        (void)snprintf(t->name, sizeof(t->name), "%s", s->tasks[i].name);
        t->kind = s->tasks[i].kind;
        t->width = t->kind == TASK_CLASS ? s->tasks[i].classes : 1;
        t->column = i;
        t->has_teacher = has_teacher(s, &s->tasks[i]);
    }
}

/* The restored curve goes on where it counts what the settings want. */
static enum status
open_curve(struct trainer *t, struct curve *restored, struct error *err)
{
    struct curve_spec *wanted = calloc(1, sizeof(*wanted));
    enum status st = STATUS_OK;

    if (wanted == NULL) {
        curve_free(&restored);
        return error_set(err, STATUS_NOMEM, "no memory for a curve");
    }
    fill_curve_spec(wanted, t->settings);
    if (restored != NULL && curve_fits(curve_spec(restored), wanted)) {
        t->curve = restored;
    } else {
        if (restored != NULL)
            log_warn("metrics_restarted",
                     "text=\"metrics settings changed since the checkpoint\"");
        curve_free(&restored);
        st = curve_new(&t->curve, wanted, err);
    }
    free(wanted);
    return st;
}

static enum status
open_models(struct trainer *t, struct pipeline *p, uint64_t *version,
            struct error *err)
{
    const struct settings *s = t->settings;
    struct curve *curve = NULL;
    bool reads_labels = s->train_input == TRAIN_INPUT_LABELS;
    bool is_file =
        (reads_labels ? s->labels_log : s->events_log) == LOG_KIND_FILE;
    const char *path = reads_labels ? s->labels_path : s->events_path;
    const char *topic = reads_labels ? s->labels_topic : s->events_topic;
    struct keeper_spec keeper = {
        .dir = s->checkpoint_path,
        .keep = s->checkpoint_keep,
        .every = s->checkpoint_every,
        .model_name = s->name,
        .log_path = is_file ? path : topic,
        .sync_path = is_file && reads_labels ? path : NULL,
        .teacher_name =
            s->teacher.kind == TEACHER_KIND_NONE ? NULL : s->teacher_name,
        .events = event_shape_spec(p->events),
        .spec = &t->shape.spec,
        .config_sha256 = t->config_sha256,
    };
    struct keeper_restore restore = {
        .prefixes = arms_prefixes(t->arms),
        .count = arms_count(t->arms),
        .init_from = s->student.init_from,
        .migrates = p->migrates,
        .models = arms_models(t->arms),
        .progress = &t->progress,
        .curve = &curve,
        .version = version,
    };
    enum status st = keeper_open(&t->keeper, &keeper, err);

    if (st == STATUS_OK)
        st = keeper_restore(t->keeper, &restore, err);
    if (st != STATUS_OK) {
        curve_free(&curve);
        return st;
    }
    return open_curve(t, curve, err);
}

static enum status
open_weights(struct trainer *t, struct error *err)
{
    const struct settings *s = t->settings;

    t->age_rule = (struct label_age_rule){
        .max_ms = (int64_t)s->objective_teacher_age_max,
        .fades = s->objective_old_labels == OLD_LABELS_FADE,
    };
    for (size_t i = 0; i < TASKS_MAX; i++)
        t->adapters[i] = (struct adapter_report){(double)NAN, (double)NAN};
    t->times = calloc(settings_train_rows(s), sizeof(*t->times));
    t->soft_weights = calloc(settings_train_rows(s), sizeof(*t->soft_weights));
    if (t->times == NULL || t->soft_weights == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for ages of labels");
    return STATUS_OK;
}

static enum status
open_parts(struct trainer *t, struct pipeline *p, uint64_t *version,
           struct error *err)
{
    const struct settings *s = t->settings;
    enum status st = settings_digest(s, t->config_sha256, err);

    if (st == STATUS_OK)
        st = model_shape_new(&t->shape, s, MODEL_STUDENT,
                             settings_train_rows(s), s->train_threads, err);
    if (st == STATUS_OK)
        st = arms_new(&t->arms, s, hears_teacher(s), &t->shape.spec, err);
    if (st == STATUS_OK)
        st = open_models(t, p, version, err);
    if (st == STATUS_OK)
        st = arms_begin(t->arms, &t->progress.contest, err);
    if (st == STATUS_OK)
        st = open_weights(t, err);
    if (st == STATUS_OK && s->dead_letters_log == LOG_KIND_FILE)
        st = dead_letters_open(&t->dead_letters, s->dead_letters_path,
                               "labels.ndjson", err);
    return st;
}

enum status
trainer_open(struct trainer **out, struct pipeline *p, uint64_t *due,
             struct error *err)
{
    struct trainer *t = calloc(1, sizeof(*t));
    uint64_t version = 0;
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for the trainer");
    t->magic = TRAINER_MAGIC;
    t->pipeline = p;
    t->settings = p->settings;
    t->started_ns = clock_now_ns();
    t->loss = (double)NAN;
    t->gradient_norm = (double)NAN;
    st = open_parts(t, p, &version, err);
    if (st != STATUS_OK) {
        trainer_free(&t);
        return st;
    }
    positions_copy(&p->start, &t->progress.position);
    watermarks_copy(&p->seen, &t->progress.seen);
    p->input = t->progress.input;
    p->source = t->progress.source;
    p->pass = t->progress.pass;
    p->store = keeper_store(t->keeper);
    /* Publishing may have been cut off after the checkpoint was durable; to
     * publish what is there already changes nothing. */
    *due = t->progress.is_end || p->settings->publish_every > 0 ? version : 0;
    t->last_publish = t->progress.examples;
    *out = t;
    return STATUS_OK;
}

void
trainer_free(struct trainer **self)
{
    struct trainer *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TRAINER_MAGIC);
    keeper_close(&t->keeper);
    dead_letters_close(&t->dead_letters);
    arms_free(&t->arms);
    free(t->soft_weights);
    free(t->times);
    curve_free(&t->curve);
    spec_fini(&t->shape);
    t->magic = 0;
    free(t);
}

/* ---- checkpoints ---- */

/* The manifest's "metrics": what a person looks at first. */
static void
write_metrics(const struct trainer *t, char text[METRICS_BYTES])
{
    static const char *const names[CURVE_MODELS] = {"teacher", "student",
                                                    "baseline"};
    struct json_writer w;

    json_writer_init(&w, text, METRICS_BYTES - 1, 0);
    json_open_object(&w);
    for (size_t i = 0; i < t->settings->task_count; i++) {
        struct curve_summary summary;

        curve_summarize(t->curve, i, &summary);
        json_put_key(&w, t->settings->tasks[i].name);
        json_open_object(&w);
        json_put_key(&w, "examples");
        json_put_uint(&w, summary.judged);
        for (size_t m = 0; m < CURVE_MODELS; m++) {
            json_put_key(&w, names[m]);
            json_open_object(&w);
            json_put_key(&w, "score");
            json_put_double(&w, summary.models[m].score);
            json_put_key(&w, "loss");
            json_put_double(&w, summary.models[m].loss);
            json_close_object(&w);
        }
        json_close_object(&w);
    }
    json_close_object(&w);
    text[w.is_full ? 0 : w.len] = '\0';
}

static enum status
begin_checkpoint(struct trainer *t, struct error *err)
{
    char metrics[METRICS_BYTES];
    struct arms_order order;
    struct keeper_content content = {
        .models = order.models,
        .prefixes = order.prefixes,
        .count = arms_count(t->arms),
        .progress = &t->progress,
        .curve = t->curve,
        .teacher_version = t->teacher_version,
        .seconds = clock_seconds_since(t->started_ns),
        .metrics = metrics,
    };

    arms_order(t->arms, &order);
    content.alias = order.alias;
    write_metrics(t, metrics);
    if (metrics[0] == '\0')
        content.metrics = NULL;
    return keeper_begin(t->keeper, &content, err);
}

/* Whether a version that became durable is to be published. */
static void
note_durable(struct trainer *t, uint64_t durable)
{
    uint64_t every = t->settings->publish_every;

    if (durable == 0 || every == 0 ||
        keeper_saved(t->keeper) / every == t->last_publish / every)
        return;
    t->last_publish = keeper_saved(t->keeper);
    t->pending_due = durable;
}

static uint64_t
take_due(struct trainer *t)
{
    uint64_t due = t->pending_due;

    t->pending_due = 0;
    return due;
}

/* ---- learning ---- */

/*
 * Too many steps in a row were not finite: the parameters go back to the last
 * checkpoint, the position does not, and what lies between is marked as
 * discarded in a checkpoint that is written at once.
 */
static enum status
go_back(struct trainer *t, struct error *err)
{
    struct model *models[CHECKPOINT_MODELS_MAX] = {NULL};
    struct progress old;
    struct curve *curve = NULL;
    uint64_t version = 0;
    uint64_t durable = 0;
    struct keeper_restore restore = {
        .prefixes = arms_prefixes(t->arms),
        .count = arms_count(t->arms),
        .init_from = t->settings->student.init_from,
        .models = models,
        .progress = &old,
        .curve = &curve,
        .version = &version,
    };
    enum status st;

    if (t->progress.went_back_at != 0 &&
        t->progress.examples - t->progress.went_back_at <
            t->settings->train_rollback_gap)
        return error_set(err, STATUS_BADDATA,
                         "loss or gradient not finite again %llu examples "
                         "after going back to a checkpoint: the learning rate "
                         "is too high, or the data is not what it was",
                         (unsigned long long)(t->progress.examples -
                                              t->progress.went_back_at));
    st = keeper_finish(t->keeper, &durable, err);
    if (st == STATUS_OK)
        st = keeper_restore(t->keeper, &restore, err);
    curve_free(&curve);
    if (st == STATUS_OK)
        arms_replace(t->arms, models);
    for (size_t i = 0; i < arms_count(t->arms); i++)
        model_free(&models[i]);
    if (st != STATUS_OK)
        return st;
    t->progress.discarded += t->progress.examples - old.examples;
    t->progress.went_back_at = t->progress.examples;
    t->progress.skips_in_row = 0;
    log_error("model_went_back",
              "version=%llu discarded=%llu text=\"loss not finite\"",
              (unsigned long long)version,
              (unsigned long long)(t->progress.examples - old.examples));
    return begin_checkpoint(t, err);
}

/* How far the adapters are ahead of the teacher, for whoever looks on. */
static void
note_adapters(struct trainer *t, const struct task_loss *losses)
{
    for (size_t i = 0; i < t->settings->task_count; i++) {
        struct adapter_report *a = &t->adapters[i];
        double rows = (double)losses[i].adapter_rows;
        double share = isnan(a->teacher) ? 1.0 : ADAPTER_SHARE;

        if (losses[i].adapter_rows == 0)
            continue;
        if (share == 1.0)
            *a = (struct adapter_report){0};
        a->teacher += share * (losses[i].unadapted / rows - a->teacher);
        a->adapted += share * (losses[i].adapted / rows - a->adapted);
    }
}

/* Says in *c, a copy, what the batch's labels count. */
static void
weigh_labels(struct trainer *t, const struct batch *b, struct columns *c)
{
    *c = *b->columns;
    if (t->age_rule.max_ms == 0)
        return;
    if (b->pass != t->progress.pass)
        label_ages_rewind(&t->progress.ages);
    label_ages_weigh(&t->progress.ages, &t->age_rule, c, t->times,
                     t->soft_weights);
    c->soft_weight = t->soft_weights;
}

static void
log_step(const struct trainer *t, const struct columns *c,
         const struct arms_step *a)
{
    const struct task_loss *l = &a->losses[0];

    log_debug("train_step",
              "step=%llu examples=%zu loss=%.9g hard=%.9g soft=%.9g "
              "gradient_norm=%.6g",
              (unsigned long long)t->progress.batches + 1, columns_real(c),
              a->step.loss,
              l->hard_rows > 0 ? l->hard / (double)l->hard_rows : 0.0,
              l->soft_rows > 0 ? l->soft / (double)l->soft_rows : 0.0,
              a->step.gradient_norm);
}

static void
learn(struct trainer *t, const struct batch *b)
{
    bool is_new = b->pass == 0; /* later passes know the answers */
    struct columns weighed;
    struct arms_step a;

    weigh_labels(t, b, &weighed);
    arms_learn(t->arms, &weighed, is_new, &a);
    note_adapters(t, a.losses);
    t->loss = a.step.loss;
    t->gradient_norm = a.step.gradient_norm;
    t->progress.skips_in_row = a.was_skipped ? t->progress.skips_in_row + 1 : 0;
    t->progress.skipped_steps += a.was_skipped;
    if (is_new)
        curve_add(t->curve, &weighed, a.student, a.baseline);
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_step(t, &weighed, &a);
}

void
trainer_batch(struct trainer *t, struct batch *b)
{
    struct error *err = &b->error;
    uint64_t durable = 0;
    enum status st = STATUS_OK;

    OBJ_CHECK(t, TRAINER_MAGIC);
    /* The position must not pass what failed: no checkpoint would lead back
     * to it. */
    if (t->has_failed)
        return;
    if (t->dead_letters != NULL) {
        st = dead_letters_write(t->dead_letters, &b->dead_letters, false, err);
        t->has_failed = st != STATUS_OK;
    }
    if (t->has_failed || !b->has_position)
        return;
    crash_point("train_after_dead_letters");
    if (b->columns->row_count > 0) {
        learn(t, b);
        (void)snprintf(t->teacher_version, sizeof(t->teacher_version), "%s",
                       b->teacher_version);
    }
    progress_add(&t->progress, b);
    t->progress.is_end = false;
    crash_point("train_before_checkpoint");
    if (t->settings->train_skips_max > 0 &&
        t->progress.skips_in_row >= t->settings->train_skips_max)
        st = go_back(t, err);
    else if (keeper_is_due(t->keeper, t->progress.examples))
        st = begin_checkpoint(t, err);
    (void)keeper_step(t->keeper, &durable);
    note_durable(t, durable);
    b->due_version = take_due(t);
    t->has_failed = st != STATUS_OK;
    if (st == STATUS_OK)
        error_clear(err);
}

static void
fill_report(const struct trainer *t, struct train_report *r)
{
    struct keeper_report kept;

    keeper_report(t->keeper, &kept);
    *r = (struct train_report){
        .examples = t->progress.examples,
        .batches = t->progress.batches,
        .skipped_steps = t->progress.skipped_steps,
        .discarded = t->progress.discarded,
        .loss = t->loss,
        .gradient_norm = t->gradient_norm,
        .version = kept.version,
        .version_examples = kept.examples,
        .version_ms = kept.created_ms,
        .checkpoint_failures = kept.failures,
        .is_writing = kept.is_writing,
        .minds_age = t->age_rule.max_ms > 0,
        .teacher_age_s = (double)t->progress.ages.last_ms / 1000.0,
        .old_labels = t->progress.ages.refused,
        .is_filled = true,
    };
    memcpy(r->adapters, t->adapters, sizeof(r->adapters));
    (void)snprintf(r->teacher_version, sizeof(r->teacher_version), "%s",
                   t->teacher_version);
    arms_report(t->arms, &r->arms);
    for (size_t i = 0; i < t->settings->task_count; i++)
        curve_summarize(t->curve, i, &r->quality[i]);
}

void
trainer_obey(struct trainer *t, struct trainer_order *o)
{
    struct keeper_report kept;
    uint64_t durable = 0;
    enum status st = STATUS_OK;

    OBJ_CHECK(t, TRAINER_MAGIC);
    (void)keeper_step(t->keeper, &durable);
    note_durable(t, durable);
    t->is_asked = t->is_asked || o->wants_checkpoint;
    keeper_report(t->keeper, &kept);
    /* One that is being written does not have what came since. */
    if (t->is_asked && !kept.is_writing && !t->has_failed) {
        t->is_asked = false;
        st = begin_checkpoint(t, &o->error);
    }
    o->due_version = take_due(t);
    fill_report(t, &o->report);
    t->has_failed = t->has_failed || st != STATUS_OK;
    if (st == STATUS_OK)
        error_clear(&o->error);
}

bool
trainer_idle(struct trainer *t)
{
    uint64_t durable = 0;
    bool has_more;

    OBJ_CHECK(t, TRAINER_MAGIC);
    has_more = keeper_step(t->keeper, &durable);
    note_durable(t, durable);
    return has_more;
}

/* What the student's tables hold, and how often one that was full refused. */
static void
log_tables(const struct model *m)
{
    for (size_t i = 0; i < model_table_count(m); i++) {
        struct table_counters c;

        model_table_counters(m, i, &c);
        log_info(
            "table",
            "feature=%s rows=%llu rows_max=%llu candidates=%llu "
            "refused=%llu expired=%llu bytes=%llu",
            c.name, (unsigned long long)c.rows, (unsigned long long)c.rows_max,
            (unsigned long long)c.candidates, (unsigned long long)c.refused,
            (unsigned long long)c.expired, (unsigned long long)c.bytes);
    }
}

void
trainer_finish(struct trainer *t, bool is_end, uint64_t *due, struct error *err)
{
    uint64_t durable = 0;
    bool was_end = t->progress.is_end;
    enum status st;

    OBJ_CHECK(t, TRAINER_MAGIC);
    st = keeper_finish(t->keeper, &durable, err);
    note_durable(t, durable);
    t->progress.is_end = is_end;
    if (st != STATUS_OK || t->progress.examples != keeper_saved(t->keeper) ||
        (is_end && !was_end)) {
        st = begin_checkpoint(t, err);
        if (st == STATUS_OK)
            st = keeper_finish(t->keeper, &durable, err);
        note_durable(t, durable);
        if (st == STATUS_OK && is_end)
            t->pending_due = durable;
    }
    log_tables(arms_in_force(t->arms));
    for (size_t i = 0; i < t->settings->task_count; i++)
        curve_summarize(t->curve, i, &t->pipeline->quality[i]);
    arms_report(t->arms, &t->pipeline->arms);
    *due = take_due(t);
    if (st == STATUS_OK)
        error_clear(err);
}
