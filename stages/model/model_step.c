/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicting, and one step of learning. A step has three parts with all of the
 * team in each: look ids up (by table), forth and back (by rows), then, once
 * the sums are known to be finite, change (dense by range, tables by table).
 * Who does what is fixed by number and gradients are summed in that order. Who
 * is alone looks up each chunk right before it goes forth, and when it has come
 * back changes those rows of tables that no later chunk has, while they and
 * their pages' addresses are at hand.
 */
#include "stages/model/adapter.h"
#include "stages/model/calibrate.h"
#include "stages/model/event_clock.h"
#include "stages/model/loss.h"
#include "stages/model/model_priv.h"

#include <math.h>
#include <string.h>

/* Below this many rows a call is not worth waking the helpers for. */
#define SHARED_ROWS_MIN 64

/* A gradient above this could overflow when squared and summed. */
#define GRADIENT_MAX 1e17F

/* ---- Parts of the team's work ---- */

static void
range(size_t n, size_t parts, size_t number, size_t *first, size_t *end)
{
    *first = n * number / parts;
    *end = n * (number + 1) / parts;
}

/* The tables of one of the team lie side by side, and so do the inputs that it
 * writes: only where two meet may they write to one line, or to neighbors that
 * caches fetch together. */
static void
own_tables(const struct model *m, size_t number, size_t *first, size_t *end)
{
    range(m->lookup_count, m->spec.threads, number, first, end);
}

/* The whole batch's inputs, and linear weights behind them. */
static struct matrix
batch_inputs(const struct model *m)
{
    return matrix_view(m->inputs, m->batch->row_count, m->G);
}

/*
 * Looks rows [first, first + n) up in some tables. In each turn a table finds
 * one piece, aims at the one after and asks for the one after that: so the
 * misses of all tables and of several pieces overlap, also when the batch is
 * small. Rows that learn in the same chunk come with their state.
 */
static void
look_up(struct model *m, size_t first_table, size_t end_table, size_t first,
        size_t n, const int64_t *now_s)
{
    const struct columns *c = m->batch;
    size_t piece = first / LOOKUP_ROWS;
    size_t end = (first + n + LOOKUP_ROWS - 1) / LOOKUP_ROWS;
    bool learns_soon = now_s != NULL && m->spec.threads == 1;
    struct matrix x = batch_inputs(m);

    assert(first % LOOKUP_ROWS == 0);
    for (size_t turn = piece; turn < end + 2; turn++) {
        for (size_t i = first_table; i < end_table; i++) {
            struct lookup *l = &m->lookups[i];

            if (turn >= piece + 2 && now_s != NULL)
                lookup_see(l, c, turn - 2, *now_s, x);
            else if (turn >= piece + 2)
                lookup_find(l, c, turn - 2, x);
            if (turn >= piece + 1 && turn < end + 1)
                lookup_aim(l, c, turn - 1, learns_soon);
            if (turn < end)
                lookup_ask(l, c, turn);
        }
    }
}

static void
chain_ids(struct model *m)
{
    for (size_t i = 0; i < m->lookup_count; i++)
        lookup_chain(&m->lookups[i], m->batch);
}

static void
find_part(void *ctx, size_t number)
{
    struct model *m = ctx;
    size_t first;
    size_t end;

    own_tables(m, number, &first, &end);
    look_up(m, first, end, 0, m->batch->row_count, NULL);
}

static void
see_part(void *ctx, size_t number)
{
    struct model *m = ctx;
    int64_t now_s = m->counters[COUNTER_CLOCK_MS] / 1000;
    size_t first;
    size_t end;

    own_tables(m, number, &first, &end);
    /* One by one: a table's pages stay known while all its rows are met. */
    for (size_t i = first; i < end; i++) {
        lookup_chain(&m->lookups[i], m->batch);
        look_up(m, i, i + 1, 0, m->batch->row_count, &now_s);
    }
}

static size_t
chunk_length(const struct model *m, size_t first, size_t end)
{
    return end - first < m->chunk_rows ? end - first : m->chunk_rows;
}

static void
forward_part(void *ctx, size_t number)
{
    struct model *m = ctx;
    size_t first;
    size_t end;
    size_t n;

    range(m->batch->row_count, m->spec.threads, number, &first, &end);
    for (; first < end; first += n) {
        n = chunk_length(m, first, end);
        pass_forward(m, &m->workers[number], first, n);
    }
}

