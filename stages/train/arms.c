/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One model an arm, side by side on a team of threads.
 */
#include "stages/train/arms.h"

#include "stages/model/helpers.h"
#include "stages/model/loss.h"
#include "stages/shape.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ARMS_MAGIC 0x61524d53u

/* How much an arm listens to the outcome and to the teacher, by which the
 * weights of the settings are multiplied. */
struct arm_kind {
    const char *prefix;
    const char *name;
    float hard;
    float soft;
    bool imagines; /* learns from imagined events too */
};

/* With a fixed weight: what is served, and its shadow. */
static const struct arm_kind fixed_kinds[] = {
    {"", "student", 1.0F, 1.0F, true},
    {"baseline/", "baseline", 1.0F, 0.0F, false},
};

/* The last one is there where events are imagined. */
static const struct arm_kind contest_kinds[] = {
    {"baseline/", "untaught", 1.0F, 0.0F, false},
    {"arm-0.5/", "1 hard + 0.5 soft", 1.0F, 0.5F, false},
    {"arm-1/", "1 hard + 1 soft", 1.0F, 1.0F, false},
    {"arm-4/", "1 hard + 4 soft", 1.0F, 4.0F, false},
    {"arm-0.8/", "0.2 hard + 0.8 soft", 0.2F, 0.8F, false},
    {"arm-imagined/", "1 hard + 1 soft, imagined", 1.0F, 1.0F, true},
};

#define ARMS_MAX COUNT(contest_kinds)

struct arm {
    const struct arm_kind *kind;
    struct objective objectives[TASKS_MAX];
    float *logits;  /* (B, logits) */
    double *losses; /* (B) of the outcomes, weighted by task */
    struct task_loss task_losses[TASKS_MAX];
    struct step step;
};

struct arms {
    unsigned magic;
    const struct settings *settings;
    struct helpers *team; /* the arms side by side */
    size_t team_size;
    struct contest *contest;
    size_t baseline; /* which arm; count: there is none */
    size_t count;
    struct arm arms[ARMS_MAX];
    struct model *models[ARMS_MAX];
    const char *prefixes[ARMS_MAX];
    uint8_t *is_judged; /* (B) rows that have an outcome */
    const struct columns *batch;
    struct columns real; /* of the batch: what happened */
};

static_assert(ARMS_MAX <= CHECKPOINT_MODELS_MAX, "a checkpoint holds them all");
static_assert(ARMS_MAX <= CONTEST_MODELS_MAX, "a contest holds them all");
static_assert(ARMS_MAX <= REPORT_ARMS_MAX, "a report holds them all");

/* ---- Opening ---- */

bool
arms_is_contest(const struct settings *s, bool has_teacher)
{
    return settings_chooses_weight(s) && has_teacher;
}

/* Whether a contest has this arm. */
static bool
is_wanted(const struct settings *s, const struct arm_kind *kind)
{
    return !kind->imagines || settings_train_rows(s) > s->train_batch;
}

static void
fill_arm(struct arms *a, const struct arm_kind *kind)
{
    const struct settings *s = a->settings;
    struct arm *arm = &a->arms[a->count];

    arm->kind = kind;
    objectives_fill(arm->objectives, s, kind->soft > 0.0F);
    for (size_t t = 0; t < s->task_count; t++) {
        arm->objectives[t].hard_weight *= kind->hard;
        arm->objectives[t].soft_weight *= kind->soft;
    }
    a->prefixes[a->count++] = kind->prefix;
}

enum status
arms_new(struct arms **out, const struct settings *s, bool has_teacher,
         struct model_spec *spec, struct error *err)
{
    bool is_contest = arms_is_contest(s, has_teacher);
    struct arms *a = calloc(1, sizeof(*a));
    enum status st;

