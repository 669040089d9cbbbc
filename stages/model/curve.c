/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording quality along the stream, row by row, so that where batches begin
 * and end changes nothing.
 */
#include "stages/model/answer.h"
#include "stages/model/curve_priv.h"

#include "daemon/base/object.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t mark_examples[CURVE_MARKS] = {10000, 30000};

static void
count_in_slice(struct curve_slice *s, enum task_kind kind,
               const struct quality_row *row, double weight)
{
    size_t bin = row->bin / (QUALITY_BINS / SLICE_BINS);

    s->weight += weight;
    s->outcome += weight * row->outcome;
    s->loss += weight * row->loss;
    if (kind == TASK_BINARY) {
        s->positive[bin] += weight * row->outcome;
        s->negative[bin] += weight * (1.0 - row->outcome);
    }
}

static void
count_in_all(struct curve_cell *cell, enum task_kind kind,
             const struct answer *a, double weight)
{
    struct quality *q = &cell->all;

    cell->distance += weight * a->distance;
    if (kind == TASK_BINARY) {
        quality_add_row(q, &a->row, weight);
        return;
    }
    q->weight += weight;
    q->outcome += weight * a->row.outcome;
    q->prediction += weight * a->row.probability;
    q->loss += weight * a->row.loss;
    q->rows++;
}

/* One row of one task; answers[] are NULL for models that are not there. */
static void
count_row(struct curve *c, size_t task, float outcome, double weight,
          const float *const answers[CURVE_MODELS], bool is_judged)
{
    const struct curve_task *spec = &c->spec.tasks[task];
    struct curve_series *series = &c->series[task];

    for (size_t m = 0; m < CURVE_MODELS; m++) {
        struct curve_cell *cell = &series->cells[m];
        struct answer a;

        if (answers[m] == NULL)
            continue;
        a = answer_look(spec->kind, spec->width, answers[m], outcome,
                        answers[CURVE_TEACHER]);
        count_in_slice(&cell->slices[c->slice_now], spec->kind, &a.row, weight);
        if (is_judged)
            count_in_all(cell, spec->kind, &a, weight);
    }
}

static void
turn_slices(struct curve *c)
{
    uint64_t full = c->spec.window / CURVE_SLICES;

    if (c->slice_filled < full)
        return;
    c->slice_filled = 0;
    c->slice_now = (c->slice_now + 1) % CURVE_SLICES;
    for (size_t t = 0; t < c->spec.task_count; t++)
        for (size_t m = 0; m < CURVE_MODELS; m++)
            memset(&c->series[t].cells[m].slices[c->slice_now], 0,
                   sizeof(struct curve_slice));
}

/* ---- What the sums say ---- */

static double
say_score(enum task_kind kind, double weight, double outcome, double auc)
{
    switch (kind) {
    case TASK_BINARY:
        return auc;
    case TASK_CLASS:
        return weight > 0.0 ? outcome / weight : nan("");
    case TASK_REGRESSION:
        break;
    }
    return nan("");
}

static void
look_at_window(const struct curve_cell *cell, enum task_kind kind,
               double *score, double *loss)
{
    struct curve_slice sum = {0};
    double auc = nan("");

    for (size_t s = 0; s < CURVE_SLICES; s++) {
        const struct curve_slice *slice = &cell->slices[s];

        sum.weight += slice->weight;
        sum.outcome += slice->outcome;
        sum.loss += slice->loss;
        for (size_t i = 0; kind == TASK_BINARY && i < SLICE_BINS; i++) {
            sum.positive[i] += slice->positive[i];
            sum.negative[i] += slice->negative[i];
        }
    }
    if (kind == TASK_BINARY)
        auc = quality_bins_auc(sum.positive, sum.negative, SLICE_BINS);
    *score = say_score(kind, sum.weight, sum.outcome, auc);
    *loss = sum.weight > 0.0 ? sum.loss / sum.weight : nan("");
}

static struct curve_quality
look_at_cell(const struct curve_cell *cell, enum task_kind kind,
             bool has_teacher)
{
    const struct quality *q = &cell->all;
    bool is_binary = kind == TASK_BINARY;
    struct curve_quality out;

    out.score = say_score(kind, q->weight, q->outcome,
                          is_binary ? quality_auc(q) : nan(""));
    out.loss = quality_log_loss(q);
    out.normalized_entropy =
        is_binary ? quality_normalized_entropy(q) : nan("");
    out.calibration = is_binary ? quality_calibration(q) : nan("");
    out.distance =
        has_teacher && q->weight > 0.0 ? cell->distance / q->weight : nan("");
    look_at_window(cell, kind, &out.window_score, &out.window_loss);
    return out;
}

static void
note_first(uint64_t *first, bool is_so, uint64_t examples)
{
    if (*first == 0 && is_so)
        *first = examples;
}