/* All of a prediction, chunk by chunk: their inputs stay in the cache. */
static void
predict_alone(struct model *m)
{
    size_t end = m->batch->row_count;
    size_t n;

    for (size_t first = 0; first < end; first += n) {
        n = chunk_length(m, first, end);
        look_up(m, 0, m->lookup_count, first, n, NULL);
        pass_forward(m, &m->workers[0], first, n);
    }
}

static void
hard_row(struct model *m, struct worker *w, size_t t, size_t r, float *dz)
{
    const struct task *task = &m->tasks[t];
    const struct columns *c = m->batch;
    const float *z = m->logits + r * (m->L + m->A) + task->at;
    double scale = m->plans[t].hard_scale * (double)c->weight[r];
    double loss =
        loss_hard(task->task->kind, z, task->width,
                  c->tasks[task->task->column].outcome[r], c->sample_rate[r],
                  scale, scale != 0.0 ? dz + task->at : NULL);

    w->losses[t].hard += loss;
    w->losses[t].hard_rows++;
    w->objective += scale != 0.0 ? scale * loss : 0.0;
}

/* A task's adapter in parameters or in a gradient. */
static struct adapter
view_adapter(const struct task *task, float *block)
{
    return (struct adapter){
        .I = adapter_inputs(task),
        .K = task->width,
        .H = task->task->adapter,
        .w0 = block + task->adapter[0].weight,
        .b0 = block + task->adapter[0].bias,
        .w1 = block + task->adapter[1].weight,
        .b1 = block + task->adapter[1].bias,
    };
}

/* What the adapter makes of a teacher's logits, x and more; then it learns the
 * outcome, which so never is in the answer to its own row. */
static const float *
adapt_row(struct model *m, struct worker *w, size_t t, size_t r, const float *x)
{
    const struct task *task = &m->tasks[t];
    const struct columns *c = m->batch;
    const struct outcome_column *y = &c->tasks[task->task->column];
    double scale = m->plans[t].adapter_scale * (double)c->weight[r];
    struct adapter a = view_adapter(task, m->parameters);
    struct adapter d = view_adapter(task, w->gradient);
    double loss;

    adapter_forward(&a, w->adapted, w->adapter, x);
    if (y->has_outcome[r] == 0 || r >= columns_real(c))
        return w->adapted;
    memset(w->dadapted, 0, task->width * sizeof(*w->dadapted));
    loss = loss_hard(task->task->kind, w->adapted, task->width, y->outcome[r],
                     c->sample_rate[r], scale, w->dadapted);
    adapter_backward(&d, &a, w->dadapted, w->adapter, x);
    w->objective += scale * loss;
    w->losses[t].adapted += loss;
    w->losses[t].unadapted +=
        loss_hard(task->task->kind, x, task->width, y->outcome[r],
                  c->sample_rate[r], 0.0, NULL);
    w->losses[t].adapter_rows++;
    return w->adapted;
}

/* The logits (K) that a row's student is taught. */
static const float *
taught_logits(struct model *m, struct worker *w, size_t t, size_t r)
{
    const struct task *task = &m->tasks[t];
    const struct objective *o = &m->plans[t].objective;
    size_t K = task->width;
    const float *z = m->logits + r * (m->L + m->A) + task->at;

    memcpy(w->taught, m->batch->tasks[task->task->column].teacher + r * K,
           K * sizeof(*w->taught));
    if (task->task->kind == TASK_BINARY)
        w->taught[0] += o->teacher_shift;
    if (task->task->adapter == 0 || o->soft_weight == 0.0F)
        return w->taught;
    if (task->task->adapter_sees_student)
        memcpy(w->taught + K, z, K * sizeof(*w->taught));
    return adapt_row(m, w, t, r, w->taught);
}

