/* SPDX-License-Identifier: Apache-2.0 */
/* The whole model: gradients, guards, determinism, learning. */
#include "tests/support/check.h"
#include "tests/support/model_case.h"

#include <stdlib.h>

/* One of everything: two tables and a bag, a number and a vector, three kinds
 * of tasks, one with an auxiliary head. */
static const struct model_feature features[] = {
    {.name = "user",
     .kind = FEATURE_CATEGORICAL,
     .column = 0,
     .width = 4,
     .rows_max = 100,
     .admit_after = 1},
    {.name = "genres",
     .kind = FEATURE_BAG,
     .column = 1,
     .width = 4,
     .ids_max = 3,
     .rows_max = 100,
     .admit_after = 1},
    {.name = "price",
     .kind = FEATURE_NUMBER,
     .column = 2,
     .has_indicator = true},
    {.name = "item",
     .kind = FEATURE_CATEGORICAL,
     .column = 4,
     .width = 4,
     .rows_max = 100,
     .admit_after = 1},
    {.name = "text", .kind = FEATURE_VECTOR, .column = 3, .width = 3},
};

static const struct model_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .column = 0, .classes = 1},
    {.name = "stars", .kind = TASK_CLASS, .column = 1, .classes = 3},
    {.name = "watch", .kind = TASK_REGRESSION, .column = 2, .classes = 1},
    {.name = "like",
     .kind = TASK_BINARY,
     .column = 3,
     .classes = 1,
     .auxiliary = true},
};

static struct model_spec
whole_spec(void)
{
    return (struct model_spec){
        .features = features,
        .feature_count = COUNT(features),
        .tasks = tasks,
        .task_count = COUNT(tasks),
        .has_linear = true,
        .has_fm = true,
        .cross_layers = 2,
        .hidden = {6, 5},
        .hidden_count = 2,
        .activation = ACTIVATION_TANH,
        .embedding_deviation = 0.3F,
        .seed = 11,
        .batch_max = 600,
        .threads = 1,
        .dense = case_optimizer(OPTIMIZER_SGD, 1.0F),
        .tables = case_optimizer(OPTIMIZER_SGD, 1.0F),
    };
}

/* Objectives of four kinds; the auxiliary head's gradient scale is 1, for a
 * gradient that is scaled is no derivative of anything. */
static void
whole_objectives(struct objective *o)
{
    for (size_t i = 0; i < COUNT(tasks); i++)
        o[i] = case_objective(1.0F, 0.5F);
    o[0].distill = DISTILL_KL;
    o[0].temperature = 2.0F;
    o[1].temperature = 3.0F;
    o[1].hard_weight = 0.3F;
    o[3].label_scale = 1.5F;
}

/* The objective of the tensors' model on a batch, in a model of its own. */
static double
loss_of(const struct model_spec *spec, const struct tensors *t,
        const struct columns *c, const struct objective *o)
{
    struct model *m = case_model(spec);
    struct step step;

    case_restore(m, t, RESTORE_EXACT);
    model_step(m, c, o, NULL, NULL, &step);
    model_free(&m);
    return step.loss;
}

