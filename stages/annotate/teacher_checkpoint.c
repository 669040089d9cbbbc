/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model in process as the teacher: frozen until a newer version of it is
 * there, or learning in line.
 *
 * In line it first answers, then learns from the outcomes. Its own checkpoint
 * holds parameters and position as one unit; after a crash it learns again
 * from there, and what is in the labels log already is not written again. That
 * only works while the log is never behind the checkpoint, so a checkpoint is
 * read out only when the labels of its last batch have been written.
 */
#include "stages/annotate/follower.h"
#include "stages/annotate/teacher.h"
#include "stages/keeper.h"
#include "stages/load.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEACHER_MAGIC 0x54454143u

static const char *const prefixes[] = {""};

struct teacher {
    unsigned magic;
    struct pipeline *pipeline;
    const struct teacher_settings *settings;
    struct spec_owned shape;
    struct model *model;
    float *logits; /* (teacher.batch, logits) */
    char version[64];
    /* Frozen: */
    struct teacher_stats *stats;
    struct answering *answering; /* owns the four above; NULL: it learns */
    struct follower *follower;
    /* Learning in line: */
    struct objective objectives[TASKS_MAX];
    struct keeper *keeper; /* NULL: frozen */
    struct progress progress;
    uint64_t answered; /* batches, as pipeline.written counts them */
    uint64_t gate;     /* written must come this far before it is read out */
    uint64_t started_ns;
    char config_sha256[DIGEST_HEX_SIZE];
};

/* ---- opening ---- */

static void
use_answering(struct teacher *t)
{
    t->model = t->answering->loaded.model;
    t->shape = t->answering->loaded.shape;
    t->logits = t->answering->logits;
    (void)snprintf(t->version, sizeof(t->version), "%" PRIu64,
                   t->answering->number);
}

/* Frozen until a newer version comes. */
static enum status
open_frozen(struct teacher *t, struct error *err)
{
    struct pipeline *p = t->pipeline;
    struct follower_spec spec = {
        .path = t->settings->path,
        .name = t->settings->name,
        .events = event_shape_spec(p->events),
        .batch_max = settings_teacher_rows(p->settings),
        .threads = t->settings->threads,
        .poll_ms = t->settings->poll,
        .stats = t->stats,
    };
    enum status st = answering_open(&t->answering, &spec, err);

    if (st != STATUS_OK)
        return st;
    use_answering(t);
    return follower_new(&t->follower, p->loop, &spec, t->answering->number,
                        err);
}

/* A teacher that learns may begin with the parameters of another. */
static enum status
begin_from_path(struct teacher *t, struct error *err)
{
    struct checkpoint *ck = NULL;
    enum status st =
        checkpoint_open(&ck, t->settings->path, CHECKPOINT_VERIFY, err);

    if (st == STATUS_OK) {
        model_free(&t->model);
        st = checkpoint_load_model(ck, "", &t->shape.spec, RESTORE_WEIGHTS,
                                   &t->model, NULL, err);
    }
    checkpoint_free(&ck);
    return st;
}

/* The labels log must hold what the checkpoint has learned from, and of the
 * same generation. */
static enum status
check_labels(const struct teacher *t, struct error *err)
{
    const struct watermarks *seen = &t->progress.seen;
    const struct log_position *emitted = &t->pipeline->emitted;
    const struct row_source *last;

    if (t->progress.position.count == 0)
        return STATUS_OK;
    if (t->progress.generation != t->pipeline->settings->labels_generation)
        return error_set(
            err, STATUS_CONFIG,
            "labels.generation is %llu, the teacher's checkpoint "
            "in %s is of generation %u: a teacher that learns in "
            "line cannot answer again for what it has learned. "
            "Name a new teacher.checkpoint.path",
            (unsigned long long)t->pipeline->settings->labels_generation,
            t->pipeline->settings->teacher_checkpoint_path,
            t->progress.generation);
    if (seen->count == 0)
        return STATUS_OK; /* with Kafka the source compares them */
    last = &seen->next[seen->count - 1];
    if ((uint32_t)last->partition < emitted->partition ||
        ((uint32_t)last->partition == emitted->partition &&
         (uint64_t)last->offset <= emitted->offset))
        return STATUS_OK;
    return error_set(err, STATUS_BADDATA,
                     "labels log %s ends before what the teacher's checkpoint "
                     "in %s has learned from: it was cut or replaced. Restore "
                     "it, or begin anew with both removed",
                     t->pipeline->settings->labels_path,
                     t->pipeline->settings->teacher_checkpoint_path);
}

