/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/report/timing.h"

#include "daemon/base/clock.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

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
    {.name = "price", .kind = FEATURE_NUMBER, .column = 2},
    {.name = "text", .kind = FEATURE_VECTOR, .column = 3, .width = 3},
};

static const struct model_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .column = 0, .classes = 1},
};

static struct model_spec
make_spec(void)
{
    return (struct model_spec){
        .features = features,
        .feature_count = COUNT(features),
        .tasks = tasks,
        .task_count = COUNT(tasks),
        .has_linear = true,
        .hidden = {64, 32},
        .hidden_count = 2,
        .activation = ACTIVATION_RELU,
        .embedding_deviation = 0.1F,
        .seed = 3,
        .batch_max = 256,
        .threads = 1,
        .dense = case_optimizer(OPTIMIZER_SGD, 0.1F),
        .tables = case_optimizer(OPTIMIZER_SGD, 0.1F),
    };
}

static void
one_event_costs_less_in_a_large_batch(void)
{
    struct model_spec spec = make_spec();
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, 600);
    uint64_t state = 1;
    struct error err;
    double alone = 0.0;
    double together = 0.0;

    case_fill(c, 600, 50, &state);
    CHECK_INT(timing_measure(m, c, 1, 0.02, &alone, &err), STATUS_OK);
    CHECK_INT(timing_measure(m, c, 256, 0.02, &together, &err), STATUS_OK);
    CHECK(together > 0.0 && together < alone);
    case_columns_free(&c);
    model_free(&m);
}

static void
too_few_rows_for_a_batch_are_not_timed(void)
{
    struct model_spec spec = make_spec();
    struct model *m = case_model(&spec);
    struct columns *c = case_columns(&spec, 600);
    uint64_t state = 1;
    struct error err;
    double us = 0.0;

    case_fill(c, 255, 50, &state);
    CHECK_INT(timing_measure(m, c, 256, 0.02, &us, &err), STATUS_OK);
    CHECK(isnan(us));
    case_columns_free(&c);
    model_free(&m);
}

static void
the_clock_only_grows(void)
{
    uint64_t start = clock_now_ns();

    CHECK(clock_now_ns() >= start);
    CHECK(clock_seconds_since(start) >= 0.0);
    CHECK(clock_seconds_since(start) < 60.0);
}

int
main(void)
{
    RUN(one_event_costs_less_in_a_large_batch);
    RUN(too_few_rows_for_a_batch_are_not_timed);
    RUN(the_clock_only_grows);
    return check_report();
}
