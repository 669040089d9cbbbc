/* SPDX-License-Identifier: Apache-2.0 */
/* Update rules by their formulas, schedules, clipping; the event clock; and
 * the team of threads. */
#include "stages/model/event_clock.h"
#include "stages/model/helpers.h"
#include "stages/model/optimizer.h"

#include "tests/support/check.h"
#include "tests/support/model_case.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { W = 3 };

static const float start[W] = {0.5F, -1.0F, 2.0F};
static const float g[W] = {0.3F, -0.6F, 0.0F};

static void
apply_row(const struct optimizer *o, const struct pace *p, float *row,
          const float *gradient)
{
    struct row_update u = {row, gradient};

    optimizer_apply_rows(o, p, &u, 1, W);
}

/* Two updates of one row with the same gradient. */
static void
update_twice(const struct optimizer *o, float *row)
{
    memcpy(row, start, sizeof(start));
    memset(row + W, 0, 2 * W * sizeof(*row));
    for (uint64_t t = 1; t <= 2; t++) {
        struct pace p = optimizer_pace(o, 0, t);

        apply_row(o, &p, row, g);
    }
}

static void
test_sgd_subtracts_rate_times_gradient_and_l2(void)
{
    struct optimizer o = case_optimizer(OPTIMIZER_SGD, 0.1F);
    float row[3 * W];

    o.l2 = 0.5F;
    update_twice(&o, row);
    for (size_t i = 0; i < W; i++) {
        double w = (double)start[i];

        for (int k = 0; k < 2; k++)
            w -= 0.1 * ((double)g[i] + 0.5 * w);
        CHECK_NEAR(row[i], w, 1e-6);
    }
}

static void
test_adagrad_has_epsilon_outside_of_the_root(void)
{
    struct optimizer o = case_optimizer(OPTIMIZER_ADAGRAD, 0.1F);
    float row[3 * W];

    o.epsilon = 0.25F;
    update_twice(&o, row);
    for (size_t i = 0; i < W; i++) {
        double d = (double)g[i];
        double w = (double)start[i];

        w -= 0.1 * d / (sqrt(d * d) + 0.25);
        w -= 0.1 * d / (sqrt(2.0 * d * d) + 0.25);
        CHECK_NEAR(row[i], w, 1e-6);
        CHECK_NEAR(row[W + i], 2.0 * d * d, 1e-6);
    }
}

static void
test_rowwise_adagrad_has_one_mean_square_a_row(void)
{
    struct optimizer o = case_optimizer(OPTIMIZER_ROWWISE_ADAGRAD, 0.1F);
    double mean = (0.09 + 0.36) / 3.0;
    float row[3 * W];

    CHECK_INT(optimizer_state_width(o.kind, W), 1);
    update_twice(&o, row);
    CHECK_NEAR(row[W], 2.0 * mean, 1e-6);
    CHECK_NEAR(row[W + 1], 0.0, 0.0);
    for (size_t i = 0; i < W; i++)
        CHECK_NEAR(row[i],
                   (double)start[i] -
                       0.1 * (double)g[i] *
                           (1.0 / sqrt(mean) + 1.0 / sqrt(2.0 * mean)),
                   1e-6);
}

static void
test_adam_corrects_its_moments(void)
{
    struct optimizer o = case_optimizer(OPTIMIZER_ADAM, 0.1F);
    float row[3 * W];

    o.epsilon = 0.01F;
    CHECK_INT(optimizer_state_width(o.kind, W), 2 * W);
    update_twice(&o, row);
    /* With equal gradients both corrected moments are the gradient's own. */
    for (size_t i = 0; i < W; i++) {
        double d = (double)g[i];

        CHECK_NEAR(row[i], (double)start[i] - 2.0 * 0.1 * d / (fabs(d) + 0.01),
                   1e-5);
    }
}

static void
test_row_gradients_are_clipped_by_their_norm(void)
{
    struct optimizer o = case_optimizer(OPTIMIZER_SGD, 1.0F);
    struct pace p = optimizer_pace(&o, 0, 1);
    float row[W] = {0};
    const float large[W] = {30.0F, -40.0F, 0.0F};

    o.clip_norm = 5.0F;
    apply_row(&o, &p, row, large);
    CHECK_NEAR(row[0], -3.0, 1e-6);
    CHECK_NEAR(row[1], 4.0, 1e-6);
    apply_row(&o, &p, row, g); /* below: as it is */
    CHECK_NEAR(row[0], -3.3, 1e-6);
}

