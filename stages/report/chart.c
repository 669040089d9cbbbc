/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line charts and calibration plots.
 */
#include "stages/report/chart.h"

#include "stages/report/format.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

/* The picture, in units of the view box. */
#define WIDTH       560.0
#define HEIGHT      300.0
#define LEFT        52.0
#define RIGHT       76.0 /* room for the labels of the lines */
#define TOP         34.0
#define BOTTOM      40.0
#define LABEL_SPACE 14.0 /* least distance of two labels */

struct frame {
    double x_low;
    double x_high;
    double y_low;
    double y_high;
    double y_step;
};

static double
place_x(const struct frame *f, double x)
{
    return LEFT +
           (x - f->x_low) / (f->x_high - f->x_low) * (WIDTH - LEFT - RIGHT);
}

static double
place_y(const struct frame *f, double y)
{
    return HEIGHT - BOTTOM -
           (y - f->y_low) / (f->y_high - f->y_low) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, about span / count. */
static double
pick_step(double span, double count)
{
    double raw = span / count;
    double power = pow(10.0, floor(log10(raw)));
    double lead = raw / power;

    if (lead < 1.5)
        return power;
    if (lead < 3.5)
        return 2.0 * power;
    return lead < 7.5 ? 5.0 * power : 10.0 * power;
}

static int
count_digits(double step)
{
    double digits = ceil(-log10(step) - 1e-9);

    return digits > 0.0 ? (int)digits : 0;
}

static void
widen(struct frame *f, double y)
{
    if (!isfinite(y))
        return;
    f->y_low = fmin(f->y_low, y);
    f->y_high = fmax(f->y_high, y);
}

static struct frame
fit_frame(const struct chart *c)
{
    struct frame f = {0.0, 1.0, HUGE_VAL, -HUGE_VAL, 0.0};

    f.x_low = c->x_low;
    f.x_high = c->count > 0 ? c->x[c->count - 1] : f.x_low;
    if (!(f.x_high > f.x_low))
        f.x_high = f.x_low + 1.0;
    for (size_t s = 0; s < c->series_count; s++)
        for (size_t i = 0; i < c->count; i++)
            if (c->x[i] >= c->settled)
                widen(&f, c->series[s].y[i]);
    widen(&f, c->y_low);
    widen(&f, c->y_high);
    if (!(f.y_low <= f.y_high)) {
        f.y_low = 0.0;
        f.y_high = 1.0;
    }
    if (!(f.y_high - f.y_low > 1e-6))
        f.y_high = f.y_low + 1e-3;
    f.y_step = pick_step(f.y_high - f.y_low, 4.0);
    f.y_low = floor(f.y_low / f.y_step + 1e-6) * f.y_step;
    f.y_high = ceil(f.y_high / f.y_step - 1e-6) * f.y_step;
    return f;
}

static void
draw_axes(struct html *h, const struct frame *f, const char *x_label)
{
    double x_step = pick_step(f->x_high - f->x_low, 5.0);
    double x_first = fabs(ceil(f->x_low / x_step - 1e-9)) * x_step;
    int digits = count_digits(f->y_step);
    size_t lines = (size_t)((f->y_high - f->y_low) / f->y_step + 0.5);

    for (size_t i = 0; i <= lines; i++) {
        double y = f->y_low + (double)i * f->y_step;
        double at = place_y(f, y);

        html_format(h,
                    "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" "
                    "x2=\"%.1f\" y2=\"%.1f\"/>",
                    LEFT, at, WIDTH - RIGHT, at);
        html_format(h,
                    "<text class=\"tick end\" x=\"%.1f\" y=\"%.1f\">%.*f"
                    "</text>",
                    LEFT - 8.0, at + 4.0, digits, fabs(y) < 1e-12 ? 0.0 : y);
    }
    for (size_t i = 0; x_first + (double)i * x_step <= f->x_high * 1.0001;
         i++) {
        double x = x_first + (double)i * x_step;

        html_format(h,
                    "<text class=\"tick mid\" x=\"%.1f\" y=\"%.1f\">%s</text>",
                    place_x(f, x), HEIGHT - BOTTOM + 17.0,
                    x_step < 1.0 ? format_fixed(x, count_digits(x_step)).text
                                 : format_count(x).text);
    }
    html_format(h, "<text class=\"tick mid\" x=\"%.1f\" y=\"%.1f\">",
                (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0);
    html_text(h, x_label);
    html_raw(h, "</text>");
}

static void
draw_judged(struct html *h, const struct frame *f, double x)
{
    if (!(x > f->x_low) || !(x < f->x_high))
        return;
    html_format(h,
                "<line class=\"diagonal\" x1=\"%.1f\" y1=\"%.1f\" "
                "x2=\"%.1f\" y2=\"%.1f\"/>",
                place_x(f, x), TOP, place_x(f, x), HEIGHT - BOTTOM);
    html_format(h,
                "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">judged "
                "from here</text>",
                place_x(f, x) + 5.0, HEIGHT - BOTTOM - 6.0);
}

static double
clip(const struct frame *f, double y)
{
    double slack = 0.03 * (f->y_high - f->y_low);

    return fmin(fmax(y, f->y_low - slack), f->y_high + slack);
}

static void
draw_line(struct html *h, const struct frame *f, const struct chart *c,
          const struct chart_series *s)
{
    bool is_down = false; /* the pen */

    html_format(h, "<path class=\"line %s\" d=\"", s->kind);
    for (size_t i = 0; i < c->count; i++) {
        if (!isfinite(s->y[i]) || c->x[i] < f->x_low) {
            is_down = false;
            continue;
        }
        html_format(h, "%c%.1f %.1f", is_down ? 'L' : 'M', place_x(f, c->x[i]),
                    place_y(f, clip(f, s->y[i])));
        is_down = true;
    }
    html_raw(h, "\"/>");
}

static double
last_value(const struct chart_series *s, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (isfinite(s->y[i - 1]))
            return s->y[i - 1];
    return nan("");
}

/* Labels at the right ends of the lines, pushed apart, from the top on. */
static void
draw_labels(struct html *h, const struct frame *f, const struct chart *c)
{
    bool is_drawn[CHART_SERIES_MAX] = {false};
    double at = 0.0;

    for (size_t n = 0; n < c->series_count; n++) {
        size_t best = CHART_SERIES_MAX;
        double best_y = 0.0;

        for (size_t s = 0; s < c->series_count; s++) {
            double y = last_value(&c->series[s], c->count);

            if (is_drawn[s] || !isfinite(y))
                continue;
            y = place_y(f, clip(f, y)) + 4.0;
            if (best == CHART_SERIES_MAX || y < best_y) {
                best = s;
                best_y = y;
            }
        }
        if (best == CHART_SERIES_MAX)
            return;
        is_drawn[best] = true;
        at = n == 0 ? best_y : fmax(best_y, at + LABEL_SPACE);
        html_format(h, "<text class=\"label %s\" x=\"%.1f\" y=\"%.1f\">",
                    c->series[best].kind, WIDTH - RIGHT + 7.0, at);
        html_text(h, c->series[best].label);
        html_raw(h, "</text>");
    }
}

/* A strip over a point that says the values when the mouse is there. */
static void
draw_hint(struct html *h, const struct frame *f, const struct chart *c,
          size_t i)
{
    double left = i > 0 ? (c->x[i - 1] + c->x[i]) / 2.0 : f->x_low;
    double right = i + 1 < c->count ? (c->x[i] + c->x[i + 1]) / 2.0 : f->x_high;

    left = place_x(f, fmax(left, f->x_low));
    right = place_x(f, right);
    html_format(h,
                "<g class=\"hint\"><rect x=\"%.1f\" y=\"%.1f\" "
                "width=\"%.1f\" height=\"%.1f\"/>",
                left, TOP, right - left, HEIGHT - TOP - BOTTOM);
    html_format(h, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                place_x(f, c->x[i]), place_x(f, c->x[i]), TOP, HEIGHT - BOTTOM);
    html_format(h, "<title>after %s", format_count(c->x[i]).text);
    for (size_t s = 0; s < c->series_count; s++) {
        html_raw(h, "\n");
        html_text(h, c->series[s].label);
        html_format(h, ": %s", format_fixed(c->series[s].y[i], c->digits).text);
    }
    html_raw(h, "</title></g>");
}

static void
open_picture(struct html *h, const char *title)
{
    html_format(h, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
                WIDTH, HEIGHT);
    html_text(h, title);
    html_format(h, "\"><text class=\"title\" x=\"%.1f\" y=\"17\">", 4.0);
    html_text(h, title);
    html_raw(h, "</text>");
}

void
chart_draw(struct html *h, const struct chart *c)
{
    struct frame f;

    assert(h != NULL && c != NULL && c->series_count <= CHART_SERIES_MAX);
    f = fit_frame(c);
    open_picture(h, c->title);
    draw_axes(h, &f, c->x_label);
    draw_judged(h, &f, c->judged);
    for (size_t s = 0; s < c->series_count; s++)
        draw_line(h, &f, c, &c->series[s]);
    draw_labels(h, &f, c);
    for (size_t i = 0; i < c->count; i++)
        if (c->x[i] >= f.x_low)
            draw_hint(h, &f, c, i);
    html_raw(h, "</svg>\n");
}

static void
draw_dots(struct html *h, const struct frame *f, const struct chart_dots *m)
{
    html_format(h, "<path class=\"line thin %s\" d=\"", m->kind);
    for (size_t i = 0; i < m->count; i++)
        html_format(h, "%c%.1f %.1f", i > 0 ? 'L' : 'M',
                    place_x(f, m->dots[i].x), place_y(f, m->dots[i].y));
    html_raw(h, "\"/>");
    for (size_t i = 0; i < m->count; i++) {
        html_format(h,
                    "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" "
                    "r=\"4\"><title>",
                    m->kind, place_x(f, m->dots[i].x),
                    place_y(f, m->dots[i].y));
        html_text(h, m->label);
        html_format(h,
                    "\npredicted %.3f\nobserved %.3f\n%s events</title>"
                    "</circle>",
                    m->dots[i].x, m->dots[i].y,
                    format_count(m->dots[i].weight).text);
    }
}

void
chart_draw_calibration(struct html *h, const char *title,
                       const struct chart_dots *models, size_t count)
{
    struct frame f = {0.0, 1.0, 0.0, 1.0, 0.2};
    double at = TOP + 12.0;

    assert(h != NULL && title != NULL);
    open_picture(h, title);
    draw_axes(h, &f, "predicted probability");
    html_format(h,
                "<line class=\"diagonal\" x1=\"%.1f\" y1=\"%.1f\" "
                "x2=\"%.1f\" y2=\"%.1f\"/>",
                place_x(&f, 0.0), place_y(&f, 0.0), place_x(&f, 1.0),
                place_y(&f, 1.0));
    for (size_t m = 0; m < count; m++) {
        if (models[m].count == 0)
            continue;
        draw_dots(h, &f, &models[m]);
        html_format(h, "<text class=\"label %s\" x=\"%.1f\" y=\"%.1f\">",
                    models[m].kind, WIDTH - RIGHT + 7.0, at);
        html_text(h, models[m].label);
        html_raw(h, "</text>");
        at += LABEL_SPACE + 2.0;
    }
    html_raw(h, "</svg>\n");
}
