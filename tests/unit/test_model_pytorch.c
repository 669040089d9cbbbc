/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine against PyTorch: tests/support/make_fixtures.py wrote initial
 * weights, batches, and what PyTorch made of them. Both compute in float with
 * sums in another order, so that logits, losses and gradients differ by some
 * last places; ten steps may amplify that, and Adam's first steps divide
 * small gradients by their own size.
 */
#include "tests/support/check.h"
#include "tests/support/model_case.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <zlib.h>

enum { ROWS = 16, CLASSES = 3, TABLES = 3 };

/* Reads a file, also a gzipped one, as a string that the caller frees. */
static char *
read_text(const char *path)
{
    gzFile f = gzopen(path, "rb");
    size_t room = (size_t)4 << 20;
    char *text = malloc(room);
    int n;

    if (f == NULL || text == NULL)
        abort();
    n = gzread(f, text, (unsigned)room - 1);
    if (n <= 0)
        abort();
    text[n] = '\0';
    (void)gzclose(f);
    return text;
}

static cJSON *
read_json(const char *path)
{
    char *text = read_text(path);
    cJSON *json = cJSON_Parse(text);

    if (json == NULL)
        abort();
    free(text);
    return json;
}

static const cJSON *
get(const cJSON *o, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

    if (v == NULL) {
        (void)printf("no %s in the fixture\n", name);
        abort();
    }
    return v;
}

static double
number(const cJSON *o, const char *name)
{
    return get(o, name)->valuedouble;
}

static bool
flag(const cJSON *o, const char *name)
{
    return cJSON_IsTrue(get(o, name)) != 0;
}

static size_t
word(const cJSON *o, const char *name, const char *const *words, size_t count)
{
    const char *text = get(o, name)->valuestring;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0)
            return i;
    }
    abort();
}

static size_t
fill_floats(const cJSON *array, float *to)
{
    size_t n = 0;
    const cJSON *v;

    cJSON_ArrayForEach(v, array) to[n++] = (float)v->valuedouble;
    return n;
}

/* ---- One model of everything ---- */

static const struct model_feature features[] = {
    {.name = "user",
     .kind = FEATURE_CATEGORICAL,
     .column = 0,
     .width = 4,
     .rows_max = 12,
     .admit_after = 1},
    {.name = "item",
     .kind = FEATURE_CATEGORICAL,
     .column = 1,
     .width = 4,
     .rows_max = 9,
     .admit_after = 1},
    {.name = "tags",
     .kind = FEATURE_BAG,
     .column = 2,
     .width = 4,
     .ids_max = 3,
     .rows_max = 6,
     .admit_after = 1},
    {.name = "text", .kind = FEATURE_VECTOR, .column = 3, .width = 3},
};

static const struct model_task tasks[2][2] = {
    {{.name = "click", .kind = TASK_BINARY, .column = 0, .classes = 1},
     {.name = "stars", .kind = TASK_CLASS, .column = 1, .classes = CLASSES}},
    {{.name = "click",
      .kind = TASK_BINARY,
      .column = 0,
      .classes = 1,
      .auxiliary = true},
     {.name = "stars", .kind = TASK_CLASS, .column = 1, .classes = CLASSES}},
};

/* A case's tasks, until the next. */
static const struct model_task *
tasks_of(const cJSON *json)
{
    static struct model_task own[2];

    for (size_t i = 0; i < 2; i++) {
        own[i] = tasks[flag(json, "auxiliary")][i];
        own[i].adapter = (size_t)number(json, "adapter");
        own[i].adapter_sees_student = flag(json, "adapter_sees_student");
    }
    return own;
}

static struct model_spec
spec_of(const cJSON *json)
{
    static const char *const optimizers[] = {"sgd", "adagrad", "rowwise",
                                             "adam"};
    static const char *const activations[] = {
        "relu", "tanh", "sigmoid", "gelu", "silu", "leaky", "softmax"};
    const cJSON *width;
    struct model_spec spec = {
        .features = features,
        .feature_count = COUNT(features),
        .tasks = tasks_of(json),
        .task_count = 2,
        .has_linear = flag(json, "linear"),
        .has_fm = flag(json, "fm"),
        .cross_layers = (size_t)number(json, "cross"),
        .activation = (enum activation)word(json, "activation", activations,
                                            COUNT(activations)),
        .batch_max = ROWS,
        .threads = 1,
        .dense = case_optimizer((enum optimizer_kind)word(json, "optimizer",
                                                          optimizers,
                                                          COUNT(optimizers)),
                                (float)number(json, "rate")),
    };

    cJSON_ArrayForEach(width, get(json, "hidden"))
        spec.hidden[spec.hidden_count++] = (size_t)width->valueint;
    spec.dense.l2 = (float)number(json, "l2");
    spec.dense.accumulator_initial = (float)number(json, "accumulator");
    spec.tables = spec.dense;
    spec.dense.clip_norm = (float)number(json, "clip");
    return spec;
}

