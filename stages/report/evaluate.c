/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bootstrap comparison of models.
 */
#include "stages/report/evaluate.h"

#include "stages/model/answer.h"

#include "daemon/base/hash.h"
#include "daemon/base/object.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EVALUATION_MAGIC 0x45766c75u
#define ROWS_FIRST       4096u
#define BINS             1024 /* of a replicate: both sides stay in cache */
#define REPLICATES_MIN   100u
#define WORK_MAX         2000000000u /* rows times replicates, about */

/* One model's answer to one row. */
struct said {
    float loss;
    float probability; /* see struct answer */
    float outcome;     /* for class, whether it was right */
    uint16_t bin;      /* of BINS */
};

struct evaluation {
    unsigned magic;
    struct evaluation_spec spec;
    size_t row_count;
    size_t row_room;
    float *weights;                           /* (row_room) */
    struct said *said[EVALUATION_MODELS_MAX]; /* (row_room) each */
    struct quality *whole;                    /* (model_count) */
};

/* One replicate of one model. */
struct sums {
    double weight;
    double outcome;
    double prediction;
    double loss;
    double positive[BINS];
    double negative[BINS];
};

/* ---- Random numbers ---- */

static uint64_t
draw_bits(uint64_t *state)
{
    return hash_mix(*state += 0x9e3779b97f4a7c15u);
}

/* How often a row comes, Poisson with mean 1, from 16 random bits: the
 * distribution function times 2^16. */
static unsigned
pick_copies(uint64_t bits)
{
    static const uint16_t below[] = {24109, 48219, 60273, 64292,
                                     65296, 65497, 65531};
    unsigned copies = 0;

    bits &= 0xffff;
    for (size_t i = 0; i < COUNT(below); i++)
        copies += bits >= below[i];
    return copies;
}

/* ---- Measures ---- */

static void
measure(const struct evaluation *e, const struct sums *s,
        double out[EVALUATION_MEASURES])
{
    double rate = s->outcome / s->weight;
    double entropy = -rate * log(rate) - (1.0 - rate) * log1p(-rate);

    for (size_t i = 0; i < EVALUATION_MEASURES; i++)
        out[i] = nan("");
    if (!(s->weight > 0.0))
        return;
    out[EVALUATION_LOSS] = s->loss / s->weight;
    if (e->spec.kind == TASK_CLASS)
        out[EVALUATION_SCORE] = rate;
    if (e->spec.kind != TASK_BINARY)
        return;
    out[EVALUATION_SCORE] = quality_bins_auc(s->positive, s->negative, BINS);
    if (entropy > 0.0)
        out[EVALUATION_ENTROPY] = out[EVALUATION_LOSS] / entropy;
    if (s->outcome > 0.0)
        out[EVALUATION_CALIBRATION] = s->prediction / s->outcome;
}

/* The exact sums, with the fine bins of a gauge for AUC. */
static void
measure_whole(const struct evaluation *e, size_t model,
              double out[EVALUATION_MEASURES])
{
    const struct quality *q = &e->whole[model];

    for (size_t i = 0; i < EVALUATION_MEASURES; i++)
        out[i] = nan("");
    out[EVALUATION_LOSS] = quality_log_loss(q);
    if (e->spec.kind == TASK_CLASS && q->weight > 0.0)
        out[EVALUATION_SCORE] = q->outcome / q->weight;
    if (e->spec.kind != TASK_BINARY)
        return;
    out[EVALUATION_SCORE] = quality_auc(q);
    out[EVALUATION_ENTROPY] = quality_normalized_entropy(q);
    out[EVALUATION_CALIBRATION] = quality_calibration(q);
}

static void
count_said(struct sums *s, const struct said *said, double weight)
{
    double y = (double)said->outcome;

    s->weight += weight;
    s->outcome += weight * y;
    s->prediction += weight * (double)said->probability;
    s->loss += weight * (double)said->loss;
    s->positive[said->bin] += weight * y;
    s->negative[said->bin] += weight * (1.0 - y);
}