/* With SGD at rate 1 a step subtracts the gradient itself. */
static void
check_gradients(const struct model_spec *spec)
{
    struct objective o[COUNT(tasks)];
    struct model *m = case_model(spec);
    struct columns *c = case_columns(spec, 40);
    uint64_t state = 5;
    struct tensors before;
    struct tensors after;
    struct step step;

    whole_objectives(o);
    case_fill(c, 40, 7, &state);
    for (size_t r = 0; r < 40; r++) {
        c->weight[r] = 1.0F + 0.5F * case_random(&state);
        c->sample_rate[r] = r % 3 == 0 ? 0.25F : 1.0F;
        c->features[2].present[r] = r % 5 != 0;
        c->tasks[0].has_outcome[r] = r % 4 != 0;
        c->tasks[1].has_teacher[r] = r % 4 != 1;
    }
    /* Sightings are counted first, so that the ids have rows. */
    model_step(m, c, o, NULL, NULL, &step);
    before = case_take(m, 1000);
    model_step(m, c, o, NULL, NULL, &step);
    after = case_take(m, 1 << 16);
    for (size_t i = 0; i < before.count; i++) {
        const struct tensor *t = &before.list[i];
        float *w = case_find(&before, t->name, NULL);
        const float *moved = case_find(&after, t->name, NULL);
        size_t n = (size_t)tensor_bytes(t) / sizeof(float);

        if (t->type != TENSOR_F32)
            continue;
        for (size_t k = 0; k < n; k++) {
            float kept = w[k];
            double gradient = (double)kept - (double)moved[k];
            const float eps = 4e-3F;
            double up;
            double down;

            w[k] = kept + eps;
            up = loss_of(spec, &before, c, o);
            w[k] = kept - eps;
            down = loss_of(spec, &before, c, o);
            w[k] = kept;
            /* Float forward passes leave about 1e-6 / eps of noise; the
             * third derivative adds about eps^2. */
            if (!(fabs(gradient - (up - down) / (2.0 * (double)eps)) < 1e-3))
                (void)printf("%s[%zu]\n", t->name, k);
            CHECK_NEAR(gradient, (up - down) / (2.0 * (double)eps), 1e-3);
        }
    }
    case_drop(&before);
    case_drop(&after);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_model_gradients_equal_finite_differences(void)
{
    struct model_spec spec = whole_spec();

    check_gradients(&spec);
}

static void
test_model_gradients_without_mlp_equal_finite_differences(void)
{
    struct model_spec spec = whole_spec();

    spec.hidden_count = 0;
    check_gradients(&spec);
    spec.cross_layers = 0;
    check_gradients(&spec);
}

static void
test_model_gradients_without_cross_equal_finite_differences(void)
{
    struct model_spec spec = whole_spec();

    spec.cross_layers = 0;
    spec.activation = ACTIVATION_SOFTMAX;
    spec.has_linear = false;
    check_gradients(&spec);
    spec.has_fm = false;
    spec.activation = ACTIVATION_GELU;
    spec.threads = 3;
    check_gradients(&spec);
}

/* ---- Small models for one question each ---- */

static const struct model_task auxiliary_only[] = {
    {.name = "click", .kind = TASK_BINARY, .classes = 1, .auxiliary = true},
};

static void
test_auxiliary_loss_leaves_the_serving_head_alone(void)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective o = case_objective(0.0F, 1.0F);
    struct columns *c;
    struct model *m;
    struct tensors a;
    struct tensors b;
    struct step step;
    uint64_t state = 8;

    spec.tasks = auxiliary_only;
    spec.dense.schedule.rate = 0.5F;
    m = case_model(&spec);
    c = case_columns(&spec, 32);
    case_fill(c, 32, 5, &state);
    a = case_take(m, 4096);
    model_step(m, c, &o, NULL, NULL, &step);
    b = case_take(m, 4096);
    for (size_t i = 0; i < 4; i++) {
        const char *served = "head/click/weight";
        const char *taught = "head/click/auxiliary/weight";
        const char *trunk = "mlp/0/weight";

        CHECK(((float *)case_find(&a, served, NULL))[i] ==
              ((float *)case_find(&b, served, NULL))[i]);
        CHECK(((float *)case_find(&a, taught, NULL))[i] !=
              ((float *)case_find(&b, taught, NULL))[i]);
        CHECK(((float *)case_find(&a, trunk, NULL))[i] !=
              ((float *)case_find(&b, trunk, NULL))[i]);
    }
    case_drop(&a);
    case_drop(&b);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_gradient_scale_scales_the_trunks_gradient_alone(void)
{
    static const float scales[] = {1.0F, 3.0F};
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    double moved[2][2]; /* scale; auxiliary head, trunk */

    spec.tasks = auxiliary_only;
    spec.dense.schedule.rate = 0.5F;
    for (size_t i = 0; i < 2; i++) {
        static const char *const names[] = {"head/click/auxiliary/weight",
                                            "mlp/0/weight"};
        struct objective o = case_objective(0.0F, 1.0F);
        struct model *m = case_model(&spec);
        struct columns *c = case_columns(&spec, 32);
        struct tensors a;
        struct tensors b;
        struct step step;
        uint64_t state = 8;

        o.gradient_scale = scales[i];
        case_fill(c, 32, 5, &state);
        a = case_take(m, 4096);
        model_step(m, c, &o, NULL, NULL, &step);
        b = case_take(m, 4096);
        for (size_t k = 0; k < 2; k++)
            moved[i][k] = (double)(((float *)case_find(&b, names[k], NULL))[0] -
                                   ((float *)case_find(&a, names[k], NULL))[0]);
        case_drop(&a);
        case_drop(&b);
        case_columns_free(&c);
        model_free(&m);
    }
    CHECK_NEAR(moved[1][0], moved[0][0], 1e-7);
    CHECK_NEAR(moved[1][1], 3.0 * moved[0][1], 1e-6);
}

static void
test_soft_weight_warms_up_with_examples(void)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective o = case_objective(0.0F, 1.0F);
    struct model *m;
    struct columns *c;
    struct task_loss losses;
    struct step step;
    uint64_t state = 8;

    spec.tables.schedule.rate = 0.0F;
    m = case_model(&spec);
    c = case_columns(&spec, 32);
    case_fill(c, 32, 5, &state);
    o.soft_warmup_examples = 64;
    for (size_t i = 0; i < 4; i++) {
        double share = i < 2 ? (double)i / 2.0 : 1.0;

        model_step(m, c, &o, NULL, &losses, &step);
        CHECK_INT(losses.soft_rows, 32);
        CHECK_INT(losses.hard_rows, 32);
        CHECK_NEAR(step.loss, share * losses.soft / 32.0, 1e-12);
    }
    case_columns_free(&c);
    model_free(&m);
}

