/* SPDX-License-Identifier: Apache-2.0 */
/* Ages of labels by the stream's own clock. */
#include "stages/label_age.h"

#include "tests/support/check.h"

enum { ROWS = 8 };

static const int64_t DAY = 86400000;
static const int64_t START = 1700000000000;

static int64_t times[ROWS];
static int64_t scratch[ROWS];
static uint64_t teachers[ROWS];
static uint8_t has_teacher[ROWS];
static float weights[ROWS];
static struct outcome_column task = {.has_teacher = has_teacher};
static struct columns columns = {.row_count = ROWS,
                                 .row_max = ROWS,
                                 .task_count = 1,
                                 .tasks = &task,
                                 .time_ms = times,
                                 .teacher_id = teachers};

/* A batch at a time, all of it answered by one teacher. */
static void
batch(struct label_ages *a, const struct label_age_rule *rule, int64_t at_ms,
      uint64_t teacher)
{
    for (size_t r = 0; r < ROWS; r++) {
        times[r] = at_ms;
        teachers[r] = teacher;
        has_teacher[r] = 1;
    }
    label_ages_weigh(a, rule, &columns, scratch, weights);
}

static void
test_a_version_that_stays_grows_old(void)
{
    const struct label_age_rule rule = {.max_ms = 10 * DAY};
    struct label_ages a = {0};

    for (int64_t day = 0; day <= 10; day++) {
        batch(&a, &rule, START + day * DAY, 7);
        CHECK_NEAR(weights[0], 1.0, 0.0);
        CHECK_INT(a.last_ms, day * DAY);
    }
    CHECK_INT(a.refused, 0);
    batch(&a, &rule, START + 11 * DAY, 7);
    CHECK_NEAR(weights[0], 0.0, 0.0);
    CHECK_NEAR(weights[ROWS - 1], 0.0, 0.0);
    CHECK_INT(a.refused, ROWS);
    /* A new version counts at once, the old one does not again. */
    teachers[3] = 8;
    label_ages_weigh(&a, &rule, &columns, scratch, weights);
    CHECK_NEAR(weights[3], 1.0, 0.0);
    CHECK_NEAR(weights[4], 0.0, 0.0);
}

static void
test_fading_is_linear_in_age(void)
{
    const struct label_age_rule rule = {.max_ms = 8 * DAY, .fades = true};
    struct label_ages a = {0};

    for (int64_t day = 0; day <= 9; day++) {
        batch(&a, &rule, START + day * DAY, 7);
        CHECK_NEAR(weights[0], fmax(0.0, 1.0 - (double)day / 8.0), 1e-6);
    }
}

static void
test_what_has_no_age_counts_in_full(void)
{
    const struct label_age_rule rule = {.max_ms = 8 * DAY};
    struct label_ages a = {0};

    batch(&a, &rule, 0, 7); /* a stream without times */
    CHECK_INT(a.count, 0);
    for (int64_t day = 0; day <= 20; day++) {
        batch(&a, &rule, START + day * DAY, 0); /* answers by nobody */
        CHECK_NEAR(weights[0], 1.0, 0.0);
    }
    CHECK_INT(a.count, 0);
    for (size_t r = 0; r < ROWS; r++) {
        teachers[r] = 9;
        has_teacher[r] = 0; /* named, but did not answer */
    }
    label_ages_weigh(&a, &rule, &columns, scratch, weights);
    CHECK_INT(a.count, 0);
}

static void
test_a_wrong_client_clock_makes_no_teacher_old(void)
{
    const struct label_age_rule rule = {.max_ms = 8 * DAY};
    struct label_ages a = {0};

    batch(&a, &rule, START, 7);
    times[0] = START + 10000 * DAY;
    label_ages_weigh(&a, &rule, &columns, scratch, weights);
    CHECK_INT(a.last_ms, 0);
    batch(&a, &rule, START + 10000 * DAY, 7);
    CHECK_INT(a.last_ms, DAY);
    CHECK_NEAR(weights[0], 1.0, 0.0);
}

static void
test_the_version_unseen_for_longest_is_forgotten(void)
{
    const struct label_age_rule rule = {.max_ms = 1000 * DAY};
    struct label_ages a = {0};

    for (uint64_t v = 1; v <= LABEL_AGES_MAX; v++)
        batch(&a, &rule, START + (int64_t)v * DAY, v);
    batch(&a, &rule, START + 40 * DAY, 1);
    CHECK_INT(a.last_ms, 39 * DAY);
    batch(&a, &rule, START + 41 * DAY, 99);
    CHECK_INT(a.count, LABEL_AGES_MAX);
    batch(&a, &rule, START + 42 * DAY, 1);
    CHECK_INT(a.last_ms, 41 * DAY);
    batch(&a, &rule, START + 43 * DAY, 2); /* it was this one */
    CHECK_INT(a.last_ms, 0);
}

static void
test_another_pass_begins_anew(void)
{
    const struct label_age_rule rule = {.max_ms = 8 * DAY};
    struct label_ages a = {0};

    for (int64_t day = 0; day <= 9; day++)
        batch(&a, &rule, START + day * DAY, 7);
    CHECK_INT(a.refused, ROWS);
    label_ages_rewind(&a);
    batch(&a, &rule, START, 7);
    CHECK_NEAR(weights[0], 1.0, 0.0);
    CHECK_INT(a.last_ms, 0);
    CHECK_INT(a.refused, ROWS);
}

int
main(void)
{
    RUN(test_a_version_that_stays_grows_old);
    RUN(test_fading_is_linear_in_age);
    RUN(test_what_has_no_age_counts_in_full);
    RUN(test_a_wrong_client_clock_makes_no_teacher_old);
    RUN(test_the_version_unseen_for_longest_is_forgotten);
    RUN(test_another_pass_begins_anew);
    return check_report();
}