/* Fills sums (model_count) with the n-th replicate. */
static void
replicate(const struct evaluation *e, size_t n, struct sums *sums)
{
    uint64_t state = e->spec.seed ^ (n * 0xd1342543de82ef95u);
    uint64_t bits = 0;

    memset(sums, 0, e->spec.model_count * sizeof(*sums));
    for (size_t r = 0; r < e->row_count; r++) {
        unsigned copies;

        bits = r % 4 == 0 ? draw_bits(&state) : bits >> 16;
        copies = pick_copies(bits);
        for (size_t m = 0; copies > 0 && m < e->spec.model_count; m++)
            count_said(&sums[m], &e->said[m][r],
                       (double)copies * (double)e->weights[r]);
    }
}

/* ---- Intervals ---- */

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The middle 95 % of values; NAN when a tenth of them is not there. */
static struct estimate
find_interval(double value, double *values, size_t count)
{
    struct estimate out = {value, nan(""), nan("")};
    size_t there = 0;

    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            values[there++] = values[i];
    if (!isfinite(value) || there == 0 || there < count - count / 10)
        return out;
    qsort(values, there, sizeof(*values), by_value);
    out.low = values[(size_t)(0.025 * (double)(there - 1) + 0.5)];
    out.high = values[(size_t)(0.975 * (double)(there - 1) + 0.5)];
    return out;
}

/*
 * values (replicates, model_count, EVALUATION_MEASURES)
 * column (replicates) for one measure at a time
 */
static void
find_intervals(const struct evaluation *e, const double *values, double *column,
               struct evaluation_result *out)
{
    size_t models = e->spec.model_count;
    size_t count = evaluation_replicates(e);
    double first[EVALUATION_MEASURES];

    measure_whole(e, 0, first);
    for (size_t i = 0; i < models * EVALUATION_MEASURES; i++) {
        size_t m = i / EVALUATION_MEASURES;
        size_t k = i % EVALUATION_MEASURES;
        double now[EVALUATION_MEASURES];
        double change;

        measure_whole(e, m, now);
        for (size_t n = 0; n < count; n++)
            column[n] = values[n * models * EVALUATION_MEASURES + i];
        out[m].measures[k] = find_interval(now[k], column, count);
        for (size_t n = 0; n < count; n++)
            column[n] = values[n * models * EVALUATION_MEASURES + i] -
                        values[n * models * EVALUATION_MEASURES + k];
        change = m > 0 ? now[k] - first[k] : nan("");
        out[m].differences[k] = find_interval(change, column, count);
    }
}

/* ---- Rows ---- */

/* Doubles an array of items; on failure it stays as it is. */
static bool
grow(void **array, size_t room, size_t item_bytes)
{
    void *grown = realloc(*array, room * item_bytes);

    if (grown == NULL)
        return false;
    *array = grown;
    return true;
}

static enum status
make_room(struct evaluation *e, struct error *err)
{
    size_t room = e->row_room > 0 ? 2 * e->row_room : ROWS_FIRST;
    void *weights = e->weights;

    if (e->row_count < e->row_room)
        return STATUS_OK;
    if (e->row_count >= EVALUATION_ROWS_MAX)
        return error_set(err, STATUS_TOOBIG, "more than %u rows to compare on",
                         EVALUATION_ROWS_MAX);
    if (!grow(&weights, room, sizeof(*e->weights)))
        goto no_memory;
    e->weights = weights;
    for (size_t m = 0; m < e->spec.model_count; m++) {
        void *said = e->said[m];

        if (!grow(&said, room, sizeof(*e->said[m])))
            goto no_memory;
        e->said[m] = said;
    }
    e->row_room = room;
    return STATUS_OK;

no_memory:
    return error_set(err, STATUS_NOMEM, "no memory to compare on %zu rows",
                     room);
}

/* ---- Exported ---- */