static void
test_missing_parts_do_not_shrink_the_others(void)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective o = case_objective(1.0F, 1.0F);
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, 4);
    struct task_loss losses;
    struct step step;
    uint64_t state = 8;

    case_fill(c, 4, 5, &state);
    c->tasks[0].has_outcome[0] = 0;
    c->tasks[0].has_outcome[3] = 0;
    c->tasks[0].has_teacher[1] = 0;
    model_step(m, c, &o, NULL, &losses, &step);
    CHECK_INT(losses.hard_rows, 2);
    CHECK_INT(losses.soft_rows, 3);
    CHECK_NEAR(step.loss, losses.hard / 2.0 + losses.soft / 3.0, 1e-12);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_a_row_that_is_not_finite_skips_the_step(void)
{
    static const float bad[] = {NAN, INFINITY, 1e38F};

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct model_spec spec = whole_spec();
        struct objective o[COUNT(tasks)];
        struct model *m;
        struct columns *c;
        struct tensors a;
        struct tensors b;
        struct step step;
        uint64_t state = 8;

        whole_objectives(o);
        spec.activation = ACTIVATION_RELU;
        spec.dense = case_optimizer(OPTIMIZER_ADAM, 0.1F);
        spec.tables = case_optimizer(OPTIMIZER_ADAGRAD, 0.1F);
        m = case_model(&spec);
        c = case_columns(&spec, 16);
        case_fill(c, 16, 5, &state);
        model_step(m, c, o, NULL, NULL, &step);
        CHECK(!step.is_skipped);
        a = case_take(m, 4096);
        c->features[3].values[7] = bad[i];
        model_step(m, c, o, NULL, NULL, &step);
        CHECK(step.is_skipped);
        b = case_take(m, 4096);
        for (size_t k = 0; k < a.count; k++) {
            const struct tensor *t = &a.list[k];

            if (t->type == TENSOR_F32)
                CHECK(memcmp(t->data, case_find(&b, t->name, NULL),
                             (size_t)tensor_bytes(t)) == 0);
        }
        c->features[3].values[7] = 0.0F;
        model_step(m, c, o, NULL, NULL, &step);
        CHECK(!step.is_skipped);
        case_drop(&a);
        case_drop(&b);
        case_columns_free(&c);
        model_free(&m);
    }
}