static void
soft_row(struct model *m, struct worker *w, size_t t, size_t r, float *dz)
{
    const struct task *task = &m->tasks[t];
    const struct task_plan *plan = &m->plans[t];
    const struct columns *c = m->batch;
    const float *z = m->logits + r * (m->L + m->A);
    bool is_auxiliary = task->auxiliary != NONE;
    bool is_imagined = r >= columns_real(c);
    size_t at = is_auxiliary ? task->auxiliary : task->at;
    double trust = c->soft_weight == NULL ? 1.0 : (double)c->soft_weight[r];
    double scale = (is_imagined ? plan->imagined_scale : plan->soft_scale) *
                   (double)c->weight[r] * (double)c->ask_weight[r] * trust;
    struct soft_loss soft = {
        .kind = task->task->kind,
        .distill = plan->objective.distill,
        .temperature = (double)plan->objective.temperature,
        .label_scale = is_auxiliary ? (double)plan->objective.label_scale : 1.0,
        .shift = plan->objective.cross_debias ? -log((double)c->sample_rate[r])
                                              : 0.0,
    };
    double loss = loss_soft(&soft, z + at, taught_logits(m, w, t, r),
                            task->width, scale, scale != 0.0 ? dz + at : NULL);

    if (!is_imagined) {
        w->losses[t].soft += loss;
        w->losses[t].soft_rows++;
    }
    w->objective += scale != 0.0 ? scale * loss : 0.0;
}

/* Adds one row's losses of one task, and writes their gradient into dz. */
static void
row_losses(struct model *m, struct worker *w, size_t t, size_t r, float *dz)
{
    const struct columns *c = m->batch;
    const struct outcome_column *y = &c->tasks[m->tasks[t].task->column];

    if (r < columns_real(c) && y->has_outcome[r] != 0)
        hard_row(m, w, t, r, dz);
    if (y->has_teacher[r] != 0)
        soft_row(m, w, t, r, dz);
}

/* Teaches one's own tables what rows [first, end) have to say. */
static void
learn_tables(struct model *m, size_t number, size_t first, size_t end)
{
    size_t B = m->batch->row_count;
    struct matrix dx = pass_gradient(m, 0, B);
    struct matrix dz = matrix_view(m->logits_gradient, B, m->L + m->A);
    size_t first_table;
    size_t end_table;

    own_tables(m, number, &first_table, &end_table);
    for (size_t i = first_table; i < end_table; i++)
        lookup_learn(&m->lookups[i], m->batch, first, end, dx, dz,
                     &m->spec.tables, &m->table_pace);
}

/* Whether what one of the team has found is fit to be learned. */
static bool
is_finite_so_far(const struct model *m, const struct worker *w)
{
    float largest;

    memcpy(&largest, &w->largest, sizeof(largest));
    return isfinite(w->objective) &&
           largest <= GRADIENT_MAX / (float)m->batch->row_count;
}

static void
learn_part(void *ctx, size_t number)
{
    struct model *m = ctx;
    struct worker *w = &m->workers[number];
    int64_t now_s = m->counters[COUNTER_CLOCK_MS] / 1000;
    size_t width = m->L + m->A;
    size_t first;
    size_t end;
    size_t n;

    memset(w->gradient, 0, m->float_count * sizeof(float));
    memset(w->losses, 0, m->task_count * sizeof(*w->losses));
    w->objective = 0.0;
    w->largest = 0;
    range(m->batch->row_count, m->spec.threads, number, &first, &end);
    if (m->spec.threads == 1)
        chain_ids(m);
    for (; first < end; first += n) {
        n = chunk_length(m, first, end);
        if (m->spec.threads == 1)
            look_up(m, 0, m->lookup_count, first, n, &now_s);
        pass_forward(m, w, first, n);
        memset(m->logits_gradient + first * width, 0,
               n * width * sizeof(float));
        for (size_t r = first; r < first + n; r++) {
            for (size_t t = 0; t < m->task_count; t++)
                row_losses(m, w, t, r, m->logits_gradient + r * width);
        }
        pass_backward(m, w, first, n);
        if (m->spec.threads == 1 && is_finite_so_far(m, w))
            learn_tables(m, 0, first, first + n);
    }
}

static void
learn_dense(struct model *m, size_t number)
{
    struct update u = {0};
    size_t first;
    size_t end;

    range(m->float_count, m->spec.threads, number, &first, &end);
    u.w = m->parameters + first;
    u.first = m->first == NULL ? NULL : m->first + first;
    u.second = m->second == NULL ? NULL : m->second + first;
    u.g = m->workers[0].gradient + first;
    u.n = end - first;
    optimizer_apply(&m->spec.dense, &m->dense_pace, m->dense_scale, &u);
}

static void
expire_part(void *ctx, size_t number)
{
    struct model *m = ctx;
    size_t first;
    size_t end;

    own_tables(m, number, &first, &end);
    for (size_t i = first; i < end; i++)
        table_expire(m->lookups[i].table, m->counters[COUNTER_CLOCK_MS] / 1000);
}