enum status
evaluation_new(struct evaluation **out, const struct evaluation_spec *spec,
               struct error *err)
{
    struct evaluation *e;

    assert(out != NULL && spec != NULL && spec->width > 0);
    assert(spec->model_count > 0 && spec->replicates >= REPLICATES_MIN &&
           spec->model_count <= EVALUATION_MODELS_MAX);
    *out = NULL;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for an evaluation");
    e->magic = EVALUATION_MAGIC;
    e->spec = *spec;
    e->whole = calloc(spec->model_count, sizeof(*e->whole));
    if (e->whole == NULL) {
        evaluation_free(&e);
        return error_set(err, STATUS_NOMEM, "no memory for an evaluation");
    }
    *out = e;
    return STATUS_OK;
}

void
evaluation_free(struct evaluation **self)
{
    assert(self != NULL);
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, EVALUATION_MAGIC);
    (*self)->magic = 0;
    for (size_t m = 0; m < EVALUATION_MODELS_MAX; m++)
        free((*self)->said[m]);
    free((*self)->weights);
    free((*self)->whole);
    free(*self);
    *self = NULL;
}

enum status
evaluation_add(struct evaluation *e, float outcome, float weight,
               const float *const *logits, struct error *err)
{
    enum status st;

    OBJ_CHECK(e, EVALUATION_MAGIC);
    assert(logits != NULL && err != NULL);
    st = make_room(e, err);
    if (st != STATUS_OK)
        return st;
    e->weights[e->row_count] = weight;
    for (size_t m = 0; m < e->spec.model_count; m++) {
        struct answer a =
            answer_look(e->spec.kind, e->spec.width, logits[m], outcome, NULL);

        e->said[m][e->row_count] = (struct said){
            .loss = (float)a.row.loss,
            .probability = (float)a.row.probability,
            .outcome = (float)a.row.outcome,
            .bin = (uint16_t)(a.row.bin / (QUALITY_BINS / BINS)),
        };
        quality_add_row(&e->whole[m], &a.row, (double)weight);
    }
    e->row_count++;
    return STATUS_OK;
}

const struct evaluation_spec *
evaluation_spec(const struct evaluation *e)
{
    OBJ_CHECK(e, EVALUATION_MAGIC);
    return &e->spec;
}

uint64_t
evaluation_rows(const struct evaluation *e)
{
    OBJ_CHECK(e, EVALUATION_MAGIC);
    return e->row_count;
}

size_t
evaluation_replicates(const struct evaluation *e)
{
    size_t affordable;

    OBJ_CHECK(e, EVALUATION_MAGIC);
    affordable = WORK_MAX / (e->row_count + 1);
    if (affordable < REPLICATES_MIN)
        affordable = REPLICATES_MIN;
    return e->spec.replicates < affordable ? e->spec.replicates : affordable;
}

enum status
evaluation_judge(const struct evaluation *e, struct evaluation_result *out,
                 struct error *err)
{
    enum status st = STATUS_OK;
    struct sums *sums;
    double *values;
    double *column;
    size_t count;
    size_t stride;

    OBJ_CHECK(e, EVALUATION_MAGIC);
    assert(out != NULL && err != NULL);
    count = evaluation_replicates(e);
    stride = e->spec.model_count * EVALUATION_MEASURES;
    sums = calloc(e->spec.model_count, sizeof(*sums));
    values = calloc(count * stride, sizeof(*values));
    column = calloc(count, sizeof(*column));
    if (sums == NULL || values == NULL || column == NULL) {
        st =
            error_set(err, STATUS_NOMEM, "no memory for %zu replicates", count);
        goto out;
    }
    for (size_t n = 0; n < count; n++) {
        replicate(e, n, sums);
        for (size_t m = 0; m < e->spec.model_count; m++)
            measure(e, &sums[m], values + n * stride + m * EVALUATION_MEASURES);
    }
    find_intervals(e, values, column, out);

out:
    free(column);
    free(values);
    free(sums);
    return st;
}