/* Runs some steps of everything with so many threads and gives the tensors. */
static struct tensors
run_steps(size_t threads, size_t steps, struct model_spec spec)
{
    struct objective o[COUNT(tasks)];
    struct model *m;
    struct columns *c;
    struct tensors t;
    struct step step;
    uint64_t state = 21;

    whole_objectives(o);
    spec.threads = threads;
    m = case_model(&spec);
    c = case_columns(&spec, 600);
    for (size_t i = 0; i < steps; i++) {
        case_fill(c, 600 - i, 60, &state);
        model_step(m, c, o, NULL, NULL, &step);
        CHECK(!step.is_skipped);
    }
    t = case_take(m, 4096);
    case_columns_free(&c);
    model_free(&m);
    return t;
}

static void
test_same_seed_and_threads_give_the_same_bytes(void)
{
    struct model_spec spec = whole_spec();

    spec.dense = case_optimizer(OPTIMIZER_ADAM, 0.01F);
    spec.tables = case_optimizer(OPTIMIZER_ROWWISE_ADAGRAD, 0.05F);
    for (size_t threads = 1; threads <= 3; threads++) {
        struct tensors a = run_steps(threads, 20, spec);
        struct tensors b = run_steps(threads, 20, spec);

        CHECK(case_is_equal(&a, &b));
        case_drop(&a);
        case_drop(&b);
    }
}

/* One thread changes rows chunk by chunk, several all of them at the end. */
static void
check_threads(struct model_spec spec)
{
    struct tensors a;
    struct tensors b;

    spec.dense = case_optimizer(OPTIMIZER_SGD, 0.01F);
    spec.tables = case_optimizer(OPTIMIZER_SGD, 0.05F);
    a = run_steps(1, 5, spec);
    b = run_steps(2, 5, spec);
    for (size_t i = 0; i < a.count; i++) {
        const float *x = a.list[i].data;
        const float *y = b.list[i].data;

        if (a.list[i].type != TENSOR_F32)
            continue;
        for (size_t k = 0; k < tensor_bytes(&a.list[i]) / 4; k++)
            CHECK_NEAR(x[k], y[k], 1e-5);
    }
    case_drop(&a);
    case_drop(&b);
}

static void
test_threads_change_the_result_by_rounding_alone(void)
{
    struct model_feature own[COUNT(features)];
    struct model_spec spec = whole_spec();

    memcpy(own, features, sizeof(own));
    spec.features = own;
    for (size_t i = 0; i < 4; i++) {
        spec.has_linear = i % 2 == 0;
        /* 30: ids get their rows in the middle of a batch. */
        own[0].admit_after = i < 2 ? 1 : 30;
        own[1].admit_after = own[0].admit_after;
        check_threads(spec);
    }
}

/* A batch of five chunks, whose last row is bad. All users come in the last
 * chunk too, so no row of theirs may have learned; with one thread those items
 * have that only came before it. */
