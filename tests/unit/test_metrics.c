/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/base/macros.h"
#include "daemon/metrics.h"

#include "tests/support/check.h"

enum {
    EVENTS,
    LAG,
    TIME,
};

static const struct metric_row rows[] = {
    [EVENTS] = {"x_events_total", METRIC_KIND_COUNTER, {NULL}, "Events."},
    [LAG] = {"x_lag", METRIC_KIND_GAUGE, {"topic", "partition"}, "A\nb\\c."},
    [TIME] = {"x_seconds", METRIC_KIND_HISTOGRAM, {"code"}, "Time."},
};

static const double bounds[] = {0.001, 0.01, 0.5};

/* What was written, as a text; `bytes` must be freed. */
static const char *
finish(struct metrics_writer *w, struct bytes *b)
{
    struct error err;

    CHECK_INT(metrics_end(w, &err), STATUS_OK);
    CHECK_INT(bytes_append(b, "", 1, &err), STATUS_OK);
    return b->data;
}

static void
test_text(void)
{
    struct metrics_writer w;
    struct histogram h;
    struct bytes b;
    const char *const evil[] = {"a\"b\\c\nd", "3"};
    const char *const plain[] = {"t", "4"};
    const char *const code[] = {"200"};

    bytes_init(&b, 4096);
    metrics_begin(&w, rows, COUNT(rows), &b);
    metrics_put(&w, EVENTS, 12345678901.0, NULL);
    metrics_put(&w, LAG, 0.25, evil);
    metrics_put(&w, LAG, (double)NAN, plain);
    histogram_init(&h, bounds, COUNT(bounds));
    histogram_add(&h, 0.001); /* a bound belongs to its bucket */
    histogram_add(&h, 0.002);
    histogram_add(&h, 7);
    metrics_put_histogram(&w, TIME, &h, code);
    CHECK_STR(finish(&w, &b),
              "# HELP x_events_total Events.\n"
              "# TYPE x_events_total counter\n"
              "x_events_total 12345678901\n"
              "# HELP x_lag A\\nb\\\\c.\n"
              "# TYPE x_lag gauge\n"
              "x_lag{topic=\"a\\\"b\\\\c\\nd\",partition=\"3\"} 0.25\n"
              "x_lag{topic=\"t\",partition=\"4\"} NaN\n"
              "# HELP x_seconds Time.\n"
              "# TYPE x_seconds histogram\n"
              "x_seconds_bucket{code=\"200\",le=\"0.001\"} 1\n"
              "x_seconds_bucket{code=\"200\",le=\"0.01\"} 2\n"
              "x_seconds_bucket{code=\"200\",le=\"0.5\"} 2\n"
              "x_seconds_bucket{code=\"200\",le=\"+Inf\"} 3\n"
              "x_seconds_sum{code=\"200\"} 7.003\n"
              "x_seconds_count{code=\"200\"} 3\n");
    bytes_fini(&b);
}

static void
test_what_does_not_fit(void)
{
    struct metrics_writer w;
    struct bytes b;
    struct error err;

    bytes_init(&b, 40);
    metrics_begin(&w, rows, COUNT(rows), &b);
    metrics_put(&w, EVENTS, 1, NULL);
    CHECK_INT(metrics_end(&w, &err), STATUS_TOOBIG);
    CHECK(b.used <= 40);
    bytes_fini(&b);
}

static void
test_a_second_page_starts_anew(void)
{
    struct metrics_writer w;
    struct bytes b;

    bytes_init(&b, 4096);
    for (int i = 0; i < 2; i++) {
        metrics_begin(&w, rows, COUNT(rows), &b);
        metrics_put(&w, EVENTS, i, NULL);
    }
    CHECK_STR(finish(&w, &b), "# HELP x_events_total Events.\n"
                              "# TYPE x_events_total counter\n"
                              "x_events_total 1\n");
    bytes_fini(&b);
}

static void
test_quantiles(void)
{
    struct histogram h;

    histogram_init(&h, bounds, COUNT(bounds));
    CHECK(isnan(histogram_quantile(&h, 0.5)));
    for (int i = 0; i < 100; i++)
        histogram_add(&h, 0.005);
    CHECK_NEAR(histogram_quantile(&h, 0.5), 0.0055, 1e-12);
    CHECK_NEAR(histogram_quantile(&h, 1), 0.01, 1e-12);
    for (int i = 0; i < 100; i++)
        histogram_add(&h, 9);
    /* Beyond the last bound nothing is known but that. */
    CHECK_NEAR(histogram_quantile(&h, 0.99), 0.5, 1e-12);
    CHECK_INT(histogram_count(&h), 200);
}

int
main(void)
{
    RUN(test_text);
    RUN(test_what_does_not_fit);
    RUN(test_a_second_page_starts_anew);
    RUN(test_quantiles);
    return check_report();
}