static void
look_at_marks(struct curve *c, struct curve_series *series,
              const struct curve_quality now[CURVE_MODELS])
{
    const struct curve_quality *teacher = &now[CURVE_TEACHER];
    const struct curve_quality *student = &now[CURVE_STUDENT];
    const struct curve_quality *baseline = &now[CURVE_BASELINE];
    double score_gap = teacher->window_score - baseline->window_score;
    double loss_gap = teacher->window_loss - baseline->window_loss;

    for (size_t i = 0; i < CURVE_MARKS; i++) {
        struct curve_mark *mark = &series->marks[i];

        if (c->examples < mark->examples)
            continue;
        if (c->examples == mark->examples) {
            mark->score = student->window_score;
            mark->loss = student->window_loss;
            mark->score_gap = teacher->window_score - student->window_score;
            mark->loss_gap = teacher->window_loss - student->window_loss;
        }
        note_first(&mark->as_good_score, baseline->window_score >= mark->score,
                   c->examples);
        note_first(&mark->as_good_loss, baseline->window_loss <= mark->loss,
                   c->examples);
        note_first(&mark->as_close_score, score_gap <= mark->score_gap,
                   c->examples);
        note_first(&mark->as_close_loss, loss_gap >= mark->loss_gap,
                   c->examples);
    }
}

static void
drop_every_second_point(struct curve *c)
{
    size_t kept = c->point_count / 2;

    for (size_t t = 0; t < c->spec.task_count; t++)
        for (size_t i = 0; i < kept; i++)
            c->series[t].points[i] = c->series[t].points[2 * i + 1];
    c->point_count = kept;
    c->spacing *= 2;
}

static void
put_point(struct curve *c, struct curve_point *p,
          const struct curve_quality now[CURVE_MODELS])
{
    p->examples = c->examples;
    for (size_t m = 0; m < CURVE_MODELS; m++) {
        p->score[m] = (float)now[m].score;
        p->loss[m] = (float)now[m].loss;
        p->window_score[m] = (float)now[m].window_score;
        p->window_loss[m] = (float)now[m].window_loss;
    }
}

static bool
is_at_mark(const struct curve *c)
{
    for (size_t i = 0; i < CURVE_MARKS; i++)
        if (c->examples == mark_examples[i])
            return true;
    return false;
}

/* Called after every example. */
static void
look_around(struct curve *c)
{
    bool is_point;

    if (c->examples % c->spec.point_every != 0 && !is_at_mark(c))
        return;
    is_point = c->examples % c->spacing == 0;
    if (is_point && c->point_count == CURVE_POINTS_MAX) {
        drop_every_second_point(c);
        is_point = c->examples % c->spacing == 0;
    }
    for (size_t t = 0; t < c->spec.task_count; t++) {
        struct curve_series *series = &c->series[t];
        struct curve_quality now[CURVE_MODELS];

        for (size_t m = 0; m < CURVE_MODELS; m++)
            now[m] = look_at_cell(&series->cells[m], c->spec.tasks[t].kind,
                                  c->spec.tasks[t].has_teacher);
        look_at_marks(c, series, now);
        if (is_point)
            put_point(c, &series->points[c->point_count], now);
    }
    c->point_count += is_point ? 1 : 0;
}

/* ---- Exported ---- */

bool
curve_spec_check(const struct curve_spec *spec)
{
    if (spec->task_count == 0 || spec->task_count > CURVE_TASKS_MAX ||
        spec->window < CURVE_SLICES || spec->point_every == 0)
        return false;
    for (size_t t = 0; t < spec->task_count; t++) {
        const struct curve_task *task = &spec->tasks[t];

        if (task->width == 0 ||
            (task->kind != TASK_CLASS && task->width != 1) ||
            memchr(task->name, '\0', sizeof(task->name)) == NULL)
            return false;
    }
    return true;
}

enum status
curve_new(struct curve **out, const struct curve_spec *spec, struct error *err)
{
    struct curve *c;

    assert(out != NULL && curve_spec_check(spec));
    *out = NULL;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for quality curves");
    c->magic = CURVE_MAGIC;
    c->spec = *spec;
    c->spacing = spec->point_every;
    c->series = calloc(spec->task_count, sizeof(*c->series));
    if (c->series == NULL) {
        curve_free(&c);
        return error_set(err, STATUS_NOMEM, "no memory for quality curves");
    }
    for (size_t t = 0; t < spec->task_count; t++)
        for (size_t i = 0; i < CURVE_MARKS; i++)
            c->series[t].marks[i] =
                (struct curve_mark){.examples = mark_examples[i],
                                    .score = nan(""),
                                    .loss = nan(""),
                                    .score_gap = nan(""),
                                    .loss_gap = nan("")};
    *out = c;
    return STATUS_OK;
}

void
curve_free(struct curve **self)
{
    assert(self != NULL);
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, CURVE_MAGIC);
    (*self)->magic = 0;
    free((*self)->series);
    free(*self);
    *self = NULL;
}

const struct curve_spec *
curve_spec(const struct curve *c)
{
    OBJ_CHECK(c, CURVE_MAGIC);
    return &c->spec;
}