static void
test_schedules_rise_then_fall_to_their_end(void)
{
    struct schedule s = {.rate = 1.0F,
                         .rate_final = 0.2F,
                         .warmup_examples = 100,
                         .decay_examples = 1000};

    CHECK_NEAR(schedule_rate(&s, 0), 0.0, 0.0);
    CHECK_NEAR(schedule_rate(&s, 25), 0.25, 1e-9);
    CHECK_NEAR(schedule_rate(&s, 5000), 1.0, 1e-9);
    s.kind = SCHEDULE_LINEAR;
    CHECK_NEAR(schedule_rate(&s, 100), 1.0, 1e-7);
    CHECK_NEAR(schedule_rate(&s, 600), 0.6, 1e-7);
    CHECK_NEAR(schedule_rate(&s, 99999), 0.2, 1e-7);
    s.kind = SCHEDULE_COSINE;
    CHECK_NEAR(schedule_rate(&s, 350), 0.2 + 0.8 * 0.5 * (1.0 + sqrt(0.5)),
               1e-7);
    CHECK_NEAR(schedule_rate(&s, 99999), 0.2, 1e-7);
    s.kind = SCHEDULE_INVERSE_SQRT;
    CHECK_NEAR(schedule_rate(&s, 3100), 0.5, 1e-7);
}

/* ---- The event clock ---- */

static void
test_event_clock_follows_the_median_and_never_goes_back(void)
{
    const int64_t first[] = {500, 0, 300, 400};
    const int64_t later[] = {900, 700, 0, 1000000, 800};
    const int64_t before[] = {1, 2, 3};
    const int64_t unknown[] = {0, 0};
    int64_t scratch[5];
    int64_t clock = event_clock_advance(0, first, 4, scratch, 1000);

    CHECK_INT(clock, 300);
    clock = event_clock_advance(clock, later, 5, scratch, 1000);
    CHECK_INT(clock, 800);
    clock = event_clock_advance(clock, before, 3, scratch, 1000);
    CHECK_INT(clock, 800);
    clock = event_clock_advance(clock, unknown, 2, scratch, 1000);
    CHECK_INT(clock, 800);
    clock = event_clock_advance(clock, later + 3, 1, scratch, 50);
    CHECK_INT(clock, 850);
}

static int
compare_times(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static void
test_event_clock_median_equals_sorting(void)
{
    uint64_t state = 1;

    for (size_t n = 1; n < 40; n++) {
        int64_t times[40];
        int64_t scratch[40];
        int64_t got;

        for (size_t i = 0; i < n; i++)
            times[i] = 2 + (int64_t)(10.0F * (1.0F + case_random(&state)));
        got = event_clock_advance(1, times, n, scratch, 1000);
        qsort(times, n, sizeof(*times), compare_times);
        CHECK_INT(got, times[(n - 1) / 2]);
    }
}

/* ---- Helpers ---- */

struct tally {
    unsigned done[4]; /* each written by its own number */
    atomic_uint all;
};

static void
count_one(void *ctx, size_t number)
{
    struct tally *t = ctx;

    t->done[number]++;
    (void)atomic_fetch_add(&t->all, 1);
}

static void
test_helpers_run_every_number_once_and_wait_for_all(void)
{
    struct error err = {0};
    struct helpers *h = NULL;
    struct tally t = {0};

    CHECK_INT(helpers_new(&h, 4, &err), STATUS_OK);
    for (unsigned i = 1; i <= 2000; i++) {
        helpers_run(h, count_one, &t);
        if (atomic_load(&t.all) != 4 * i)
            CHECK_INT(atomic_load(&t.all), 4 * i);
    }
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(t.done[i], 2000);
    helpers_free(&h);
    CHECK(h == NULL);
    helpers_free(&h);
}

int
main(void)
{
    RUN(test_sgd_subtracts_rate_times_gradient_and_l2);
    RUN(test_adagrad_has_epsilon_outside_of_the_root);
    RUN(test_rowwise_adagrad_has_one_mean_square_a_row);
    RUN(test_adam_corrects_its_moments);
    RUN(test_row_gradients_are_clipped_by_their_norm);
    RUN(test_schedules_rise_then_fall_to_their_end);
    RUN(test_event_clock_follows_the_median_and_never_goes_back);
    RUN(test_event_clock_median_equals_sorting);
    RUN(test_helpers_run_every_number_once_and_wait_for_all);
    return check_report();
}
