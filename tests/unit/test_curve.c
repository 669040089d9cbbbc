/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/model/curve.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define ROWS 50000
#define K    3

/* A stream of rows with a binary, a class and a regression task. */
static float outcome[3][ROWS];
static uint8_t has_outcome[3][ROWS];
static uint8_t has_teacher[3][ROWS];
static float teacher[3][ROWS * K];
static float student[ROWS * (K + 2)];
static float baseline[ROWS * (K + 2)];
static float weight[ROWS];
static float sample_rate[ROWS];
static float ask_weight[ROWS];
static int64_t time_ms[ROWS];

static double
draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

/* Roughly normal, mean 0, deviation 1. */
static float
draw_noise(uint64_t *state)
{
    double sum = 0.0;

    for (int i = 0; i < 12; i++)
        sum += draw(state);
    return (float)(sum - 6.0);
}

/* The baseline gets better along the stream, the student is good at once. */
static void
make_stream(void)
{
    uint64_t state = 42;

    for (size_t r = 0; r < ROWS; r++) {
        float truth = draw_noise(&state);
        float fading = 3.0f * expf(-(float)r / 10000.0f);

        outcome[0][r] = draw(&state) < 1.0 / (1.0 + exp(-(double)truth));
        outcome[1][r] = (float)(r % K);
        outcome[2][r] = truth;
        weight[r] = 1.0f;
        sample_rate[r] = 1.0f;
        ask_weight[r] = 1.0f;
        time_ms[r] = (int64_t)r;
        teacher[0][r] = truth;
        teacher[2][r] = truth + 0.5f;
        student[r * (K + 2)] = truth + 0.5f * draw_noise(&state);
        baseline[r * (K + 2)] =
            truth + fading * draw_noise(&state) + 0.4f * draw_noise(&state);
        for (size_t k = 0; k < K; k++) {
            teacher[1][r * K + k] = 0.0f;
            student[r * (K + 2) + 1 + k] = k == r % K ? 1.0f : 0.0f;
            baseline[r * (K + 2) + 1 + k] = k == 0 ? 1.0f : 0.0f;
        }
        student[r * (K + 2) + 1 + K] = truth + 2.0f;
        baseline[r * (K + 2) + 1 + K] = 0.0f;
        for (size_t t = 0; t < 3; t++) {
            has_outcome[t][r] = 1;
            has_teacher[t][r] = 1;
        }
    }
}

static struct curve_spec
make_spec(void)
{
    struct curve_spec spec = {
        .tasks = {{"liked", TASK_BINARY, 1, 0, true},
                  {"kind", TASK_CLASS, K, 1, true},
                  {"score", TASK_REGRESSION, 1, 2, true}},
        .task_count = 3,
        .has_baseline = true,
        .window = 5000,
        .point_every = 1000,
    };

    return spec;
}

/* Feeds rows [first, last) in batches. */
static void
feed(struct curve *c, size_t first, size_t last, size_t batch)
{
    const struct curve_spec *spec = curve_spec(c);

    for (size_t r = first; r < last; r += batch) {
        struct outcome_column tasks[3];
        struct columns columns = {
            .row_count = last - r < batch ? last - r : batch,
            .task_count = 3,
            .tasks = tasks,
            .weight = weight + r,
            .sample_rate = sample_rate + r,
            .ask_weight = ask_weight + r,
            .time_ms = time_ms + r,
        };

        for (size_t t = 0; t < 3; t++)
            tasks[t] = (struct outcome_column){
                .kind = spec->tasks[t].kind,
                .width = spec->tasks[t].width,
                .outcome = outcome[t] + r,
                .has_outcome = has_outcome[t] + r,
                .teacher = teacher[t] + r * spec->tasks[t].width,
                .has_teacher = has_teacher[t] + r,
            };
        curve_add(c, &columns, student + r * (K + 2),
                  spec->has_baseline ? baseline + r * (K + 2) : NULL);
    }
}

static struct curve *
make_curve(const struct curve_spec *spec)
{
    struct curve *c = NULL;
    struct error err;

    CHECK_INT(curve_new(&c, spec, &err), STATUS_OK);
    return c;
}