static struct objective
objective_of(const cJSON *json)
{
    static const char *const kinds[] = {"cross_entropy", "kl", "logit_mse",
                                        "probability_mse"};

    return (struct objective){
        .hard_weight = (float)number(json, "hard_weight"),
        .soft_weight = (float)number(json, "soft_weight"),
        .distill =
            (enum distill_kind)word(json, "distill", kinds, COUNT(kinds)),
        .temperature = (float)number(json, "temperature"),
        .label_scale = (float)number(json, "label_scale"),
        .gradient_scale = (float)number(json, "gradient_scale"),
        .cross_debias = flag(json, "cross_debias"),
        .teacher_shift = (float)log(number(json, "teacher_rate")),
    };
}

static void
fill_ids(const cJSON *array, uint64_t *to)
{
    const cJSON *v;

    cJSON_ArrayForEach(v, array) *to++ = (uint64_t)v->valuedouble;
}

static void
fill_batch(struct columns *c, const cJSON *json)
{
    const cJSON *v;
    size_t r = 0;

    c->row_count = ROWS;
    fill_ids(get(json, "user"), c->features[0].ids);
    fill_ids(get(json, "item"), c->features[1].ids);
    fill_ids(get(json, "tags"), c->features[2].ids);
    cJSON_ArrayForEach(v, get(json, "tags_offsets")) c->features[2]
        .offsets[r++] = (uint32_t)v->valueint;
    (void)fill_floats(get(json, "text"), c->features[3].values);
    (void)fill_floats(get(json, "click"), c->tasks[0].outcome);
    (void)fill_floats(get(json, "stars"), c->tasks[1].outcome);
    (void)fill_floats(get(json, "click_teacher"), c->tasks[0].teacher);
    (void)fill_floats(get(json, "stars_teacher"), c->tasks[1].teacher);
    (void)fill_floats(get(json, "weight"), c->weight);
    (void)fill_floats(get(json, "rate"), c->sample_rate);
    r = 0;
    cJSON_ArrayForEach(v, get(json, "has_click")) c->tasks[0].has_outcome[r++] =
        v->valuedouble > 0.0;
    memset(c->tasks[0].has_teacher, 1, ROWS);
    memset(c->tasks[1].has_outcome, 1, ROWS);
    memset(c->tasks[1].has_teacher, 1, ROWS);
}

/* The initial weights as tensors: shapes as the model has them, rows of
 * tables by the fixture's ids 0..n-1. */
static struct tensors
start_of(struct model *m, const cJSON *weights)
{
    static uint64_t ids[16];
    struct tensors all = case_take(m, 4096);
    struct tensors t = {NULL, 0};
    const cJSON *array;

    t.list = calloc(64, sizeof(*t.list));
    for (uint64_t i = 0; i < COUNT(ids); i++)
        ids[i] = i;
    cJSON_ArrayForEach(array, weights)
    {
        size_t n = (size_t)cJSON_GetArraySize(array);
        float *data = calloc(n, sizeof(*data));
        struct tensor *to = &t.list[t.count++];

        for (size_t i = 0; i < all.count; i++) {
            if (strcmp(all.list[i].name, array->string) == 0)
                *to = all.list[i];
        }
        if (data == NULL || to->rank == 0)
            abort();
        (void)fill_floats(array, data);
        to->data = data;
        if (strstr(to->name, "/embedding") != NULL) {
            struct tensor *rows = &t.list[t.count++];

            to->shape[0] = n / to->shape[1];
            rows->type = TENSOR_U64;
            rows->rank = 1;
            rows->shape[0] = to->shape[0];
            rows->data = ids;
            (void)snprintf(rows->name, sizeof(rows->name), "%.*s/ids",
                           (int)strcspn(array->string, "/"), array->string);
        }
        CHECK_INT(n, tensor_bytes(to) / sizeof(float));
    }
    case_drop(&all);
    return t;
}