static void
check_late_row(size_t threads)
{
    struct model_spec spec = whole_spec();
    struct objective o[COUNT(tasks)];
    struct columns *c;
    struct model *m;
    struct tensors a;
    struct tensors b;
    struct step step;
    uint64_t state = 8;

    whole_objectives(o);
    spec.threads = threads;
    spec.dense = case_optimizer(OPTIMIZER_SGD, 0.01F);
    spec.tables = case_optimizer(OPTIMIZER_SGD, 0.05F);
    m = case_model(&spec);
    c = case_columns(&spec, 600);
    case_fill(c, 600, 60, &state);
    model_step(m, c, o, NULL, NULL, &step);
    CHECK(!step.is_skipped);
    a = case_take(m, 4096);
    c->features[3].values[3 * 599] = NAN;
    for (size_t r = 0; r < 512; r++)
        c->features[0].ids[r] = c->features[0].ids[512 + r % 88];
    model_step(m, c, o, NULL, NULL, &step);
    CHECK(step.is_skipped);
    b = case_take(m, 4096);
    for (size_t i = 0; i < a.count; i++) {
        const struct tensor *t = &a.list[i];
        const float *now = case_find(&b, t->name, NULL);
        bool may_change =
            threads == 1 && strcmp(t->name, "item/embedding") == 0;
        bool is_changed = false;

        if (t->type != TENSOR_F32 || strcmp(t->name, "genres/embedding") == 0)
            continue;
        for (size_t k = 0; k < tensor_bytes(t) / 4; k++) {
            CHECK(isfinite(now[k]));
            is_changed |= now[k] != ((const float *)t->data)[k];
        }
        CHECK(is_changed == may_change);
    }
    case_drop(&a);
    case_drop(&b);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_a_late_row_that_is_not_finite_reaches_no_parameter(void)
{
    check_late_row(1);
    check_late_row(2);
}

static void
test_predict_changes_nothing(void)
{
    struct model_spec spec = whole_spec();
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, 100);
    struct objective o[COUNT(tasks)];
    float logits[100 * 6];
    float stepped[100 * 6];
    struct tensors a;
    struct tensors b;
    struct step step;
    uint64_t state = 2;

    whole_objectives(o);
    CHECK_INT(model_logit_count(m), 6);
    case_fill(c, 100, 40, &state);
    model_step(m, c, o, NULL, NULL, &step);
    a = case_take(m, 4096);
    model_predict(m, c, logits);
    b = case_take(m, 4096);
    CHECK(case_is_equal(&a, &b));
    model_step(m, c, o, stepped, NULL, &step);
    for (size_t i = 0; i < COUNT(logits); i++)
        CHECK_NEAR(stepped[i], logits[i], 0.0);
    case_drop(&a);
    case_drop(&b);
    case_columns_free(&c);
    model_free(&m);
}

/* Some rows of a batch, each in a batch of its own, get the same answers. */
static void
check_rows_alone(struct model *m, const struct columns *all,
                 struct columns *one)
{
    float together[300 * 6];
    float alone[6];

    model_predict(m, all, together);
    for (size_t r = 0; r < 300; r += 37) {
        one->row_count = 1;
        for (size_t f = 0; f < COUNT(features); f++) {
            struct column *to = &one->features[f];
            const struct column *from = &all->features[f];
            size_t at = from->kind == FEATURE_BAG ? from->offsets[r] : r;
            size_t n = 1;

            if (from->kind == FEATURE_BAG)
                n = from->offsets[r + 1] - at;
            memcpy(to->ids, from->ids + at, n * sizeof(*to->ids));
            to->offsets[1] = (uint32_t)n;
            memcpy(to->values, from->values + r * from->width,
                   from->width * sizeof(*to->values));
        }
        model_predict(m, one, alone);
        for (size_t k = 0; k < 6; k++)
            CHECK_NEAR(alone[k], together[r * 6 + k], 1e-5);
    }
}

/* Also where the weights of wide layers are copied for batches alone: the
 * copies follow each step and each restoring. */
