/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that are not one example each: imagined ones, and those that stand for
 * others because the teacher was not asked about all.
 */
#include "stages/model/loss.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

static const struct model_feature features[] = {
    {.name = "user",
     .kind = FEATURE_CATEGORICAL,
     .column = 0,
     .width = 3,
     .rows_max = 90,
     .admit_after = 1},
    {.name = "tags",
     .kind = FEATURE_BAG,
     .column = 1,
     .width = 3,
     .ids_max = 4,
     .rows_max = 90,
     .admit_after = 2},
    {.name = "price",
     .kind = FEATURE_NUMBER,
     .column = 2,
     .width = 1,
     .standardize = true},
};

static const struct model_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .column = 0, .classes = 1},
    {.name = "kind", .kind = TASK_CLASS, .column = 1, .classes = 3},
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
        .hidden = {6},
        .hidden_count = 1,
        .activation = ACTIVATION_TANH,
        .embedding_deviation = 0.3F,
        .seed = 11,
        .batch_max = 200,
        .threads = 1,
        .dense = case_optimizer(OPTIMIZER_SGD, 0.1F),
        .tables = case_optimizer(OPTIMIZER_ADAGRAD, 0.1F),
    };
}

/* The same with one feature and one task. */
static struct model_spec
small_spec(void)
{
    struct model_spec spec = whole_spec();

    spec.feature_count = 1;
    spec.task_count = 1;
    return spec;
}

static void
test_asked_rows_weigh_their_inverse_rate_and_no_more(void)
{
    struct model_spec spec = small_spec();
    struct objective o = case_objective(0.0F, 1.0F);
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, 8);
    double losses[2];
    struct step step;
    uint64_t state = 8;

    /* One row that weighs 3 is three rows beside the other, but two answers
     * out of four weigh half of what four do. */
    spec.tables.schedule.rate = 0.0F;
    case_fill(c, 4, 5, &state);
    memset(c->tasks[0].has_teacher, 0, 4);
    c->tasks[0].has_teacher[0] = 1;
    c->tasks[0].has_teacher[2] = 1;
    c->ask_weight[2] = 3.0F;
    model_step(m, c, &o, NULL, NULL, &step);
    losses[0] = step.loss;
    model_free(&m);
    m = case_model(&spec);
    for (size_t r = 4; r < 6; r++) {
        c->features[0].ids[r] = c->features[0].ids[2];
        c->tasks[0].teacher[r] = c->tasks[0].teacher[2];
        c->tasks[0].has_teacher[r] = 1;
    }
    c->row_count = 6;
    c->ask_weight[2] = 1.0F;
    model_step(m, c, &o, NULL, NULL, &step);
    losses[1] = step.loss;
    CHECK_NEAR(losses[0], 0.5 * losses[1], 1e-9);
    case_columns_free(&c);
    model_free(&m);
}

/* The tensors after some steps with the last `imagined` of 8 rows imagined. */
static struct tensors
imagine_steps(float imagined_weight, size_t rows, size_t imagined,
              size_t threads)
{
    struct model_spec spec = whole_spec();
    struct objective o[COUNT(tasks)];
    struct columns *c = case_columns(&spec, 200);
    struct model *m;
    struct tensors t;
    struct step step;
    uint64_t state = 21;

    spec.threads = threads;
    spec.dense = case_optimizer(OPTIMIZER_ADAM, 0.01F);
    m = case_model(&spec);
    o[0] = case_objective(1.0F, 0.5F);
    o[1] = o[0];
    for (size_t i = 0; i < COUNT(tasks); i++)
        o[i].imagined_weight = imagined_weight;
    for (size_t i = 0; i < 5; i++) {
        case_fill(c, 200, 5 + i * 40, &state);
        c->row_count = rows;
        c->imagined_count = imagined;
        model_step(m, c, o, NULL, NULL, &step);
        CHECK(!step.is_skipped);
    }
    t = case_take(m, 4096);
    case_columns_free(&c);
    model_free(&m);
    return t;
}

/* Rows whose answers weigh nothing leave nothing behind, neither ids nor clocks
 * nor means; rows whose answers weigh something change values. */
static void
test_imagined_rows_are_no_examples(void)
{
    for (size_t threads = 1; threads <= 2; threads++) {
        struct tensors without = imagine_steps(0.0F, 77, 0, threads);
        struct tensors unheard = imagine_steps(0.0F, 200, 123, threads);
        struct tensors heard = imagine_steps(1.0F, 200, 123, threads);
        size_t count = 0;
        size_t heard_count = 0;

        (void)case_find(&without, "user/sightings", &count);
        (void)case_find(&heard, "user/sightings", &heard_count);
        CHECK_INT(heard_count, count);
        CHECK(memcmp(case_find(&heard, "user/sightings", NULL),
                     case_find(&without, "user/sightings", NULL),
                     count * sizeof(uint32_t)) == 0);
        CHECK(!case_is_equal(&heard, &without));
        if (threads == 1) /* where who sums what is the same */
            CHECK(case_is_equal(&unheard, &without));
        case_drop(&without);
        case_drop(&unheard);
        case_drop(&heard);
    }
}

static void
test_an_imagined_row_teaches_by_its_answer_alone(void)
{
    struct model_spec spec = small_spec();
    struct objective o = case_objective(1.0F, 0.5F);
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, 4);
    struct task_loss losses;
    struct soft_loss soft = {.kind = TASK_BINARY,
                             .distill = DISTILL_CROSS_ENTROPY,
                             .temperature = 1.0,
                             .label_scale = 1.0};
    float logits[4];
    struct step step;
    uint64_t state = 8;
    double told;

    o.imagined_weight = 2.0F;
    case_fill(c, 4, 5, &state);
    c->imagined_count = 1;
    model_step(m, c, &o, logits, &losses, &step);
    CHECK_INT(losses.hard_rows, 3);
    CHECK_INT(losses.soft_rows, 3);
    told = loss_soft(&soft, &logits[3], &c->tasks[0].teacher[3], 1, 1.0, NULL);
    CHECK_NEAR(step.loss, losses.hard / 3.0 + 0.5 * losses.soft / 3.0 + told,
               1e-12);
    case_columns_free(&c);
    model_free(&m);
}

int
main(void)
{
    RUN(test_asked_rows_weigh_their_inverse_rate_and_no_more);
    RUN(test_imagined_rows_are_no_examples);
    RUN(test_an_imagined_row_teaches_by_its_answer_alone);
    return check_report();
}
