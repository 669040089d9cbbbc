/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_CHART_H
#define REPORT_CHART_H

#include "stages/report/html.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Charts as inline SVG, colored by the page's style sheet: a series has a
 * class, and the page says what color that is in light and in dark.
 */

#define CHART_SERIES_MAX 4

struct chart_series {
    const char *label;
    const char *kind; /* class: teacher, student, baseline, ... */
    const double *y;  /* (count) NAN leaves a gap */
};

struct chart {
    const char *title;
    const char *x_label;
    const double *x; /* (count) ascending; shared by all series */
    size_t count;
    struct chart_series series[CHART_SERIES_MAX];
    size_t series_count;
    double x_low;   /* where the picture begins */
    double judged;  /* x of a line "judged from here"; NAN: none */
    double settled; /* the range of y is that of points with x from here on:
                       a cold start may leave the picture */
    double y_low;   /* in the picture in any case; NAN: none */
    double y_high;
    int digits; /* of y in tooltips */
};

/* chart_draw puts the chart as one <svg>. */
void chart_draw(struct html *h, const struct chart *c);

/* A group of predictions in a calibration plot. */
struct chart_dot {
    double x;
    double y;
    double weight;
};

struct chart_dots {
    const char *label;
    const char *kind;
    const struct chart_dot *dots;
    size_t count;
};

/* chart_draw_calibration puts observed over predicted shares, with the
 * diagonal that a calibrated model lies on. */
void chart_draw_calibration(struct html *h, const char *title,
                            const struct chart_dots *models, size_t count);

#endif