static void
everything_is_what_a_plain_gauge_says(void)
{
    static struct quality plain;
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    struct curve_summary s;
    double distance = 0.0;

    quality_reset(&plain);
    for (size_t r = 0; r < ROWS; r++) {
        float z = student[r * (K + 2)];

        quality_add(&plain, z, outcome[0][r], 1.0f);
        distance += fabs(quality_look(z, 1.0f).probability -
                         quality_look(teacher[0][r], 1.0f).probability);
    }
    feed(c, 0, ROWS, 256);
    curve_summarize(c, 0, &s);
    CHECK_INT(s.examples, ROWS);
    CHECK_INT(s.judged, ROWS);
    CHECK_NEAR(s.models[CURVE_STUDENT].score, quality_auc(&plain), 0.0);
    CHECK_NEAR(s.models[CURVE_STUDENT].loss, quality_log_loss(&plain), 0.0);
    CHECK_NEAR(s.models[CURVE_STUDENT].distance, distance / ROWS, 1e-9);
    CHECK_NEAR(s.models[CURVE_TEACHER].distance, 0.0, 0.0);
    CHECK_NEAR(s.eta_score,
               curve_eta(s.models[CURVE_TEACHER].score,
                         s.models[CURVE_STUDENT].score,
                         s.models[CURVE_BASELINE].score),
               0.0);
    CHECK(s.eta_score > 0.0 && s.eta_score < 1.0);
    curve_free(&c);
}

static void
class_and_regression_have_their_own_measures(void)
{
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    struct curve_summary s;
    double e = exp(1.0);

    feed(c, 0, 3000, 100);
    curve_summarize(c, 1, &s);
    CHECK_NEAR(s.models[CURVE_STUDENT].score, 1.0, 0.0);
    CHECK_NEAR(s.models[CURVE_BASELINE].score, 1.0 / 3.0, 1e-12);
    CHECK_NEAR(s.models[CURVE_STUDENT].loss, log(2.0 + e) - 1.0, 1e-9);
    CHECK_NEAR(s.models[CURVE_TEACHER].loss, log(3.0), 1e-9);
    CHECK_NEAR(s.models[CURVE_STUDENT].distance, e / (2.0 + e) - 1.0 / 3.0,
               1e-9);
    CHECK_NEAR(s.models[CURVE_STUDENT].window_score, 1.0, 0.0);
    CHECK(isnan(s.models[CURVE_STUDENT].calibration));
    curve_summarize(c, 2, &s);
    CHECK(isnan(s.models[CURVE_STUDENT].score));
    CHECK(isnan(s.eta_score));
    CHECK_NEAR(s.models[CURVE_STUDENT].loss, 4.0, 1e-5);
    CHECK_NEAR(s.models[CURVE_TEACHER].loss, 0.25, 1e-5);
    CHECK_NEAR(s.models[CURVE_STUDENT].distance, 1.5, 1e-5);
    curve_free(&c);
}

static void
only_rows_that_all_can_be_judged_on_count(void)
{
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    struct curve_summary s;

    for (size_t r = 0; r < 100; r++) {
        has_outcome[0][r] = r % 2 == 0;
        has_teacher[0][r] = r % 5 == 0;
    }
    feed(c, 0, 100, 100);
    for (size_t m = 0; m < CURVE_MODELS; m++)
        CHECK_INT(curve_gauge(c, 0, (enum curve_model)m)->rows, 10);
    curve_free(&c);

    spec.tasks[0].has_teacher = false;
    c = make_curve(&spec);
    feed(c, 0, 100, 100);
    CHECK_INT(curve_gauge(c, 0, CURVE_STUDENT)->rows, 50);
    CHECK_INT(curve_gauge(c, 0, CURVE_TEACHER)->rows, 0);
    curve_summarize(c, 0, &s);
    CHECK(isnan(s.models[CURVE_TEACHER].score));
    CHECK(isnan(s.models[CURVE_STUDENT].distance));
    CHECK(isnan(s.eta_score) && isnan(s.eta_loss));
    curve_free(&c);
    memset(has_outcome[0], 1, sizeof(has_outcome[0]));
    memset(has_teacher[0], 1, sizeof(has_teacher[0]));
}

static void
sampled_rows_are_judged_as_they_are_learned(void)
{
    static struct quality plain;
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);

    quality_reset(&plain);
    for (size_t r = 0; r < 100; r++) {
        sample_rate[r] = 0.25f;
        quality_add(&plain, student[r * (K + 2)] - logf(0.25f), outcome[0][r],
                    1.0f);
    }
    feed(c, 0, 100, 100);
    CHECK_NEAR(quality_log_loss(curve_gauge(c, 0, CURVE_STUDENT)),
               quality_log_loss(&plain), 1e-12);
    for (size_t r = 0; r < 100; r++)
        sample_rate[r] = 1.0f;
    curve_free(&c);
}

