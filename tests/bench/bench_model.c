/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train.{uniform,zipf}.{1e6,1e8}[.t2] and infer.N: the engine alone, on ids
 * that are there already.
 */
#include "tests/bench/bench_model.h"

#include "stages/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 64 /* a sample */

static const char *const field_names[BENCH_FIELDS] = {
    "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7",
};

static struct model *
make_model(uint64_t rows, size_t batch_max, size_t threads)
{
    struct model_feature features[BENCH_FIELDS];
    struct optimizer adagrad = {
        .kind = OPTIMIZER_ADAGRAD,
        .schedule = {.kind = SCHEDULE_CONSTANT, .rate = 0.01f},
        .epsilon = 1e-8f,
        .accumulator_initial = 0.1f,
    };
    struct model_task task = {.name = "t", .kind = TASK_BINARY, .classes = 1};
    struct model_spec spec = {
        .features = features,
        .feature_count = BENCH_FIELDS,
        .tasks = &task,
        .task_count = 1,
        .hidden = {128, 64},
        .hidden_count = 2,
        .activation = ACTIVATION_RELU,
        .embedding_deviation = 0.01f,
        .seed = 1,
        .batch_max = batch_max,
        .threads = threads,
        .dense = adagrad,
        .tables = adagrad,
    };
    struct model *m = NULL;
    struct error err;

    for (size_t f = 0; f < BENCH_FIELDS; f++)
        features[f] = (struct model_feature){
            .name = field_names[f],
            .kind = FEATURE_CATEGORICAL,
            .column = f,
            .width = BENCH_WIDTH,
            .rows_max = rows,
            .admit_after = 1,
        };
    if (model_new(&m, &spec, &err) != STATUS_OK)
        bench_fail(err.text);
    return m;
}

/* The id of a field's n-th value: spread over 53 bits, never 0. */
static uint64_t
make_id(size_t field, uint64_t n)
{
    uint64_t state = n * BENCH_FIELDS + field;

    return (bench_random(&state) & ((UINT64_C(1) << 53) - 1)) | 1u;
}

static void
make_columns(struct columns *c, size_t B)
{
    uint64_t state = 11;
    struct outcome_column *t;

    *c = (struct columns){
        .row_count = B,
        .row_max = B,
        .feature_count = BENCH_FIELDS,
        .features = bench_alloc(BENCH_FIELDS, sizeof(struct column)),
        .task_count = 1,
        .tasks = bench_alloc(1, sizeof(struct outcome_column)),
        .weight = bench_alloc(B, sizeof(float)),
        .sample_rate = bench_alloc(B, sizeof(float)),
        .ask_weight = bench_alloc(B, sizeof(float)),
        .time_ms = bench_alloc(B, sizeof(int64_t)),
    };
    t = &c->tasks[0];
    t->kind = TASK_BINARY;
    t->width = 1;
    t->outcome = bench_alloc(B, sizeof(float));
    t->has_outcome = bench_alloc(B, 1);
    t->teacher = bench_alloc(B, sizeof(float));
    t->has_teacher = bench_alloc(B, 1);
    for (size_t f = 0; f < BENCH_FIELDS; f++) {
        c->features[f].kind = FEATURE_CATEGORICAL;
        c->features[f].width = 1;
        c->features[f].ids_max = 1;
    }
    for (size_t b = 0; b < B; b++) {
        t->outcome[b] = (float)(bench_random(&state) & 1u);
        t->has_outcome[b] = 1;
        t->teacher[b] = t->outcome[b] - 0.5f;
        t->has_teacher[b] = 1;
        c->weight[b] = 1.0f;
        c->sample_rate[b] = 1.0f;
        c->ask_weight[b] = 1.0f;
        c->time_ms[b] = INT64_C(1700000000000);
    }
}

/* Zipf with exponent 1.05 over rows values. */
static void
draw_zipf(uint64_t *values, size_t n, uint64_t rows, uint64_t *state)
{
    double *sum = bench_alloc(rows, sizeof(*sum));
    double total = 0;

    for (uint64_t i = 0; i < rows; i++) {
        total += pow((double)(i + 1), -1.05);
        sum[i] = total;
    }
    for (size_t i = 0; i < n; i++) {
        double want = (double)(bench_random(state) >> 11) * 0x1p-53 * total;
        uint64_t low = 0;
        uint64_t high = rows - 1;

        while (low < high) {
            uint64_t mid = (low + high) / 2;

            if (sum[mid] < want)
                low = mid + 1;
            else
                high = mid;
        }
        values[i] = low;
    }
    free(sum);
}