static enum status
open_learning(struct teacher *t, struct error *err)
{
    struct pipeline *p = t->pipeline;
    const struct settings *s = p->settings;
    struct curve *curve = NULL;
    uint64_t version = 0;
    bool is_file = s->events_log == LOG_KIND_FILE;
    struct keeper_spec keeper = {
        .dir = s->teacher_checkpoint_path,
        .keep = s->teacher_checkpoint_keep,
        .every = s->teacher_checkpoint_every,
        .model_name = s->teacher_name,
        .log_path = is_file ? s->events_path : s->events_topic,
        .sync_path = is_file ? s->labels_path : NULL,
        .events = event_shape_spec(p->events),
        .spec = &t->shape.spec,
        .config_sha256 = t->config_sha256,
    };
    struct keeper_restore restore = {
        .prefixes = prefixes,
        .count = 1,
        .init_from = s->teacher_model.init_from,
        .migrates = p->migrates,
        .models = &t->model,
        .progress = &t->progress,
        .curve = &curve,
        .version = &version,
    };
    enum status st =
        model_shape_new(&t->shape, s, MODEL_TEACHER, settings_teacher_rows(s),
                        t->settings->threads, err);

    if (st == STATUS_OK)
        st = settings_digest(s, t->config_sha256, err);
    if (st == STATUS_OK)
        st = keeper_open(&t->keeper, &keeper, err);
    if (st == STATUS_OK)
        st = keeper_restore(t->keeper, &restore, err);
    curve_free(&curve);
    if (st == STATUS_OK && version == 0 && t->settings->path[0] != '\0')
        st = begin_from_path(t, err);
    if (st == STATUS_OK)
        st = check_labels(t, err);
    if (st != STATUS_OK)
        return st;
    objectives_fill(t->objectives, s, false);
    for (size_t i = 0; i < s->task_count; i++)
        t->objectives[i].hard_weight = (float)s->tasks[i].weight;
    t->progress.generation = (uint32_t)s->labels_generation;
    positions_copy(&p->start, &t->progress.position);
    watermarks_copy(&p->seen, &t->progress.seen);
    p->input = t->progress.input;
    return STATUS_OK;
}

static void
free_teacher(struct teacher **self)
{
    struct teacher *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TEACHER_MAGIC);
    keeper_close(&t->keeper);
    follower_free(&t->follower);
    if (t->answering == NULL) {
        model_free(&t->model);
        spec_fini(&t->shape);
        free(t->logits);
    }
    answering_free(&t->answering);
    t->magic = 0;
    free(t);
}

/* Where what it does is counted. */
static struct teacher_stats *
stats_of(struct pipeline *p, const struct teacher_settings *s)
{
    size_t i = 0;

    while (settings_teacher(p->settings, i) != s)
        i++;
    return &p->stats.teachers[i];
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
    t->started_ns = clock_now_ns();
    t->stats = stats_of(p, s);
    st = p->settings->teacher_learn ? open_learning(t, err)
                                    : open_frozen(t, err);
    if (st == STATUS_OK && t->answering == NULL) {
        t->logits = calloc(settings_teacher_rows(p->settings) *
                               model_logit_count(t->model),
                           sizeof(float));
        if (t->logits == NULL)
            st = error_set(err, STATUS_NOMEM, "no memory for logits");
    }
    if (st != STATUS_OK) {
        free_teacher(&t);
        return st;
    }
    *out = t;
    return STATUS_OK;
}

/* ---- the teacher's thread ---- */

static enum status
begin_checkpoint(struct teacher *t, struct error *err)
{
    struct keeper_content content = {
        .models = &t->model,
        .prefixes = prefixes,
        .count = 1,
        .progress = &t->progress,
        .teacher_version = "",
        .seconds = clock_seconds_since(t->started_ns),
    };

    t->gate = t->answered;
    return keeper_begin(t->keeper, &content, err);
}

/* Reads the running checkpoint out, once its labels are written. */
static bool
step_checkpoint(struct teacher *t)
{
    uint64_t durable;

    if (t->keeper == NULL || atomic_load(&t->pipeline->written) < t->gate)
        return false;
    return keeper_step(t->keeper, &durable);
}