static void
asked_rows_weigh_their_inverse_rate_beside_the_teacher(void)
{
    static struct quality plain;
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);

    quality_reset(&plain);
    for (size_t r = 0; r < 100; r++) {
        ask_weight[r] = r % 3 == 0 ? 5.0f : 1.0f;
        quality_add(&plain, student[r * (K + 2)], outcome[0][r], ask_weight[r]);
    }
    feed(c, 0, 100, 100);
    CHECK_NEAR(quality_log_loss(curve_gauge(c, 0, CURVE_STUDENT)),
               quality_log_loss(&plain), 1e-12);
    curve_free(&c);
    spec.tasks[0].has_teacher = false;
    c = make_curve(&spec);
    feed(c, 0, 100, 100);
    CHECK_NEAR(curve_gauge(c, 0, CURVE_STUDENT)->weight, 100.0, 1e-12);
    for (size_t r = 0; r < 100; r++)
        ask_weight[r] = 1.0f;
    curve_free(&c);
}

static void
the_window_forgets_and_the_sums_begin_when_told(void)
{
    static struct quality tail;
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    struct curve_summary s;
    const struct curve_point *points;
    size_t count;

    curve_free(&c);
    spec.judge_from_ms = ROWS - 5000;
    c = make_curve(&spec);
    feed(c, 0, ROWS, 333);
    quality_reset(&tail);
    for (size_t r = ROWS - 5000; r < ROWS; r++)
        quality_add(&tail, student[r * (K + 2)], outcome[0][r], 1.0f);
    curve_summarize(c, 0, &s);
    CHECK_INT(s.judged, 5000);
    CHECK_NEAR(s.models[CURVE_STUDENT].loss, quality_log_loss(&tail), 1e-12);
    /* Ten full slices of 500: exactly the last 5000 rows. */
    CHECK_NEAR(s.models[CURVE_STUDENT].window_loss, quality_log_loss(&tail),
               1e-12);
    /* The bins of a slice are four times as wide. */
    CHECK_NEAR(s.models[CURVE_STUDENT].window_score, quality_auc(&tail), 2e-4);
    points = curve_points(c, 0, &count);
    CHECK_INT(count, 50);
    CHECK(isnan(points[44].loss[CURVE_STUDENT]));
    CHECK(!isnan(points[44].window_loss[CURVE_STUDENT]));
    CHECK(!isnan(points[45].loss[CURVE_STUDENT]));
    curve_free(&c);
}

static void
a_window_between_slices_covers_nine_and_a_part(void)
{
    static struct quality tail;
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    struct curve_summary s;

    /* 94 slices of 500 and 300 rows: the newest 10 slices begin at 42500. */
    feed(c, 0, 47300, 256);
    quality_reset(&tail);
    for (size_t r = 42500; r < 47300; r++)
        quality_add(&tail, student[r * (K + 2)], outcome[0][r], 1.0f);
    curve_summarize(c, 0, &s);
    CHECK_NEAR(s.models[CURVE_STUDENT].window_loss, quality_log_loss(&tail),
               1e-12);
    curve_free(&c);
}

static void
points_thin_out_and_stay_evenly_spaced(void)
{
    struct curve_spec spec = make_spec();
    struct curve *c;
    const struct curve_point *points;
    size_t count;

    spec.point_every = 20;
    c = make_curve(&spec);
    feed(c, 0, ROWS, 256);
    points = curve_points(c, 0, &count);
    CHECK_INT(count, ROWS / 160);
    for (size_t i = 0; i < count; i++)
        CHECK_INT(points[i].examples, 160 * (i + 1));
    curve_free(&c);
}

static void
marks_say_when_the_baseline_has_caught_up(void)
{
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    const struct curve_mark *marks;
    const struct curve_point *points;
    size_t count;

    feed(c, 0, 9000, 256);
    CHECK(isnan(curve_marks(c, 0)[0].score));
    feed(c, 9000, ROWS, 256);
    marks = curve_marks(c, 0);
    points = curve_points(c, 0, &count);
    CHECK_INT(marks[0].examples, 10000);
    CHECK_NEAR(marks[0].score, points[9].window_score[CURVE_STUDENT], 1e-7);
    CHECK(marks[0].as_good_score > 15000 && marks[0].as_good_score < ROWS);
    CHECK(marks[0].as_close_loss > 15000 && marks[0].as_close_loss < ROWS);
    for (size_t i = 9; i < count; i++) {
        bool is_good =
            (double)points[i].window_score[CURVE_BASELINE] >= marks[0].score;

        CHECK(is_good || points[i].examples != marks[0].as_good_score);
        CHECK(!is_good || points[i].examples >= marks[0].as_good_score);
        is_good = (double)(points[i].window_loss[CURVE_TEACHER] -
                           points[i].window_loss[CURVE_BASELINE]) >=
                  marks[0].loss_gap;
        CHECK(is_good || points[i].examples != marks[0].as_close_loss);
        CHECK(!is_good || points[i].examples >= marks[0].as_close_loss);
    }
    curve_free(&c);
}