static void
drop_start(struct tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        union {
            const void *lent;
            void *own;
        } data = {t->list[i].data};

        if (t->list[i].type == TENSOR_F32)
            free(data.own);
    }
    free(t->list);
}

/* Checks all of a fixture's tensors against the model's, or, with rate, what
 * SGD subtracted against the fixture's gradients. */
static void
check_weights(struct model *m, const cJSON *want, const cJSON *start,
              double rate, double near)
{
    struct tensors t = case_take(m, 4096);
    const cJSON *array;

    cJSON_ArrayForEach(array, want)
    {
        const float *got = case_find(&t, array->string, NULL);
        const cJSON *from = get(start, array->string)->child;
        const cJSON *v;
        size_t i = 0;

        CHECK(got != NULL);
        cJSON_ArrayForEach(v, array)
        {
            double is = (double)got[i++];

            if (rate > 0.0)
                is = (from->valuedouble - is) / rate;
            if (!(fabs(is - v->valuedouble) <= near))
                (void)printf("%s[%zu]\n", array->string, i - 1);
            CHECK_NEAR(is, v->valuedouble, near);
            from = from->next;
        }
    }
    case_drop(&t);
}

static void
check_case(const cJSON *json, const cJSON *batches)
{
    struct model_spec spec = spec_of(json);
    struct objective one = objective_of(json);
    struct objective o[2] = {one, one};
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, ROWS);
    struct tensors start = start_of(m, get(json, "start"));
    const cJSON *first = get(json, "first");
    const cJSON *loss = get(json, "losses")->child;
    const cJSON *batch;
    float logits[ROWS * 4];
    struct step step;

    (void)printf("  %s\n", get(json, "name")->valuestring);
    case_restore(m, &start, RESTORE_WEIGHTS);
    cJSON_ArrayForEach(batch, batches)
    {
        fill_batch(c, batch);
        model_step(m, c, o, logits, NULL, &step);
        CHECK_NEAR(step.loss, loss->valuedouble,
                   2e-5 * (1.0 + fabs(loss->valuedouble)));
        loss = loss->next;
        if (batch != batches->child)
            continue;
        for (size_t i = 0; i < ROWS * 4; i++)
            CHECK_NEAR(
                logits[i],
                cJSON_GetArrayItem(get(first, "logits"), (int)i)->valuedouble,
                2e-6);
        CHECK_NEAR(step.gradient_norm, number(first, "gradient_norm"), 1e-5);
        check_weights(m, get(first, "weights"), get(json, "start"), 0.0,
                      spec.dense.kind == OPTIMIZER_ADAM ? 2e-5 : 2e-6);
        if (spec.dense.kind == OPTIMIZER_SGD)
            check_weights(m, get(first, "gradients"), get(json, "start"),
                          number(json, "rate"), 1e-5);
    }
    drop_start(&start);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_steps_equal_pytorch(void)
{
    cJSON *json = read_json("tests/data/fixtures/model.json");
    const cJSON *one;

    cJSON_ArrayForEach(one, get(json, "cases"))
        check_case(one, get(json, "batches"));
    cJSON_Delete(json);
}

/* ---- The textbook program ---- */

enum { EVENTS = 640, INPUTS = 100, LABELS = 10, STEP_ROWS = 32 };

static const struct model_feature vector[] = {
    {.name = "x", .kind = FEATURE_VECTOR, .column = 0, .width = INPUTS},
};
static const struct model_task label[] = {
    {.name = "label", .kind = TASK_CLASS, .column = 0, .classes = LABELS},
};

/* All events in one batch of columns. */
static void
read_events(struct columns *c)
{
    char *text = read_text("tests/data/dense-softmax/events.ndjson.gz");
    char *left = NULL;
    size_t r = 0;

    for (char *line = strtok_r(text, "\n", &left); line != NULL;
         line = strtok_r(NULL, "\n", &left), r++) {
        cJSON *event = cJSON_Parse(line);

        (void)fill_floats(get(event, "x"), c->features[0].values + r * INPUTS);
        (void)fill_floats(get(event, "teacher"),
                          c->tasks[0].teacher + r * LABELS);
        c->tasks[0].outcome[r] = (float)number(event, "label");
        c->tasks[0].has_outcome[r] = 1;
        c->tasks[0].has_teacher[r] = 1;
        cJSON_Delete(event);
    }
    CHECK_INT(r, EVENTS);
    free(text);
}

