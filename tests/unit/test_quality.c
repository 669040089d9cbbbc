/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/model/quality.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define ROWS 20000

struct row {
    float logit;
    float outcome;
};

static struct row rows[ROWS];
static struct quality gauge;

static double
draw_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

static double
draw_normal(uint64_t *state)
{
    double u = draw_uniform(state);
    double v = draw_uniform(state);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* Outcomes drawn from sigmoid(truth), logits are truth + noise. */
static void
make_rows(double spread, double noise)
{
    uint64_t state = 7;

    for (size_t i = 0; i < ROWS; i++) {
        double truth = spread * draw_normal(&state);

        rows[i].logit = (float)(truth + noise * draw_normal(&state));
        rows[i].outcome =
            draw_uniform(&state) < quality_look((float)truth, 1.0f).probability
                ? 1.0f
                : 0.0f;
    }
}

static int
by_logit(const void *a, const void *b)
{
    float x = ((const struct row *)a)->logit;
    float y = ((const struct row *)b)->logit;

    return (x > y) - (x < y);
}

/* The exact AUC, by sorting; ties count half. Sorts the rows. */
static double
sorted_auc(void)
{
    double ordered = 0.0;
    double below = 0.0;
    double positives = 0.0;

    qsort(rows, ROWS, sizeof(rows[0]), by_logit);
    for (size_t i = 0; i < ROWS;) {
        size_t j = i;
        double p = 0.0;

        for (; j < ROWS && !(rows[j].logit > rows[i].logit); j++)
            p += (double)rows[j].outcome;
        ordered += p * (below + 0.5 * ((double)(j - i) - p));
        below += (double)(j - i) - p;
        positives += p;
        i = j;
    }
    return ordered / (positives * below);
}

static void
gauge_rows(void)
{
    quality_reset(&gauge);
    for (size_t i = 0; i < ROWS; i++)
        quality_add(&gauge, rows[i].logit, rows[i].outcome, 1.0f);
}

/* The promise of the header is 1e-4; bins are 1/128 of a logit wide. */
static void
auc_equals_sorting(void)
{
    make_rows(1.0, 0.7);
    gauge_rows();
    CHECK_NEAR(quality_auc(&gauge), sorted_auc(), 1e-4);
    make_rows(0.2, 0.0);
    gauge_rows();
    CHECK_NEAR(quality_auc(&gauge), sorted_auc(), 1e-4);
    make_rows(6.0, 1.0);
    gauge_rows();
    CHECK_NEAR(quality_auc(&gauge), sorted_auc(), 1e-4);
}

static void
ties_count_half(void)
{
    quality_reset(&gauge);
    for (int i = 0; i < 10; i++)
        quality_add(&gauge, 0.3f, (float)(i % 2), 1.0f);
    CHECK_NEAR(quality_auc(&gauge), 0.5, 0.0);
}

static void
perfect_and_reversed_orders_are_one_and_zero(void)
{
    quality_reset(&gauge);
    quality_add(&gauge, -1.0f, 0.0f, 1.0f);
    quality_add(&gauge, 1.0f, 1.0f, 1.0f);
    CHECK_NEAR(quality_auc(&gauge), 1.0, 0.0);
    quality_reset(&gauge);
    quality_add(&gauge, -1.0f, 1.0f, 1.0f);
    quality_add(&gauge, 1.0f, 0.0f, 1.0f);
    CHECK_NEAR(quality_auc(&gauge), 0.0, 0.0);
}

static void
loss_entropy_and_calibration_follow_their_formulas(void)
{
    quality_reset(&gauge);
    quality_add(&gauge, 0.0f, 1.0f, 1.0f);
    quality_add(&gauge, logf(3.0f), 0.0f, 3.0f); /* p = 0.75 */
    CHECK_NEAR(quality_log_loss(&gauge), (log(2.0) + 3.0 * log(4.0)) / 4.0,
               1e-7);
    CHECK_NEAR(quality_calibration(&gauge), (0.5 + 3.0 * 0.75) / 1.0, 1e-7);
    CHECK_NEAR(quality_normalized_entropy(&gauge),
               quality_log_loss(&gauge) /
                   (-0.25 * log(0.25) - 0.75 * log(0.75)),
               1e-12);
    CHECK_INT(gauge.rows, 2);
}

static void
one_class_leaves_auc_and_entropy_unsaid(void)
{
    quality_reset(&gauge);
    CHECK(isnan(quality_log_loss(&gauge)));
    CHECK(isnan(quality_auc(&gauge)));
    CHECK(isnan(quality_calibration(&gauge)));
    quality_add(&gauge, 0.5f, 0.0f, 1.0f);
    CHECK(isnan(quality_auc(&gauge)));
    CHECK(isnan(quality_normalized_entropy(&gauge)));
    CHECK(isnan(quality_calibration(&gauge)));
    CHECK_NEAR(quality_log_loss(&gauge), log1p(exp(0.5)), 1e-7);
}

static void
wild_logits_stay_finite(void)
{
    quality_reset(&gauge);
    quality_add(&gauge, NAN, 1.0f, 1.0f);
    CHECK_NEAR(quality_log_loss(&gauge), log(2.0), 1e-12);
    quality_reset(&gauge);
    quality_add(&gauge, INFINITY, 0.0f, 1.0f);
    CHECK_NEAR(quality_log_loss(&gauge), 88.0, 1e-9);
    quality_add(&gauge, -INFINITY, 1.0f, 1.0f);
    CHECK_NEAR(quality_log_loss(&gauge), 88.0, 1e-9);
    CHECK_NEAR(quality_auc(&gauge), 0.0, 0.0);
}

static void
reliability_groups_hold_equal_shares(void)
{
    struct reliability groups[10];
    size_t count;
    double weight = 0.0;

    make_rows(1.0, 0.0);
    gauge_rows();
    count = quality_reliability(&gauge, groups, COUNT(groups));
    CHECK_INT(count, 10);
    for (size_t i = 0; i < count; i++) {
        weight += groups[i].weight;
        CHECK_NEAR(groups[i].weight, ROWS / 10.0, ROWS / 100.0);
        /* Five deviations of a mean of 2000 outcomes. */
        CHECK_NEAR(groups[i].observed, groups[i].predicted, 0.056);
        CHECK(i == 0 || groups[i].predicted > groups[i - 1].predicted);
    }
    CHECK_NEAR(weight, (double)ROWS, 0.0);
    quality_reset(&gauge);
    CHECK_INT(quality_reliability(&gauge, groups, COUNT(groups)), 0);
}

int
main(void)
{
    RUN(auc_equals_sorting);
    RUN(ties_count_half);
    RUN(perfect_and_reversed_orders_are_one_and_zero);
    RUN(loss_entropy_and_calibration_follow_their_formulas);
    RUN(one_class_leaves_auc_and_entropy_unsaid);
    RUN(wild_logits_stay_finite);
    RUN(reliability_groups_hold_equal_shares);
    return check_report();
}