static struct bytes
encode(const struct curve *c)
{
    struct bytes b;
    struct error err;

    bytes_init(&b, 8u << 20);
    CHECK_INT(curve_encode(c, &b, &err), STATUS_OK);
    return b;
}

/* Written in the middle, read back, gone on with in other batches: the same
 * bytes as in one go. */
static void
a_curve_goes_on_from_its_bytes_exactly(void)
{
    struct curve_spec spec = make_spec();
    struct curve *whole = make_curve(&spec);
    struct curve *first = make_curve(&spec);
    struct curve *second = NULL;
    struct error err;
    struct bytes a;
    struct bytes b;
    struct bytes half;

    weight[17] = 0.3f; /* a bin that is not a whole number */
    feed(whole, 0, ROWS, 256);
    feed(first, 0, 23456, 256);
    half = encode(first);
    CHECK_INT(curve_decode(&second, half.data, half.used, &err), STATUS_OK);
    CHECK(curve_fits(curve_spec(second), &spec));
    feed(second, 23456, ROWS, 199);
    a = encode(whole);
    b = encode(second);
    CHECK_INT(a.used, b.used);
    CHECK(a.used == b.used && memcmp(a.data, b.data, a.used) == 0);
    CHECK(a.used < 200000);
    weight[17] = 1.0f;
    bytes_fini(&a);
    bytes_fini(&b);
    bytes_fini(&half);
    curve_free(&whole);
    curve_free(&first);
    curve_free(&second);
}

static void
damaged_bytes_are_refused_or_harmless(void)
{
    struct curve_spec spec = make_spec();
    struct curve *c = make_curve(&spec);
    struct curve *back = NULL;
    struct error err;
    struct bytes b;
    uint64_t state = 5;

    feed(c, 0, 2000, 256);
    b = encode(c);
    for (size_t len = 0; len < b.used; len += 61) {
        CHECK_INT(curve_decode(&back, b.data, len, &err), STATUS_BADDATA);
        CHECK(back == NULL);
    }
    for (int i = 0; i < 300; i++) {
        size_t at = (size_t)(draw(&state) * (double)b.used);
        char kept = b.data[at];

        b.data[at] = (char)(unsigned char)(draw(&state) * 256.0);
        if (curve_decode(&back, b.data, b.used, &err) == STATUS_OK &&
            curve_fits(curve_spec(back), &spec))
            feed(back, 2000, 2100, 100);
        curve_free(&back);
        b.data[at] = kept;
    }
    bytes_fini(&b);
    curve_free(&c);
}

static void
specs_that_count_otherwise_do_not_fit(void)
{
    struct curve_spec a = make_spec();
    struct curve_spec b = make_spec();

    CHECK(curve_fits(&a, &b));
    b.window = 6000;
    CHECK(!curve_fits(&a, &b));
    b = make_spec();
    b.tasks[1].width = 4;
    CHECK(!curve_fits(&a, &b));
    b = make_spec();
    b.task_count = 2;
    CHECK(!curve_fits(&a, &b));
    b = make_spec();
    b.tasks[2].column = 0;
    CHECK(!curve_fits(&a, &b));
}

static void
no_lead_gives_no_ratio(void)
{
    CHECK_NEAR(curve_eta(0.8, 0.77, 0.76), 0.25, 1e-12);
    CHECK_NEAR(curve_eta(0.54, 0.57, 0.58), 0.25, 1e-12);
    CHECK(isnan(curve_eta(0.8, 0.81, 0.8)));
    CHECK(isnan(curve_eta(nan(""), 0.8, 0.7)));
}

int
main(void)
{
    make_stream();
    RUN(everything_is_what_a_plain_gauge_says);
    RUN(class_and_regression_have_their_own_measures);
    RUN(only_rows_that_all_can_be_judged_on_count);
    RUN(sampled_rows_are_judged_as_they_are_learned);
    RUN(asked_rows_weigh_their_inverse_rate_beside_the_teacher);
    RUN(the_window_forgets_and_the_sums_begin_when_told);
    RUN(a_window_between_slices_covers_nine_and_a_part);
    RUN(points_thin_out_and_stay_evenly_spaced);
    RUN(marks_say_when_the_baseline_has_caught_up);
    RUN(a_curve_goes_on_from_its_bytes_exactly);
    RUN(damaged_bytes_are_refused_or_harmless);
    RUN(specs_that_count_otherwise_do_not_fit);
    RUN(no_lead_gives_no_ratio);
    return check_report();
}