/* Where the logits of a column's task begin in an ask. */
static size_t
place_of(const struct columns *c, size_t column)
{
    size_t at = 0;

    for (size_t i = 0; i < column; i++)
        at += c->tasks[i].width;
    return at;
}

/* Spreads the model's logits over its tasks, which may be fewer than there
 * are. */
static void
write_answers(struct teacher *t, struct ask *ask)
{
    const struct columns *c = ask->batch->columns;
    const struct model_spec *spec = &t->shape.spec;
    size_t width = model_logit_count(t->model);
    size_t version = 0;

    if (ask_version(ask, t->version, &version, &ask->error) != STATUS_OK)
        return;
    for (size_t row = 0; row < c->row_count; row++) {
        const float *from = t->logits + row * width;
        float *to;

        if (!ask->wanted[row])
            continue;
        to = ask_give(ask, row, version);
        for (size_t i = 0; i < spec->task_count; i++) {
            size_t column = spec->tasks[i].column;

            memcpy(to + place_of(c, column), from,
                   c->tasks[column].width * sizeof(float));
            from += c->tasks[column].width;
        }
    }
}

/* Imagined events are answered about first and are nothing to learn from. */
static enum status
answer_and_learn(struct teacher *t, const struct batch *b, struct error *err)
{
    struct columns real = *b->columns;
    struct step step;

    real.row_count = columns_real(b->columns);
    (void)snprintf(t->version, sizeof(t->version), "%" PRIu64,
                   t->progress.examples);
    if (real.row_count > 0) {
        if (b->columns->imagined_count > 0)
            model_predict(t->model, b->columns, t->logits);
        real.imagined_count = 0;
        model_step(t->model, &real, t->objectives, t->logits, NULL, &step);
    }
    if (real.row_count > 0 && step.is_skipped) {
        t->progress.skipped_steps++;
        log_warn("teacher_step_skipped", "examples=%" PRIu64,
                 t->progress.examples);
    }
    if (!b->has_position)
        return STATUS_OK;
    progress_add(&t->progress, b);
    if (keeper_is_due(t->keeper, t->progress.examples))
        return begin_checkpoint(t, err);
    return STATUS_OK;
}

static void
answer(struct teacher *t, struct ask *ask)
{
    const struct batch *b = ask->batch;
    enum status st = STATUS_OK;

    OBJ_CHECK(t, TEACHER_MAGIC);
    t->answered++;
    if (t->follower != NULL && follower_swap(t->follower, &t->answering))
        use_answering(t);
    if (t->keeper != NULL)
        st = answer_and_learn(t, b, &ask->error);
    else if (b->columns->row_count > 0)
        model_predict(t->model, b->columns, t->logits);
    (void)step_checkpoint(t);
    if (st != STATUS_OK)
        return;
    error_clear(&ask->error); /* of a checkpoint that was passed over */
    write_answers(t, ask);
}

static void
refresh(struct teacher *t)
{
    OBJ_CHECK(t, TEACHER_MAGIC);
    if (t->follower != NULL)
        follower_refresh(t->follower);
}

static bool
idle(struct teacher *t)
{
    OBJ_CHECK(t, TEACHER_MAGIC);
    return step_checkpoint(t);
}

/* Waits until the labels of every answered batch are written; false: they
 * never will be. */
static bool
wait_for_labels(struct teacher *t)
{
    while (atomic_load(&t->pipeline->written) < t->answered) {
        if (atomic_load(&t->pipeline->writes_failed))
            return false;
        (void)poll(NULL, 0, 1);
    }
    return true;
}

static void
finish(struct teacher *t, struct error *err)
{
    uint64_t durable;
    enum status st;

    OBJ_CHECK(t, TEACHER_MAGIC);
    error_clear(err);
    if (t->keeper == NULL || !wait_for_labels(t))
        return;
    st = keeper_finish(t->keeper, &durable, err);
    if (st == STATUS_OK && t->progress.examples == keeper_saved(t->keeper))
        return;
    st = begin_checkpoint(t, err);
    if (st == STATUS_OK)
        st = keeper_finish(t->keeper, &durable, err);
    if (st == STATUS_OK)
        error_clear(err);
}

const struct teacher_ops teacher_checkpoint = {
    .name = "checkpoint",
    .way = TEACHER_ON_THREAD,
    .open = open_teacher,
    .answer = answer,
    .idle = idle,
    .finish = finish,
    .refresh = refresh,
    .free = free_teacher,
};