static void
change_part(void *ctx, size_t number)
{
    struct model *m = ctx;

    learn_dense(m, number);
    if (m->spec.threads > 1)
        learn_tables(m, number, 0, m->batch->row_count);
    for (size_t i = number; i < m->numeric_count; i += m->spec.threads) {
        const struct model_feature *f = m->numerics[i].feature;
        const struct column *c = &m->batch->features[f->column];

        if (f->standardize)
            standardize_learn(&m->numerics[i].stats, c->values, c->present,
                              columns_real(m->batch));
    }
    expire_part(ctx, number);
}

/* ---- The owner's own work ---- */

static void
begin_batch(struct model *m, const struct columns *c)
{
    assert(c->row_count <= m->spec.batch_max);
    m->batch = c;
    if (!m->is_packed && gemm_reads_packed(c->row_count))
        (void)pass_pack(m);
    for (size_t i = 0; i < m->numeric_count; i++) {
        if (m->numerics[i].feature->standardize)
            standardize_prepare(&m->numerics[i].stats);
    }
}

static void
write_logits(const struct model *m, float *logits)
{
    for (size_t r = 0; r < m->batch->row_count; r++) {
        float *z = logits + r * m->L;

        memcpy(z, m->logits + r * (m->L + m->A), m->L * sizeof(*z));
        for (size_t t = 0; m->spec.is_calibrated && t < m->task_count; t++)
            calibrate_answer(m->tasks[t].calibration, z + m->tasks[t].at,
                             m->tasks[t].width);
    }
}

/* Learns from the raw answers, which are as before the change. */
static void
calibrate(struct model *m)
{
    const struct columns *c = m->batch;

    for (size_t t = 0; m->spec.is_calibrated && t < m->task_count; t++) {
        struct task *task = &m->tasks[t];
        struct calibrate_rows rows = {
            .outcomes = &c->tasks[task->task->column],
            .logits = m->logits + task->at,
            .stride = m->L + m->A,
            .weight = c->weight,
            .sample_rate = c->sample_rate,
            .count = columns_real(c),
        };

        calibrate_learn(task->calibration, task->derivatives, &rows);
    }
}

void
model_predict(struct model *m, const struct columns *c, float *logits)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    begin_batch(m, c);
    if (m->spec.threads > 1 && c->row_count >= SHARED_ROWS_MIN) {
        helpers_run(m->helpers, find_part, m);
        helpers_run(m->helpers, forward_part, m);
    } else {
        predict_alone(m);
    }
    write_logits(m, logits);
    m->batch = NULL;
}

/*
 * What each of a loss's rows [first, end) that have both weighs so that their
 * mean weighs weight. also_has may be has. row_weights (B) may be NULL: all the
 * same. They weigh rows against each other alone: where rows stand for many,
 * the mean is of few, and it weighs no more than these few do in a batch that
 * has all.
 */
static double
mean_scale(double weight, const uint8_t *has, const uint8_t *also_has,
           const float *row_weights, size_t first, size_t end)
{
    double rows = 0.0;
    double sum = 0.0;

    for (size_t r = first; r < end; r++) {
        if (has[r] == 0 || also_has[r] == 0)
            continue;
        rows += 1.0;
        sum += row_weights == NULL ? 1.0 : (double)row_weights[r];
    }
    return sum == 0.0 ? 0.0 : weight / sum * (rows / sum);
}

static void
plan_losses(struct model *m, const struct objective *objectives)
{
    uint64_t n = (uint64_t)m->counters[COUNTER_EXAMPLES];
    const struct columns *c = m->batch;
    size_t real = columns_real(c);

    for (size_t t = 0; t < m->task_count; t++) {
        struct task_plan *p = &m->plans[t];
        const struct outcome_column *y = &c->tasks[m->tasks[t].task->column];
        double soft = (double)objectives[t].soft_weight;

        assert(y->kind == m->tasks[t].task->kind);
        p->objective = objectives[t];
        if (n < p->objective.soft_warmup_examples)
            soft *= (double)n / (double)p->objective.soft_warmup_examples;
        p->hard_scale =
            mean_scale((double)objectives[t].hard_weight, y->has_outcome,
                       y->has_outcome, NULL, 0, real);
        p->soft_scale = mean_scale(soft, y->has_teacher, y->has_teacher,
                                   c->ask_weight, 0, real);
        p->adapter_scale =
            mean_scale(1.0, y->has_teacher, y->has_outcome, NULL, 0, real);
        p->imagined_scale = mean_scale(
            soft * (double)objectives[t].imagined_weight, y->has_teacher,
            y->has_teacher, c->ask_weight, real, c->row_count);
    }
}

