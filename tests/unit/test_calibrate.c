/* SPDX-License-Identifier: Apache-2.0 */
/* Scale and shift that outcomes ask for are found, of each kind of task. */
#include "stages/model/calibrate.h"

#include "tests/support/check.h"

#define ROWS 256
#define K    3

static uint64_t state;
static float logits[ROWS * K];
static float outcomes[ROWS];
static uint8_t has_outcome[ROWS];
static float weight[ROWS];
static float sample_rate[ROWS];
static struct outcome_column column;
static double calibration[CALIBRATE_WIDTH];
static double derivatives[CALIBRATE_STATE];

/* Uniform in [0, 1). */
static double
draw(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (double)(state >> 11) / 9007199254740992.0;
}

static void
begin(enum task_kind kind, size_t width)
{
    state = 1;
    column = (struct outcome_column){.kind = kind,
                                     .width = width,
                                     .outcome = outcomes,
                                     .has_outcome = has_outcome};
    for (size_t r = 0; r < ROWS; r++) {
        has_outcome[r] = 1;
        weight[r] = 1.0F;
        sample_rate[r] = 1.0F;
    }
    calibrate_init(calibration, derivatives);
}

static void
learn(size_t stride)
{
    struct calibrate_rows rows = {.outcomes = &column,
                                  .logits = logits,
                                  .stride = stride,
                                  .weight = weight,
                                  .sample_rate = sample_rate,
                                  .count = ROWS};

    calibrate_learn(calibration, derivatives, &rows);
}

/* The truth is scale 3 and shift -1; rows without an outcome say nonsense. */
static void
binary_answers_are_set_right(void)
{
    begin(TASK_BINARY, 1);
    for (size_t i = 0; i < 200; i++) {
        for (size_t r = 0; r < ROWS; r++) {
            double z = 2.0 * (draw() - 0.5);
            double p = 1.0 / (1.0 + exp(1.0 - 3.0 * z));

            logits[r] = (float)z;
            has_outcome[r] = r % 4 != 0;
            outcomes[r] = draw() < p ? 1.0F : 0.0F;
            outcomes[r] = has_outcome[r] != 0 ? outcomes[r] : 1.0F;
        }
        learn(1);
    }
    CHECK_NEAR(calibration[0], 3.0, 0.15);
    CHECK_NEAR(calibration[1], -1.0, 0.08);
    calibrate_answer(calibration, logits, 1);
    CHECK(isfinite(logits[0]));
}

/* Negatives were kept at a rate: z' - log r is what the kept rows show. */
static void
sampling_is_taken_out(void)
{
    begin(TASK_BINARY, 1);
    for (size_t i = 0; i < 200; i++) {
        for (size_t r = 0; r < ROWS;) {
            double z = 2.0 * (draw() - 0.5);
            int is_yes = draw() < 1.0 / (1.0 + exp(-2.0 * z));

            if (!is_yes && draw() >= 0.25)
                continue;
            logits[r] = (float)z;
            sample_rate[r] = 0.25F;
            outcomes[r++] = is_yes ? 1.0F : 0.0F;
        }
        learn(1);
    }
    CHECK_NEAR(calibration[0], 2.0, 0.15);
    CHECK_NEAR(calibration[1], 0.0, 0.08);
}

static void
regression_finds_the_line(void)
{
    begin(TASK_REGRESSION, 1);
    for (size_t i = 0; i < 100; i++) {
        for (size_t r = 0; r < ROWS; r++) {
            double z = draw();

            logits[r] = (float)z;
            outcomes[r] = (float)(2.5 * z + 4.0 + 0.1 * (draw() - 0.5));
        }
        learn(1);
    }
    CHECK_NEAR(calibration[0], 2.5, 0.02);
    CHECK_NEAR(calibration[1], 4.0, 0.02);
}

static void
classes_are_scaled_and_not_shifted(void)
{
    begin(TASK_CLASS, K);
    for (size_t i = 0; i < 200; i++) {
        for (size_t r = 0; r < ROWS; r++) {
            double odds[K];
            double total = 0.0;
            double at = 0.0;
            size_t k = 0;

            for (k = 0; k < K; k++) {
                logits[r * K + k] = (float)(draw() - 0.5);
                odds[k] = exp(4.0 * (double)logits[r * K + k]);
                total += odds[k];
            }
            at = draw() * total;
            for (k = 0; k + 1 < K && at >= odds[k]; k++)
                at -= odds[k];
            outcomes[r] = (float)k;
        }
        learn(K);
    }
    CHECK_NEAR(calibration[0], 4.0, 0.2);
    CHECK_NEAR(calibration[1], 0.0, 0.0);
}

/* Answers that say the opposite of what happens keep their order. */
static void
scale_stays_above_zero(void)
{
    begin(TASK_BINARY, 1);
    for (size_t i = 0; i < 100; i++) {
        for (size_t r = 0; r < ROWS; r++) {
            double z = 4.0 * (draw() - 0.5);

            logits[r] = (float)z;
            outcomes[r] = draw() < 1.0 / (1.0 + exp(2.0 * z)) ? 1.0F : 0.0F;
        }
        learn(1);
    }
    CHECK_NEAR(calibration[0], 0.1, 1e-9);
}

static void
what_is_not_finite_changes_nothing(void)
{
    begin(TASK_BINARY, 1);
    for (size_t r = 0; r < ROWS; r++)
        logits[r] = NAN;
    learn(1);
    CHECK_NEAR(calibration[0], 1.0, 0.0);
    CHECK_NEAR(calibration[1], 0.0, 0.0);
    CHECK(isfinite(derivatives[0]));
}

int
main(void)
{
    RUN(binary_answers_are_set_right);
    RUN(sampling_is_taken_out);
    RUN(regression_finds_the_line);
    RUN(classes_are_scaled_and_not_shifted);
    RUN(scale_stays_above_zero);
    RUN(what_is_not_finite_changes_nothing);
    return check_report();
}
