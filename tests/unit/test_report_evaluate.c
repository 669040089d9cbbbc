/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/model/quality.h"
#include "stages/report/evaluate.h"

#include "tests/support/check.h"

#include <stdlib.h>

static double
draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

static struct evaluation_spec
make_spec(enum task_kind kind, size_t width, size_t models)
{
    struct evaluation_spec spec = {.task = "liked",
                                   .kind = kind,
                                   .width = width,
                                   .model_count = models,
                                   .models = {"one", "two", "three"},
                                   .replicates = 400,
                                   .seed = 11};

    return spec;
}

static struct evaluation *
make_evaluation(const struct evaluation_spec *spec)
{
    struct evaluation *e = NULL;
    struct error err;

    CHECK_INT(evaluation_new(&e, spec, &err), STATUS_OK);
    return e;
}

static void
add(struct evaluation *e, float outcome, const float *a, const float *b)
{
    const float *logits[] = {a, b};
    struct error err;

    CHECK_INT(evaluation_add(e, outcome, 1.0f, logits, &err), STATUS_OK);
}

/* Rows whose outcome is a coin of sigmoid(truth); the second model sees the
 * truth through noise. */
static void
add_rows(struct evaluation *e, size_t rows, double noise, uint64_t seed)
{
    uint64_t state = seed;

    for (size_t i = 0; i < rows; i++) {
        float truth = (float)(4.0 * draw(&state) - 2.0);
        float blurred = truth + (float)(noise * (draw(&state) - 0.5));
        float outcome = draw(&state) < 1.0 / (1.0 + exp(-(double)truth));

        add(e, outcome, &truth, &blurred);
    }
}

static void
judge(const struct evaluation *e, struct evaluation_result *results)
{
    struct error err;

    CHECK_INT(evaluation_judge(e, results, &err), STATUS_OK);
}

static void
values_are_those_of_a_gauge_and_intervals_hold_them(void)
{
    static struct quality gauge;
    struct evaluation_spec spec = make_spec(TASK_BINARY, 1, 2);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result results[2];
    uint64_t state = 3;

    quality_reset(&gauge);
    for (int i = 0; i < 5000; i++) {
        float z = (float)(4.0 * draw(&state) - 2.0);
        float y = draw(&state) < 1.0 / (1.0 + exp(-(double)z));

        quality_add(&gauge, z, y, 1.0f);
        add(e, y, &z, &z);
    }
    judge(e, results);
    CHECK_NEAR(results[0].measures[EVALUATION_SCORE].value, quality_auc(&gauge),
               0.0);
    CHECK_NEAR(results[0].measures[EVALUATION_CALIBRATION].value,
               quality_calibration(&gauge), 0.0);
    for (size_t k = 0; k < EVALUATION_MEASURES; k++) {
        const struct estimate *x = &results[0].measures[k];

        CHECK(x->low < x->value && x->value < x->high);
        CHECK_NEAR(results[1].differences[k].value, 0.0, 0.0);
        CHECK_NEAR(results[1].differences[k].low, 0.0, 0.0);
        CHECK_NEAR(results[1].differences[k].high, 0.0, 0.0);
        CHECK(isnan(results[0].differences[k].value));
    }
    evaluation_free(&e);
}

/* The log-loss is a mean, so its interval is known: 1.96 deviations of one
 * row, over the root of the rows, to a tenth with 400 replicates. */
static void
the_interval_of_a_mean_has_the_known_width(void)
{
    struct evaluation_spec spec = make_spec(TASK_REGRESSION, 1, 1);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result result;
    const struct estimate *x = &result.measures[EVALUATION_LOSS];
    uint64_t state = 9;
    double sum = 0.0;
    double squares = 0.0;
    double width;

    for (int i = 0; i < 4000; i++) {
        float z = (float)(draw(&state) * 2.0);
        double loss = (double)z * (double)z;

        sum += loss;
        squares += loss * loss;
        add(e, 0.0f, &z, NULL);
    }
    judge(e, &result);
    width = 2.0 * 1.96 * sqrt((squares / 4000.0 - sum * sum / 16e6) / 4000.0);
    CHECK_NEAR(x->value, sum / 4000.0, 1e-9);
    CHECK_NEAR(x->high - x->low, width, 0.15 * width);
    CHECK(isnan(result.measures[EVALUATION_SCORE].value));
    evaluation_free(&e);
}