static void
add_gradient(float *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* The sum of squares, in eight lanes so that it vectorises in one order. */
static double
sum_squares(const float *v, size_t n)
{
    double lanes[8] = {0.0};
    double sum = 0.0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        for (size_t k = 0; k < 8; k++)
            lanes[k] += (double)v[i + k] * (double)v[i + k];
    }
    for (; i < n; i++)
        lanes[0] += (double)v[i] * (double)v[i];
    for (size_t k = 0; k < 8; k++)
        sum += lanes[k];
    return sum;
}

/* Sums what the team found into worker 0 and says whether all is finite. */
static bool
sum_up(struct model *m, struct step *step)
{
    struct worker *w = &m->workers[0];

    for (size_t i = 1; i < m->spec.threads; i++) {
        const struct worker *other = &m->workers[i];

        add_gradient(w->gradient, other->gradient, m->float_count);
        w->objective += other->objective;
        w->largest = other->largest > w->largest ? other->largest : w->largest;
        for (size_t t = 0; t < m->task_count; t++) {
            w->losses[t].hard += other->losses[t].hard;
            w->losses[t].soft += other->losses[t].soft;
            w->losses[t].hard_rows += other->losses[t].hard_rows;
            w->losses[t].soft_rows += other->losses[t].soft_rows;
            w->losses[t].adapted += other->losses[t].adapted;
            w->losses[t].unadapted += other->losses[t].unadapted;
            w->losses[t].adapter_rows += other->losses[t].adapter_rows;
        }
    }
    step->loss = w->objective;
    step->gradient_norm = sqrt(sum_squares(w->gradient, m->float_count));
    return is_finite_so_far(m, w) &&
           step->gradient_norm <= (double)GRADIENT_MAX;
}

/* The pace of this step, as if it were not skipped. */
static void
set_pace(struct model *m)
{
    uint64_t n = (uint64_t)m->counters[COUNTER_EXAMPLES];
    uint64_t update = (uint64_t)m->counters[COUNTER_UPDATES] + 1;

    m->dense_pace = optimizer_pace(&m->spec.dense, n, update);
    m->table_pace = optimizer_pace(&m->spec.tables, n, update);
}

static void
change(struct model *m, const struct step *step)
{
    double clip = (double)m->spec.dense.clip_norm;

    m->dense_scale = 1.0F;
    if (clip > 0.0 && step->gradient_norm > clip)
        m->dense_scale = (float)(clip / step->gradient_norm);
    helpers_run(m->helpers, change_part, m);
    m->is_packed = false;
}

void
model_step(struct model *m, const struct columns *c,
           const struct objective *objectives, float *logits,
           struct task_loss *losses, struct step *step)
{
    int64_t *counters = m->counters;

    OBJ_CHECK(m, MODEL_MAGIC);
    memset(step, 0, sizeof(*step));
    if (losses != NULL)
        memset(losses, 0, m->task_count * sizeof(*losses));
    if (c->row_count == 0)
        return;
    begin_batch(m, c);
    counters[COUNTER_CLOCK_MS] =
        event_clock_advance(counters[COUNTER_CLOCK_MS], c->time_ms,
                            columns_real(c), m->times, m->clock_step_ms);
    plan_losses(m, objectives);
    counters[COUNTER_STEPS]++;
    counters[COUNTER_EXAMPLES] += (int64_t)columns_real(c);
    set_pace(m);
    if (m->spec.threads > 1)
        helpers_run(m->helpers, see_part, m);
    helpers_run(m->helpers, learn_part, m);
    step->is_skipped = !sum_up(m, step);
    if (step->is_skipped) {
        helpers_run(m->helpers, expire_part, m);
    } else {
        counters[COUNTER_UPDATES]++;
        change(m, step);
    }
    if (logits != NULL)
        write_logits(m, logits);
    if (!step->is_skipped)
        calibrate(m);
    if (losses != NULL)
        memcpy(losses, m->workers[0].losses, m->task_count * sizeof(*losses));
    m->batch = NULL;
}