/* One row of one task, student and baseline pointing at its logits. */
static void
add_task_row(struct curve *c, size_t t, const struct columns *columns, size_t r,
             const float *student, const float *baseline, bool is_judged)
{
    const struct curve_task *task = &c->spec.tasks[t];
    const struct outcome_column *o = &columns->tasks[task->column];
    const float *answers[CURVE_MODELS] = {
        task->has_teacher ? o->teacher + r * task->width : NULL, student,
        baseline};
    float corrected[CURVE_MODELS];
    double weight = (double)columns->weight[r];

    assert(o->kind == task->kind && o->width == task->width);
    if (!o->has_outcome[r] || (task->has_teacher && !o->has_teacher[r]))
        return;
    if (task->kind == TASK_BINARY && columns->sample_rate[r] < 1.0f) {
        float shift = logf(columns->sample_rate[r]);

        for (size_t m = 0; m < CURVE_MODELS; m++) {
            if (answers[m] == NULL)
                continue;
            corrected[m] = *answers[m] - shift;
            answers[m] = &corrected[m];
        }
    }
    if (task->has_teacher)
        weight *= (double)columns->ask_weight[r];
    count_row(c, t, o->outcome[r], weight, answers, is_judged);
}

void
curve_add(struct curve *c, const struct columns *columns, const float *student,
          const float *baseline)
{
    const struct curve_spec *spec;

    OBJ_CHECK(c, CURVE_MAGIC);
    spec = &c->spec;
    assert(columns != NULL && student != NULL);
    assert((baseline != NULL) == spec->has_baseline);
    for (size_t r = 0; r < columns_real(columns); r++) {
        bool is_judged = columns->time_ms[r] >= spec->judge_from_ms;

        turn_slices(c);
        for (size_t t = 0; t < spec->task_count; t++) {
            const struct curve_task *task = &spec->tasks[t];

            add_task_row(c, t, columns, r, student, baseline, is_judged);
            student += task->width;
            if (baseline != NULL)
                baseline += task->width;
        }
        c->judged += is_judged ? 1 : 0;
        c->examples++;
        c->slice_filled++;
        look_around(c);
    }
}

uint64_t
curve_examples(const struct curve *c)
{
    OBJ_CHECK(c, CURVE_MAGIC);
    return c->examples;
}

double
curve_eta(double teacher, double student, double baseline)
{
    double lead = teacher - baseline;
    double eta = (student - baseline) / lead;

    /* Below that, a lead is rounding. */
    if (!(fabs(lead) > 1e-9) || !isfinite(eta))
        return nan("");
    return eta;
}

void
curve_summarize(const struct curve *c, size_t task, struct curve_summary *out)
{
    struct curve_quality m[CURVE_MODELS];

    OBJ_CHECK(c, CURVE_MAGIC);
    assert(task < c->spec.task_count && out != NULL);
    for (size_t i = 0; i < CURVE_MODELS; i++)
        m[i] = look_at_cell(&c->series[task].cells[i], c->spec.tasks[task].kind,
                            c->spec.tasks[task].has_teacher);
    memcpy(out->models, m, sizeof(m));
    out->examples = c->examples;
    out->judged = c->judged;
    out->eta_score = curve_eta(m[CURVE_TEACHER].score, m[CURVE_STUDENT].score,
                               m[CURVE_BASELINE].score);
    out->eta_loss = curve_eta(m[CURVE_TEACHER].loss, m[CURVE_STUDENT].loss,
                              m[CURVE_BASELINE].loss);
}

const struct quality *
curve_gauge(const struct curve *c, size_t task, enum curve_model model)
{
    OBJ_CHECK(c, CURVE_MAGIC);
    assert(task < c->spec.task_count && model < CURVE_MODELS);
    assert(c->spec.tasks[task].kind == TASK_BINARY);
    return &c->series[task].cells[model].all;
}

const struct curve_point *
curve_points(const struct curve *c, size_t task, size_t *count)
{
    OBJ_CHECK(c, CURVE_MAGIC);
    assert(task < c->spec.task_count && count != NULL);
    *count = c->point_count;
    return c->series[task].points;
}

const struct curve_mark *
curve_marks(const struct curve *c, size_t task)
{
    OBJ_CHECK(c, CURVE_MAGIC);
    assert(task < c->spec.task_count);
    return c->series[task].marks;
}

bool
curve_fits(const struct curve_spec *a, const struct curve_spec *b)
{
    if (a->task_count != b->task_count || a->has_baseline != b->has_baseline ||
        a->window != b->window || a->point_every != b->point_every ||
        a->judge_from_ms != b->judge_from_ms)
        return false;
    for (size_t t = 0; t < a->task_count; t++)
        if (strcmp(a->tasks[t].name, b->tasks[t].name) != 0 ||
            a->tasks[t].kind != b->tasks[t].kind ||
            a->tasks[t].width != b->tasks[t].width ||
            a->tasks[t].has_teacher != b->tasks[t].has_teacher ||
            a->tasks[t].column != b->tasks[t].column)
            return false;
    return true;
}
