/* SPDX-License-Identifier: Apache-2.0 */
/* The student adapter inside a model's steps. */
#include "stages/model/model.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

static const struct model_task adapter_only[] = {
    {.name = "click", .kind = TASK_BINARY, .classes = 1, .adapter = 8},
};

static void
test_an_adapter_begins_as_the_teacher(void)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective o = case_objective(1.0F, 1.0F);
    struct task_loss losses[2];
    struct tensors after[2];
    uint64_t state = 8;
    struct columns *c = case_columns(&spec, 32);

    case_fill(c, 32, 5, &state);
    spec.dense.schedule.rate = 0.5F;
    for (size_t i = 0; i < 2; i++) {
        struct model *m;
        struct step step;

        if (i == 1)
            spec.tasks = adapter_only;
        m = case_model(&spec);
        model_step(m, c, &o, NULL, &losses[i], &step);
        after[i] = case_take(m, 4096);
        model_free(&m);
    }
    CHECK_NEAR(losses[1].soft, losses[0].soft, 0.0);
    CHECK_INT(losses[0].adapter_rows, 0);
    CHECK_INT(losses[1].adapter_rows, 32);
    CHECK_NEAR(losses[1].adapted, losses[1].unadapted, 0.0);
    /* The student of the first step has learned the same. */
    for (size_t i = 0; i < 12; i++)
        CHECK_NEAR(((float *)case_find(&after[0], "mlp/0/weight", NULL))[i],
                   ((float *)case_find(&after[1], "mlp/0/weight", NULL))[i],
                   0.0);
    CHECK(*(float *)case_find(&after[1], "adapter/click/1/bias", NULL) != 0.0F);
    case_drop(&after[0]);
    case_drop(&after[1]);
    case_columns_free(&c);
}

static void
test_one_that_sees_the_student_begins_without_a_say(void)
{
    static const struct model_task seeing[] = {
        {.name = "click",
         .kind = TASK_BINARY,
         .classes = 1,
         .adapter = 8,
         .adapter_sees_student = true},
    };
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective soft = case_objective(1.0F, 5.0F);
    struct objective hard = case_objective(1.0F, 0.0F);
    struct columns *c = case_columns(&spec, 32);
    struct tensors after[2];
    uint64_t state = 8;

    case_fill(c, 32, 5, &state);
    spec.tasks = seeing;
    spec.dense.schedule.rate = 0.5F;
    for (size_t i = 0; i < 2; i++) {
        struct model *m = case_model(&spec);
        struct step step;

        model_step(m, c, i == 0 ? &soft : &hard, NULL, NULL, &step);
        after[i] = case_take(m, 4096);
        model_free(&m);
    }
    /* The student learned from the outcomes alone, the adapter, too. */
    for (size_t i = 0; i < 12; i++)
        CHECK_NEAR(((float *)case_find(&after[0], "mlp/0/weight", NULL))[i],
                   ((float *)case_find(&after[1], "mlp/0/weight", NULL))[i],
                   1e-7);
    CHECK(*(float *)case_find(&after[0], "adapter/click/1/bias", NULL) != 0.0F);
    case_drop(&after[0]);
    case_drop(&after[1]);
    case_columns_free(&c);
}

/* The adapter's bias after steps of a batch. */
static float
adapters_bias(const struct columns *c, const struct objective *o, size_t hidden,
              size_t steps, struct task_loss *losses)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct model *m;
    struct tensors t;
    struct step step;
    float bias;

    spec.tasks = adapter_only;
    spec.hidden[0] = hidden;
    spec.dense = case_optimizer(OPTIMIZER_ADAGRAD, 0.05F);
    m = case_model(&spec);
    for (size_t i = 0; i < steps; i++)
        model_step(m, c, o, NULL, losses, &step);
    t = case_take(m, 4096);
    bias = *(float *)case_find(&t, "adapter/click/1/bias", NULL);
    case_drop(&t);
    model_free(&m);
    return bias;
}

static void
test_an_adapter_corrects_a_teacher_and_needs_no_student(void)
{
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective soft = case_objective(1.0F, 1.0F);
    struct objective deaf = case_objective(1.0F, 0.0F);
    struct columns *c = case_columns(&spec, 64);
    struct task_loss losses;
    uint64_t state = 8;

    /* One in four is yes, the teacher says nine in ten, some more, some less:
     * it is too sure of itself and of another base rate. */
    case_fill(c, 64, 5, &state);
    for (size_t r = 0; r < 64; r++) {
        c->tasks[0].outcome[r] = r % 4 == 0 ? 1.0F : 0.0F;
        c->tasks[0].teacher[r] = 2.2F + 0.5F * case_random(&state);
    }
    CHECK(adapters_bias(c, &soft, 4, 400, &losses) < -0.2F);
    CHECK(losses.adapted < 0.5 * losses.unadapted);
    /* As good as knowing the rate: its entropy. */
    CHECK_NEAR(losses.adapted / 64.0, 0.5623, 0.02);
    /* What it learns is its own, whatever the student is. */
    CHECK(adapters_bias(c, &soft, 4, 5, &losses) ==
          adapters_bias(c, &soft, 7, 5, &losses));
    CHECK(adapters_bias(c, &deaf, 4, 5, &losses) == 0.0F);
    CHECK_INT(losses.adapter_rows, 0);
    case_columns_free(&c);
}

static void
test_rows_weigh_less_in_soft_losses_alone(void)
{
    static const float none[32];
    struct model_spec spec = case_small_spec(OPTIMIZER_SGD);
    struct objective o = case_objective(1.0F, 1.0F);
    struct objective hard = case_objective(1.0F, 0.0F);
    struct columns *c = case_columns(&spec, 32);
    struct model *weighed;
    struct model *untaught;
    struct tensors a;
    struct tensors b;
    struct step step;
    uint64_t state = 8;

    spec.dense.schedule.rate = 0.5F;
    weighed = case_model(&spec);
    untaught = case_model(&spec);
    case_fill(c, 32, 5, &state);
    c->soft_weight = none;
    for (size_t i = 0; i < 3; i++)
        model_step(weighed, c, &o, NULL, NULL, &step);
    c->soft_weight = NULL;
    for (size_t i = 0; i < 3; i++)
        model_step(untaught, c, &hard, NULL, NULL, &step);
    a = case_take(weighed, 4096);
    b = case_take(untaught, 4096);
    CHECK(case_is_equal(&a, &b));
    case_drop(&a);
    case_drop(&b);
    case_columns_free(&c);
    model_free(&weighed);
    model_free(&untaught);
}

int
main(void)
{
    RUN(test_an_adapter_begins_as_the_teacher);
    RUN(test_one_that_sees_the_student_begins_without_a_say);
    RUN(test_an_adapter_corrects_a_teacher_and_needs_no_student);
    RUN(test_rows_weigh_less_in_soft_losses_alone);
    return check_report();
}
