/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text format: https://prometheus.io/docs/instrumenting/exposition_formats
 */
#include "daemon/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_MAX 40

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

/* ---- histograms ---- */

void
histogram_init(struct histogram *h, const double *bounds, size_t bound_count)
{
    assert(bound_count > 0 && bound_count <= HISTOGRAM_BUCKETS_MAX);
    memset(h, 0, sizeof(*h));
    h->bounds = bounds;
    h->bound_count = bound_count;
}

void
histogram_add(struct histogram *h, double value)
{
    size_t i = 0;

    while (i < h->bound_count && value > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
}

uint64_t
histogram_count(const struct histogram *h)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= h->bound_count; i++)
        count += h->counts[i];
    return count;
}

double
histogram_quantile(const struct histogram *h, double share)
{
    double wanted = share * (double)histogram_count(h);
    double below = 0;

    assert(share >= 0 && share <= 1);
    if (histogram_count(h) == 0)
        return (double)NAN;
    for (size_t i = 0; i < h->bound_count; i++) {
        double count = (double)h->counts[i];
        double low = i > 0 ? h->bounds[i - 1] : 0;

        if (count > 0 && below + count >= wanted)
            return low + (h->bounds[i] - low) * (wanted - below) / count;
        below += count;
    }
    return h->bounds[h->bound_count - 1];
}

/* ---- text ---- */

static void
put(struct metrics_writer *w, const char *text, size_t n)
{
    if (w->status == STATUS_OK)
        w->status = bytes_append(w->out, text, n, &w->error);
}

static void
put_text(struct metrics_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/* Backslash and line feed are escaped everywhere, quotes in label values. */
static void
put_escaped(struct metrics_writer *w, const char *text, const char *special)
{
    for (;;) {
        size_t n = strcspn(text, special);

        put(w, text, n);
        if (text[n] == '\0')
            return;
        put_text(w, text[n] == '\n' ? "\\n" : text[n] == '"' ? "\\\"" : "\\\\");
        text += n + 1;
    }
}

static void
format_number(char out[NUMBER_MAX], double value)
{
    if (isnan(value))
        (void)snprintf(out, NUMBER_MAX, "NaN");
    else if (isinf(value))
        (void)snprintf(out, NUMBER_MAX, value > 0 ? "+Inf" : "-Inf");
    else if (value == floor(value) && fabs(value) < 9e15)
        (void)snprintf(out, NUMBER_MAX, "%.0f", value);
    else
        (void)snprintf(out, NUMBER_MAX, "%.9g", value);
}

static void
begin_family(struct metrics_writer *w, size_t row)
{
    const struct metric_row *r = &w->rows[row];

    if (w->current == row)
        return;
    assert(w->current == w->row_count || row > w->current);
    w->current = row;
    put_text(w, "# HELP ");
    put_text(w, r->name);
    put_text(w, " ");
    put_escaped(w, r->help, "\\\n");
    put_text(w, "\n# TYPE ");
    put_text(w, r->name);
    put_text(w, " ");
    put_text(w, kind_names[r->kind]);
    put_text(w, "\n");
}

/* One line; le is a histogram's bound, or NULL. */
static void
put_sample(struct metrics_writer *w, const struct metric_row *r,
           const char *suffix, const char *const *values, const char *le,
           double value)
{
    char number[NUMBER_MAX];
    const char *before = "{";

    put_text(w, r->name);
    put_text(w, suffix);
    for (size_t i = 0; i < METRIC_LABELS_MAX && r->labels[i] != NULL; i++) {
        put_text(w, before);
        put_text(w, r->labels[i]);
        put_text(w, "=\"");
        put_escaped(w, values[i], "\\\n\"");
        put_text(w, "\"");
        before = ",";
    }
    if (le != NULL) {
        put_text(w, before);
        put_text(w, "le=\"");
        put_text(w, le);
        put_text(w, "\"");
        before = ",";
    }
    put_text(w, *before == ',' ? "} " : " ");
    format_number(number, value);
    put_text(w, number);
    put_text(w, "\n");
}

void
metrics_begin(struct metrics_writer *w, const struct metric_row *rows,
              size_t row_count, struct bytes *out)
{
    memset(w, 0, sizeof(*w));
    w->rows = rows;
    w->row_count = row_count;
    w->current = row_count;
    w->out = out;
    w->status = STATUS_OK;
    bytes_clear(out);
}

void
metrics_put(struct metrics_writer *w, size_t row, double value,
            const char *const *values)
{
    assert(row < w->row_count);
    assert(w->rows[row].kind != METRIC_KIND_HISTOGRAM);
    begin_family(w, row);
    put_sample(w, &w->rows[row], "", values, NULL, value);
}

void
metrics_put_histogram(struct metrics_writer *w, size_t row,
                      const struct histogram *h, const char *const *values)
{
    const struct metric_row *r = &w->rows[row];
    uint64_t count = 0;

    assert(row < w->row_count && r->kind == METRIC_KIND_HISTOGRAM);
    begin_family(w, row);
    for (size_t i = 0; i <= h->bound_count; i++) {
        char le[NUMBER_MAX];

        count += h->counts[i];
        format_number(le, i < h->bound_count ? h->bounds[i] : (double)INFINITY);
        put_sample(w, r, "_bucket", values, le, (double)count);
    }
    put_sample(w, r, "_sum", values, NULL, h->sum);
    put_sample(w, r, "_count", values, NULL, (double)count);
}

enum status
metrics_end(struct metrics_writer *w, struct error *err)
{
    if (w->status != STATUS_OK)
        *err = w->error;
    return w->status;
}