/* Restores the four tensors of a safetensors file, by its header. */
static void
restore_file(struct model *m, const char *path)
{
    FILE *f = fopen(path, "rb");
    static char bytes[1 << 14];
    struct tensor t[8] = {0};
    size_t count = 0;
    uint64_t header;
    struct error err = {0};
    const cJSON *one;
    cJSON *json;

    if (f == NULL || fread(bytes, 1, sizeof(bytes), f) < sizeof(header))
        abort();
    (void)fclose(f);
    memcpy(&header, bytes, sizeof(header));
    json = cJSON_ParseWithLength(bytes + 8, (size_t)header);
    cJSON_ArrayForEach(one, json)
    {
        const cJSON *shape = get(one, "shape");
        const cJSON *at = get(one, "data_offsets");
        struct tensor *to = &t[count++];

        (void)snprintf(to->name, sizeof(to->name), "%s", one->string);
        to->type = TENSOR_F32;
        to->rank = (size_t)cJSON_GetArraySize(shape);
        to->shape[0] = (uint64_t)shape->child->valueint;
        if (to->rank == 2)
            to->shape[1] = (uint64_t)shape->child->next->valueint;
        to->data = bytes + 8 + header + (size_t)at->child->valueint;
    }
    if (model_restore(m, t, count, RESTORE_WEIGHTS, NULL, &err) != STATUS_OK) {
        (void)printf("%s\n", err.text);
        abort();
    }
    cJSON_Delete(json);
}

static double
relative(double got, double want)
{
    return fabs(got - want) / fabs(want);
}

/* 100 steps of 32 events of the file, again and again. */
static void
check_run(const struct model_spec *spec, const char *weights,
          struct objective o, const cJSON *run)
{
    struct model *m = case_model(spec);
    struct columns *c = case_columns(spec, EVENTS);
    struct columns slice;
    struct column x;
    struct outcome_column y;
    const cJSON *want = run->child;
    double worst = 0.0;

    read_events(c);
    restore_file(m, weights);
    for (size_t i = 0; i < 100; i++) {
        size_t first = i * STEP_ROWS % EVENTS;
        struct task_loss losses;
        struct step step;

        slice = *c;
        x = c->features[0];
        y = c->tasks[0];
        slice.row_count = STEP_ROWS;
        slice.features = &x;
        slice.tasks = &y;
        x.values += first * INPUTS;
        x.present += first;
        y.outcome += first;
        y.has_outcome += first;
        y.teacher += first * LABELS;
        y.has_teacher += first;
        model_step(m, &slice, &o, NULL, &losses, &step);
        worst = fmax(worst, relative(step.loss, number(want, "total")));
        worst = fmax(worst,
                     relative(losses.hard / STEP_ROWS, number(want, "hard")));
        if (o.soft_weight > 0.0F)
            worst = fmax(
                worst, relative(losses.soft / STEP_ROWS, number(want, "soft")));
        want = want->next;
    }
    CHECK(want == NULL);
    CHECK_NEAR(worst, 0.0, 1e-5);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_dense_softmax_runs_equal_pytorch(void)
{
    cJSON *json = read_json("tests/data/dense-softmax/losses.json");
    const cJSON *runs = get(json, "runs");
    const char *student = "tests/data/dense-softmax/student.safetensors";
    const char *teacher = "tests/data/dense-softmax/teacher.safetensors";
    struct model_spec spec = {
        .features = vector,
        .feature_count = 1,
        .tasks = label,
        .task_count = 1,
        .hidden = {10},
        .hidden_count = 1,
        .activation = ACTIVATION_SOFTMAX,
        .batch_max = STEP_ROWS,
        .threads = 1,
        .dense = case_optimizer(OPTIMIZER_ADAM, 0.01F),
        .tables = case_optimizer(OPTIMIZER_ADAM, 0.01F),
    };

    check_run(&spec, student, case_objective(0.0F, 1.0F),
              get(runs, "soft_only"));
    check_run(&spec, student, case_objective(1.0F, 0.5F),
              get(runs, "hard_and_half_soft"));
    check_run(&spec, teacher, case_objective(1.0F, 0.0F), get(runs, "teacher"));
    cJSON_Delete(json);
}

int
main(void)
{
    RUN(test_steps_equal_pytorch);
    RUN(test_dense_softmax_runs_equal_pytorch);
    return check_report();
}
