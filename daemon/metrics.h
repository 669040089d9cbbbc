/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Metrics in the text format of Prometheus (0.0.4). What there is to be
 * measured is a table of rows, one a family; whoever knows the numbers writes
 * them, family by family in the order of the table, when somebody asks:
 *
 *     metrics_begin(&w, rows, COUNT(rows), &bytes);
 *     metrics_put(&w, METRIC_LAG, "clicks", "3", 17);
 *     ...
 *     if (metrics_end(&w, &err) != STATUS_OK) ...
 *
 * A family that nothing was put for is left out. Thread: the one that has the
 * writer. Allocates: the bytes, up to their maximum.
 */

enum metric_kind {
    METRIC_KIND_COUNTER, /* only rises; its name ends with _total */
    METRIC_KIND_GAUGE,
    METRIC_KIND_HISTOGRAM,
};

#define METRIC_LABELS_MAX 3

struct metric_row {
    const char *name;
    enum metric_kind kind;
    const char *labels[METRIC_LABELS_MAX]; /* names, up to NULL */
    const char *help;
};

/* A histogram has fixed buckets: how many values were at most each bound. */
#define HISTOGRAM_BUCKETS_MAX 16

struct histogram {
    const double *bounds; /* ascending, borrowed for ever */
    size_t bound_count;
    uint64_t counts[HISTOGRAM_BUCKETS_MAX + 1]; /* the last: beyond all */
    double sum;
};

/* histogram_init makes it empty. Borrows bounds for the histogram's life. */
void histogram_init(struct histogram *h, const double *bounds,
                    size_t bound_count);

/* histogram_add counts one value. Allocates: nothing. */
void histogram_add(struct histogram *h, double value);

/* histogram_count is how many values were added. */
uint64_t histogram_count(const struct histogram *h);

/* histogram_quantile estimates one (0 to 1) as Prometheus does, linearly
 * within a bucket; NAN when it is empty. */
double histogram_quantile(const struct histogram *h, double share);

struct metrics_writer {
    const struct metric_row *rows;
    size_t row_count;
    size_t current; /* row that was put last; row_count: none yet */
    struct bytes *out;
    enum status status;
    struct error error;
};

/* metrics_begin empties out and borrows it, like rows, until metrics_end. */
void metrics_begin(struct metrics_writer *w, const struct metric_row *rows,
                   size_t row_count, struct bytes *out);

/*
 * metrics_put writes one number of a family. values are those of the row's
 * labels, in their order; as many as it has, each in UTF-8, escaped here.
 * Asserts that the families come in the table's order.
 */
void metrics_put(struct metrics_writer *w, size_t row, double value,
                 const char *const *values);

/* metrics_put_histogram is metrics_put for a histogram. */
void metrics_put_histogram(struct metrics_writer *w, size_t row,
                           const struct histogram *h,
                           const char *const *values);

/* metrics_end says whether everything fitted: OK, TOOBIG, NOMEM. */
must_check enum status metrics_end(struct metrics_writer *w, struct error *err);

#endif