static void
check_predictions(size_t text_width, size_t hidden)
{
    struct model_spec spec = whole_spec();
    struct model_feature wide[COUNT(features)];
    struct objective o[COUNT(tasks)];
    struct columns *all;
    struct columns *one;
    struct model *m;
    struct model *other;
    struct tensors t;
    struct step step;
    uint64_t state = 2;

    memcpy(wide, features, sizeof(wide));
    wide[COUNT(wide) - 1].width = text_width;
    spec.features = wide;
    spec.hidden[0] = spec.hidden[1] = hidden;
    spec.threads = 2;
    whole_objectives(o);
    m = case_model(&spec);
    all = case_columns(&spec, 300);
    one = case_columns(&spec, 1);
    case_fill(all, 300, 40, &state);
    check_rows_alone(m, all, one);
    for (int i = 0; i < 2; i++) {
        model_step(m, all, o, NULL, NULL, &step);
        check_rows_alone(m, all, one);
    }
    spec.seed++;
    other = case_model(&spec);
    check_rows_alone(other, all, one);
    t = case_take(m, 4096);
    case_restore(other, &t, RESTORE_EXACT);
    check_rows_alone(other, all, one);
    case_drop(&t);
    case_columns_free(&all);
    case_columns_free(&one);
    model_free(&m);
    model_free(&other);
}

static void
test_predictions_do_not_depend_on_the_batch(void)
{
    check_predictions(3, 6);
    check_predictions(20, 40);
}

static void
test_model_learns_one_batch_by_heart(void)
{
    static const enum optimizer_kind kinds[] = {
        OPTIMIZER_SGD, OPTIMIZER_ADAGRAD, OPTIMIZER_ADAM};

    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct model_spec spec = case_small_spec(kinds[i]);
        struct objective o = case_objective(1.0F, 0.0F);
        struct model *m;
        struct columns *c;
        struct step step;

        spec.dense =
            case_optimizer(kinds[i], kinds[i] == OPTIMIZER_SGD ? 1.0F : 0.05F);
        spec.tables = spec.dense;
        m = case_model(&spec);
        c = case_columns(&spec, 8);
        c->row_count = 8;
        for (size_t r = 0; r < 8; r++) {
            c->features[0].ids[r] = r + 1;
            c->tasks[0].has_outcome[r] = 1;
            c->tasks[0].outcome[r] = r % 2 == 0 ? 1.0F : 0.0F;
        }
        for (size_t k = 0; k < 600; k++)
            model_step(m, c, &o, NULL, NULL, &step);
        CHECK(step.loss < 0.02);
        case_columns_free(&c);
        model_free(&m);
    }
}

static void
test_one_wrong_clock_does_not_empty_a_table(void)
{
    static const struct model_feature expiring[] = {
        {.name = "user",
         .kind = FEATURE_CATEGORICAL,
         .width = 2,
         .rows_max = 50,
         .admit_after = 1,
         .expire_after_s = 86400},
    };
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective o = case_objective(1.0F, 0.0F);
    struct model_size size;
    struct model *m;
    struct columns *c;
    struct step step;
    const int64_t begin = 1700000000000;

    spec.features = expiring;
    m = case_model(&spec);
    c = case_columns(&spec, 1);
    c->row_count = 1;
    c->tasks[0].has_outcome[0] = 1;
    for (uint64_t i = 0; i < 200; i++) {
        c->features[0].ids[0] = 1 + i % 40;
        c->time_ms[0] = i == 60 ? 2145916800000 : begin + (int64_t)i * 1000;
        model_step(m, c, &o, NULL, NULL, &step);
    }
    model_measure(m, &size);
    CHECK(size.rows >= 40);
    /* Days later without them, ids do go. */
    for (uint64_t i = 0; i < 200; i++) {
        c->features[0].ids[0] = 1 + i % 3;
        c->time_ms[0] = begin + (int64_t)(i + 1) * 3600000;
        model_step(m, c, &o, NULL, NULL, &step);
    }
    model_measure(m, &size);
    CHECK(size.rows <= 4);
    case_columns_free(&c);
    model_free(&m);
}