static void
pairs_show_a_difference_that_intervals_alone_do_not(void)
{
    struct evaluation_spec spec = make_spec(TASK_BINARY, 1, 2);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result r[2];
    const struct estimate *d = &r[1].differences[EVALUATION_SCORE];

    add_rows(e, 20000, 0.7, 5);
    judge(e, r);
    CHECK(r[1].measures[EVALUATION_SCORE].high >
          r[0].measures[EVALUATION_SCORE].low);
    CHECK(d->value < 0.0 && d->high < 0.0 && d->low < d->value);
    evaluation_free(&e);
}

static void
the_same_seed_gives_the_same_results(void)
{
    struct evaluation_spec spec = make_spec(TASK_BINARY, 1, 2);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result a[2];
    struct evaluation_result b[2];

    add_rows(e, 3000, 0.5, 7);
    judge(e, a);
    judge(e, b);
    CHECK_NEAR(a[1].differences[EVALUATION_LOSS].low,
               b[1].differences[EVALUATION_LOSS].low, 0.0);
    evaluation_free(&e);
    spec.seed = 12;
    e = make_evaluation(&spec);
    add_rows(e, 3000, 0.5, 7);
    judge(e, b);
    CHECK(fabs(a[1].differences[EVALUATION_LOSS].low -
               b[1].differences[EVALUATION_LOSS].low) > 0.0);
    evaluation_free(&e);
}

static void
one_class_or_no_row_is_not_judged(void)
{
    struct evaluation_spec spec = make_spec(TASK_BINARY, 1, 1);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result r;
    float z = 0.5f;

    judge(e, &r);
    for (size_t k = 0; k < EVALUATION_MEASURES; k++)
        CHECK(isnan(r.measures[k].value) && isnan(r.measures[k].low));
    for (int i = 0; i < 100; i++)
        add(e, 0.0f, &z, NULL);
    judge(e, &r);
    CHECK(isnan(r.measures[EVALUATION_SCORE].value));
    CHECK(isnan(r.measures[EVALUATION_SCORE].low));
    CHECK(isnan(r.measures[EVALUATION_ENTROPY].value));
    CHECK_NEAR(r.measures[EVALUATION_LOSS].value, log1p(exp(0.5)), 1e-7);
    evaluation_free(&e);
}

static void
classes_are_judged_by_accuracy(void)
{
    struct evaluation_spec spec = make_spec(TASK_CLASS, 3, 1);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result r;
    const float logits[] = {0.0f, 2.0f, 1.0f};

    for (int i = 0; i < 300; i++)
        add(e, (float)(i % 3), logits, NULL);
    judge(e, &r);
    CHECK_NEAR(r.measures[EVALUATION_SCORE].value, 1.0 / 3.0, 1e-12);
    CHECK(r.measures[EVALUATION_SCORE].low < 1.0 / 3.0);
    CHECK(isnan(r.measures[EVALUATION_CALIBRATION].value));
    evaluation_free(&e);
}

static void
table_and_json_say_the_same(void)
{
    struct evaluation_spec spec = make_spec(TASK_BINARY, 1, 2);
    struct evaluation *e = make_evaluation(&spec);
    struct evaluation_result r[2];
    struct bytes json;
    struct error err;
    char *text = NULL;
    size_t len = 0;
    char value[32];
    FILE *f = open_memstream(&text, &len);

    add_rows(e, 1000, 2.0, 5);
    judge(e, r);
    evaluation_print(e, r, f, false);
    (void)fclose(f);
    (void)snprintf(value, sizeof(value), "%.4f",
                   r[1].measures[EVALUATION_SCORE].value);
    CHECK_HAS(text, value);
    CHECK_HAS(text, "1,000 rows, 400 bootstrap replicates");
    free(text);
    bytes_init(&json, 1u << 20);
    CHECK_INT(evaluation_encode_json(e, r, &json, &err), STATUS_OK);
    CHECK_INT(bytes_append(&json, "", 1, &err), STATUS_OK);
    (void)snprintf(value, sizeof(value), "%.17g",
                   r[1].measures[EVALUATION_LOSS].value);
    value[12] = '\0'; /* fewer digits may do */
    CHECK_HAS(json.data, value);
    CHECK_HAS(json.data, "\"difference\": null");
    CHECK_HAS(json.data, "\"normalized_entropy\"");
    bytes_fini(&json);
    evaluation_free(&e);
}

int
main(void)
{
    RUN(values_are_those_of_a_gauge_and_intervals_hold_them);
    RUN(the_interval_of_a_mean_has_the_known_width);
    RUN(pairs_show_a_difference_that_intervals_alone_do_not);
    RUN(the_same_seed_gives_the_same_results);
    RUN(one_class_or_no_row_is_not_judged);
    RUN(classes_are_judged_by_accuracy);
    RUN(table_and_json_say_the_same);
    return check_report();
}
