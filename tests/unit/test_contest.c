/* SPDX-License-Identifier: Apache-2.0 */
/* Which model is put in force, and when. */
#include "stages/model/contest.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define BATCH 256

static uint64_t state;

/* Uniform in [0, 1). */
static double
draw(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* A batch of rows; what is common to all models hides their difference. */
static void
add_batch(struct contest *c, const double *means, double noise)
{
    for (size_t r = 0; r < BATCH; r++) {
        double common = 10.0 * draw();
        double losses[CONTEST_MODELS_MAX];

        for (size_t i = 0; i < c->count; i++)
            losses[i] = common + means[i] + noise * (draw() - 0.5);
        contest_add(c, losses, 1.0);
    }
}

static void
the_better_one_takes_over(void)
{
    static const double means[] = {0.5, 0.45, 0.48};
    struct contest c;

    state = 1;
    contest_init(&c, 3);
    CHECK_INT(c.in_force, 0);
    CHECK(isnan(contest_loss(&c, 0)));
    CHECK_NEAR(contest_lead(&c, 1, 0), 0.0, 0.0);
    for (size_t i = 0; i < 20; i++) {
        add_batch(&c, means, 0.5);
        (void)contest_decide(&c);
    }
    CHECK_INT(c.in_force, 1);
    CHECK(c.switches >= 1);
    CHECK_NEAR(contest_loss(&c, 0) - contest_loss(&c, 1), 0.05, 0.02);
    CHECK(contest_lead(&c, 1, 0) > 3.0);
    CHECK_NEAR(contest_lead(&c, 1, 0), -contest_lead(&c, 0, 1), 1e-9);
}

/* The lead in standard errors is what the two columns of losses give. */
static void
lead_is_that_of_a_paired_test(void)
{
    double difference[BATCH];
    double sums[4] = {0.0}; /* of w, w^2, w d, w d^2 */
    double mean;
    double error;
    struct contest c;

    state = 7;
    contest_init(&c, 2);
    for (size_t r = 0; r < BATCH; r++) {
        double losses[] = {draw() + 0.1, draw()};

        contest_add(&c, losses, 1.0);
        difference[r] = losses[0] - losses[1];
    }
    for (size_t r = 0; r < BATCH; r++) {
        double w = pow(0.98, (double)(BATCH - 1 - r) / 256.0);

        sums[0] += w;
        sums[1] += w * w;
        sums[2] += w * difference[r];
        sums[3] += w * difference[r] * difference[r];
    }
    mean = sums[2] / sums[0];
    error = sqrt((sums[3] / sums[0] - mean * mean) * sums[1]) / sums[0];
    CHECK_NEAR(contest_lead(&c, 1, 0), mean / error, 1e-4);
}

/* Another model must have a lead beyond chance; the first needs none. */
static void
chance_alone_puts_nobody_in_force_for_long(void)
{
    static const double means[] = {0.5, 0.5, 0.5, 0.5};
    size_t others = 0;
    struct contest c;

    state = 3;
    contest_init(&c, 4);
    for (size_t i = 0; i < 2000; i++) {
        add_batch(&c, means, 1.0);
        (void)contest_decide(&c);
        others += c.in_force != 0;
        if (c.in_force != 0)
            CHECK(contest_loss(&c, c.in_force) <= contest_loss(&c, 0));
    }
    CHECK(others < 1500);
    CHECK(c.switches < 200);
}

static void
a_change_of_the_stream_is_followed(void)
{
    static const double good[] = {0.5, 0.4};
    static const double bad[] = {0.5, 0.7};
    struct contest c;
    size_t batches = 0;

    state = 5;
    contest_init(&c, 2);
    for (size_t i = 0; i < 300; i++) {
        add_batch(&c, good, 1.0);
        (void)contest_decide(&c);
    }
    CHECK_INT(c.in_force, 1);
    while (c.in_force == 1 && batches < 300) {
        add_batch(&c, bad, 1.0);
        (void)contest_decide(&c);
        batches++;
    }
    CHECK_INT(c.in_force, 0);
    CHECK(batches < 60);
}

static void
fading_is_by_rows(void)
{
    static const double means[] = {0.5, 0.45};
    struct contest c;

    state = 9;
    contest_init(&c, 2);
    for (size_t i = 0; i < 8; i++)
        add_batch(&c, means, 1.0);
    CHECK_NEAR(c.weight, (1 - pow(0.98, 8)) / (1 - pow(0.98, 1.0 / 256)), 0.5);
}

static void
losses_that_are_not_finite_lose(void)
{
    double losses[] = {0.5, (double)NAN, (double)INFINITY};
    struct contest c;

    contest_init(&c, 3);
    c.in_force = 1;
    for (size_t r = 0; r < BATCH; r++)
        contest_add(&c, losses, 1.0);
    CHECK(contest_decide(&c));
    CHECK_INT(c.in_force, 0);
    CHECK_NEAR(contest_loss(&c, 1), 1e6, 1.0);
    CHECK_NEAR(contest_loss(&c, 2), 1e6, 1.0);
}

int
main(void)
{
    RUN(the_better_one_takes_over);
    RUN(lead_is_that_of_a_paired_test);
    RUN(chance_alone_puts_nobody_in_force_for_long);
    RUN(a_change_of_the_stream_is_followed);
    RUN(fading_is_by_rows);
    RUN(losses_that_are_not_finite_lose);
    return check_report();
}