static void
test_sizes_are_counted(void)
{
    struct model_spec spec = whole_spec();
    struct model *m = case_model(&spec);
    struct model_size size;
    size_t N = 4 + 4 + 4 + 1 + 3 + 1; /* with the indicator of the price */
    size_t heads = 6 + 1;
    size_t dense = 2 * (N * N + N) + 6 * N + 6 + 5 * 6 + 5 + heads * (5 + 4) +
                   heads + 6 * (2 + 3);
    uint64_t rows;

    model_measure(m, &size);
    rows = size.rows;
    CHECK_INT(size.dense_parameters, dense);
    CHECK_INT(size.row_width, 4 + 6);
    CHECK_INT(size.parameters, dense + rows * 10);
    CHECK_INT(size.bytes, 4 * size.parameters);
    CHECK_INT(model_table_count(m), 3);
    model_free(&m);
}

/* ---- Specifications that make no sense ---- */

static void
check_refused(const struct model_spec *spec, const char *part)
{
    struct model *m = NULL;
    struct error err = {0};

    CHECK_INT(model_new(&m, spec, &err), STATUS_CONFIG);
    CHECK(m == NULL);
    CHECK_HAS(err.text, part);
}

static void
test_bad_specifications_are_refused_with_the_reason(void)
{
    struct model_spec spec = whole_spec();
    struct model_feature f[COUNT(features)];
    struct model_task t[COUNT(tasks)];

    memcpy(f, features, sizeof(f));
    memcpy(t, tasks, sizeof(t));
    spec.features = f;
    spec.tasks = t;
    f[3].width = 8;
    check_refused(&spec, "FM needs one embedding width");
    f[3].width = 4;
    f[1].ids_max = 0;
    check_refused(&spec, "bag genres");
    f[1].ids_max = 3;
    f[1].name = "user";
    check_refused(&spec, "two features are named \"user\"");
    f[1].name = "a/b";
    check_refused(&spec, "without \"/\"");
    f[1].name = "genres";
    t[1].classes = 1;
    check_refused(&spec, "task stars has 1 classes");
    t[1].classes = 3;
    spec.dense.kind = OPTIMIZER_ROWWISE_ADAGRAD;
    check_refused(&spec, "row-wise Adagrad is for tables");
    spec.dense.kind = OPTIMIZER_SGD;
    spec.batch_max = 0;
    check_refused(&spec, "batches of 0 rows");
    spec.batch_max = 10;
    spec.tables.schedule.rate = NAN;
    check_refused(&spec, "optimizer of the tables needs a rate");
    spec.tables.schedule.rate = 1.0F;
    spec.task_count = 0;
    check_refused(&spec, "no task");
}

int
main(void)
{
    RUN(test_model_gradients_equal_finite_differences);
    RUN(test_model_gradients_without_mlp_equal_finite_differences);
    RUN(test_model_gradients_without_cross_equal_finite_differences);
    RUN(test_auxiliary_loss_leaves_the_serving_head_alone);
    RUN(test_gradient_scale_scales_the_trunks_gradient_alone);
    RUN(test_soft_weight_warms_up_with_examples);
    RUN(test_missing_parts_do_not_shrink_the_others);
    RUN(test_a_row_that_is_not_finite_skips_the_step);
    RUN(test_same_seed_and_threads_give_the_same_bytes);
    RUN(test_threads_change_the_result_by_rounding_alone);
    RUN(test_a_late_row_that_is_not_finite_reaches_no_parameter);
    RUN(test_predict_changes_nothing);
    RUN(test_predictions_do_not_depend_on_the_batch);
    RUN(test_model_learns_one_batch_by_heart);
    RUN(test_one_wrong_clock_does_not_empty_a_table);
    RUN(test_sizes_are_counted);
    RUN(test_bad_specifications_are_refused_with_the_reason);
    return check_report();
}