    *out = NULL;
    if (a == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for the trainer");
    a->magic = ARMS_MAGIC;
    a->settings = s;
    a->team_size = 1;
    for (size_t i = 0; is_contest && i < COUNT(contest_kinds); i++) {
        if (is_wanted(s, &contest_kinds[i]))
            fill_arm(a, &contest_kinds[i]);
    }
    if (!is_contest)
        fill_arm(a, &fixed_kinds[0]);
    if (!is_contest && s->baseline)
        fill_arm(a, &fixed_kinds[1]);
    if (is_contest)
        a->team_size =
            s->train_threads < a->count ? s->train_threads : a->count;
    a->baseline = is_contest ? 0 : 1;
    spec->threads = s->train_threads / a->team_size;
    spec->is_calibrated = is_contest;
    st = helpers_new(&a->team, a->team_size, err);
    if (st != STATUS_OK) {
        arms_free(&a);
        return st;
    }
    *out = a;
    return STATUS_OK;
}

void
arms_free(struct arms **self)
{
    struct arms *a;

    if (*self == NULL)
        return;
    OBJ_TAKE(a, self, ARMS_MAGIC);
    helpers_free(&a->team);
    for (size_t i = 0; i < a->count; i++) {
        model_free(&a->models[i]);
        free(a->arms[i].logits);
        free(a->arms[i].losses);
    }
    free(a->is_judged);
    a->magic = 0;
    free(a);
}

size_t
arms_count(const struct arms *a)
{
    OBJ_CHECK(a, ARMS_MAGIC);
    return a->count;
}

struct model **
arms_models(struct arms *a)
{
    OBJ_CHECK(a, ARMS_MAGIC);
    return a->models;
}

const char *const *
arms_prefixes(const struct arms *a)
{
    OBJ_CHECK(a, ARMS_MAGIC);
    return a->prefixes;
}

static bool
is_contest(const struct arms *a)
{
    return a->contest->count > 0;
}

enum status
arms_begin(struct arms *a, struct contest *contest, struct error *err)
{
    size_t rows = settings_train_rows(a->settings);

    OBJ_CHECK(a, ARMS_MAGIC);
    a->contest = contest;
    if (a->baseline > 0)
        *contest = (struct contest){0};
    else if (contest->count != a->count)
        contest_init(contest, a->count);
    a->is_judged = calloc(rows, 1);
    for (size_t i = 0; i < a->count; i++) {
        struct arm *arm = &a->arms[i];

        arm->logits =
            calloc(rows * model_logit_count(a->models[i]), sizeof(float));
        arm->losses = calloc(rows, sizeof(double));
        if (arm->logits == NULL || arm->losses == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for logits");
    }
    if (a->is_judged == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for logits");
    return STATUS_OK;
}

void
arms_replace(struct arms *a, struct model **models)
{
    OBJ_CHECK(a, ARMS_MAGIC);
    for (size_t i = 0; i < a->count; i++) {
        model_free(&a->models[i]);
        a->models[i] = models[i];
        models[i] = NULL;
    }
}

/* ---- Learning ---- */

/* Each row's loss against its outcomes, by the answers given before
 * learning. */
static void
measure(struct arms *a, struct arm *arm, size_t logit_count)
{
    const struct columns *c = &a->real;
    const struct settings *s = a->settings;

    memset(arm->losses, 0, c->row_count * sizeof(*arm->losses));
    for (size_t r = 0; r < c->row_count; r++) {
        const float *z = arm->logits + r * logit_count;

        for (size_t t = 0; t < s->task_count; t++) {
            const struct outcome_column *y = &c->tasks[t];

            if (y->has_outcome[r] != 0)
                arm->losses[r] += s->tasks[t].weight *
                                  loss_hard(y->kind, z, y->width, y->outcome[r],
                                            c->sample_rate[r], 0, NULL);
            z += y->width;
        }
    }
}

static void
learn_part(void *ctx, size_t number)
{
    struct arms *a = ctx;

    for (size_t i = number; i < a->count; i += a->team_size) {
        struct arm *arm = &a->arms[i];

        model_step(a->models[i], arm->kind->imagines ? a->batch : &a->real,
                   arm->objectives, arm->logits, arm->task_losses, &arm->step);
        if (is_contest(a))
            measure(a, arm, model_logit_count(a->models[i]));
    }
}

/* Counts the rows that have an outcome, and lets the best one take over. */
static void
judge(struct arms *a)
{
    const struct columns *c = &a->real;
    size_t before = a->contest->in_force;

    memset(a->is_judged, 0, c->row_count);
    for (size_t t = 0; t < c->task_count; t++) {
        for (size_t r = 0; r < c->row_count; r++)
            a->is_judged[r] |= c->tasks[t].has_outcome[r];
    }
    for (size_t r = 0; r < c->row_count; r++) {
        double losses[ARMS_MAX];

        for (size_t i = 0; i < a->count; i++)
            losses[i] = a->arms[i].losses[r];
        if (a->is_judged[r] != 0)
            contest_add(a->contest, losses, (double)c->weight[r]);
    }
    if (contest_decide(a->contest))
        log_info("arm_in_force", "arm=\"%s\" before=\"%s\"",
                 a->arms[a->contest->in_force].kind->name,
                 a->arms[before].kind->name);
}

void
arms_learn(struct arms *a, const struct columns *c, bool is_judged,
           struct arms_step *out)
{
    struct arm *student;

    OBJ_CHECK(a, ARMS_MAGIC);
    assert(c->row_count <= settings_train_rows(a->settings));
    student = &a->arms[a->contest->in_force];
    a->batch = c;
    a->real = *c;
    a->real.row_count = columns_real(c);
    a->real.imagined_count = 0;
    helpers_run(a->team, learn_part, a);
    *out = (struct arms_step){
        .step = student->step,
        .student = student->logits,
        .baseline = a->baseline < a->count ? a->arms[a->baseline].logits : NULL,
    };
    memcpy(out->losses, student->task_losses, sizeof(out->losses));
    for (size_t i = 0; i < a->count; i++)
        out->was_skipped = out->was_skipped || a->arms[i].step.is_skipped;
    if (is_contest(a) && is_judged)
        judge(a);
    a->batch = NULL;
}

/* ---- What others see ---- */

struct model *
arms_in_force(const struct arms *a)
{
    OBJ_CHECK(a, ARMS_MAGIC);
    return a->models[a->contest->in_force];
}

void
arms_order(const struct arms *a, struct arms_order *out)
{
    size_t in_force = a->contest->in_force;
    size_t count = 1;

    OBJ_CHECK(a, ARMS_MAGIC);
    *out =
        (struct arms_order){.models = {a->models[in_force]}, .prefixes = {""}};
    if (is_contest(a))
        out->alias = a->prefixes[in_force];
    for (size_t i = 0; i < a->count; i++) {
        if (i == in_force)
            continue;
        out->models[count] = a->models[i];
        out->prefixes[count++] = a->prefixes[i];
    }
}

void
arms_tell(const struct settings *s, const struct contest *c,
          struct arms_report *out)
{
    size_t best = c->in_force;
    size_t count = 0;

    *out = (struct arms_report){0};
    for (size_t i = 0; i < COUNT(contest_kinds); i++)
        count += is_wanted(s, &contest_kinds[i]);
    if (!settings_chooses_weight(s) || c->count != count)
        return;
    for (size_t k = 0; k < COUNT(contest_kinds); k++) {
        const struct arm_kind *kind = &contest_kinds[k];
        size_t i = out->count;

        if (!is_wanted(s, kind))
            continue;
        out->arms[out->count++] = (struct arm_report){
            .name = kind->name,
            .hard_weight = (double)kind->hard,
            .soft_weight = (double)kind->soft,
            .loss = contest_loss(c, i),
        };
        if (out->arms[i].loss < contest_loss(c, best))
            best = i;
    }
    out->in_force = c->in_force;
    out->ahead = best;
    out->switches = c->switches;
}

void
arms_report(const struct arms *a, struct arms_report *out)
{
    OBJ_CHECK(a, ARMS_MAGIC);
    arms_tell(a->settings, a->contest, out);
}