static void
train(struct bench_model *bm)
{
    struct step step;

    model_step(bm->model, &bm->columns, &bm->objective, NULL, NULL, &step);
    if (step.is_skipped)
        bench_fail("a step was skipped: loss or gradient not finite");
}

/* Trains once on every value of every field, so that all rows are in use. */
static void
fill_tables(struct bench_model *bm, uint64_t rows)
{
    struct columns c;
    uint64_t *ids = bench_alloc((size_t)BENCH_FIELDS * BENCH_BATCH, 8);
    struct columns kept = bm->columns;

    make_columns(&c, BENCH_BATCH);
    bm->columns = c;
    for (uint64_t n = 0; n < rows; n += BENCH_BATCH) {
        for (size_t f = 0; f < BENCH_FIELDS; f++) {
            for (size_t b = 0; b < BENCH_BATCH; b++)
                ids[f * BENCH_BATCH + b] = make_id(f, (n + b) % rows);
            bm->columns.features[f].ids = ids + f * BENCH_BATCH;
        }
        train(bm);
    }
    bm->columns = kept;
    free(ids);
}

void
bench_model_init(struct bench_model *bm, uint64_t rows_total, size_t B,
                 size_t threads, bool zipf)
{
    uint64_t rows = rows_total / BENCH_FIELDS;
    size_t id_count = (size_t)BENCH_RING * BENCH_FIELDS * B;
    uint64_t state = 7;

    *bm = (struct bench_model){.objective = {.hard_weight = 1.0f,
                                             .soft_weight = 1.0f,
                                             .temperature = 1.0f,
                                             .label_scale = 1.0f,
                                             .gradient_scale = 1.0f}};
    bm->model = make_model(rows, BENCH_BATCH, threads);
    make_columns(&bm->columns, B);
    fill_tables(bm, rows);
    bm->ids = bench_alloc(id_count, sizeof(*bm->ids));
    if (zipf)
        draw_zipf(bm->ids, id_count, rows, &state);
    else
        for (size_t i = 0; i < id_count; i++)
            bm->ids[i] = bench_random(&state) % rows;
    for (size_t i = 0; i < id_count; i++)
        bm->ids[i] = make_id(i / B % BENCH_FIELDS, bm->ids[i]);
}

void
bench_model_turn(struct bench_model *bm)
{
    size_t B = bm->columns.row_count;
    uint64_t *ids = bm->ids + bm->next * BENCH_FIELDS * B;

    for (size_t f = 0; f < BENCH_FIELDS; f++)
        bm->columns.features[f].ids = ids + f * B;
    bm->next = (bm->next + 1) % BENCH_RING;
}

void
bench_model_step(struct bench_model *bm)
{
    bench_model_turn(bm);
    train(bm);
}

static void *
open_train(const char *name, const char *file)
{
    struct bench_model *bm = bench_alloc(1, sizeof(*bm));
    uint64_t rows = strstr(name, "1e8") != NULL ? 100000000u : 1000000u;
    size_t threads = strstr(name, ".t2") != NULL ? 2 : 1;

    (void)file;
    bench_model_init(bm, rows, BENCH_BATCH, threads,
                     strstr(name, ".zipf") != NULL);
    return bm;
}

static double
sample_train(void *self)
{
    struct bench_model *bm = self;
    double start = bench_now_us();

    for (size_t i = 0; i < STEPS; i++)
        bench_model_step(bm);
    return (bench_now_us() - start) / (double)(STEPS * BENCH_BATCH);
}

static void *
open_infer(const char *name, const char *file)
{
    struct bench_model *bm = bench_alloc(1, sizeof(*bm));
    size_t B = (size_t)strtoul(name + strlen("infer."), NULL, 10);

    (void)file;
    if (B == 0 || B > BENCH_BATCH)
        bench_fail("infer.N wants a batch of 1 to 1024");
    bench_model_init(bm, 1000000, B, 1, false);
    return bm;
}

static double
sample_infer(void *self)
{
    struct bench_model *bm = self;
    size_t rounds = 65536 / bm->columns.row_count;
    float logits[BENCH_BATCH];
    double start = bench_now_us();

    for (size_t i = 0; i < rounds; i++) {
        bench_model_turn(bm);
        model_predict(bm->model, &bm->columns, logits);
    }
    return (bench_now_us() - start) / (double)(rounds * bm->columns.row_count);
}

const struct bench train_bench = {"train.", open_train, sample_train};
const struct bench infer_bench = {"infer.", open_infer, sample_infer};
