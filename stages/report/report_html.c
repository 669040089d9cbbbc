/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report as a page: what matters first, then the curves, then every
 * number.
 */
#include "stages/report/chart.h"
#include "stages/report/format.h"
#include "stages/report/report.h"
#include "stages/report/report_style.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A card of what is known; the table below says n/a for the rest. */
static void
put_card(struct html *h, const char *value, const char *label, const char *note,
         bool is_harm)
{
    if (strcmp(value, format_fixed(nan(""), 0).text) == 0)
        return;
    html_raw(h, "<div class=\"card\">");
    html_element(h, "div", is_harm ? "value harm" : "value", value);
    html_element(h, "div", "what", label);
    html_element(h, "div", "note", note);
    html_raw(h, "</div>\n");
}

static void
put_cards(struct html *h, const struct report_setting *s)
{
    const struct report_model *teacher = &s->models[CURVE_TEACHER];
    const struct report_model *student = &s->models[CURVE_STUDENT];
    const struct report_model *baseline = &s->models[CURVE_BASELINE];
    char note[REPORT_TEXT_MAX];

    html_raw(h, "<div class=\"cards\">\n");
    (void)snprintf(note, sizeof(note), "%s, untaught %s",
                   format_fixed(student->auc, 4).text,
                   format_fixed(baseline->auc, 4).text);
    put_card(h, format_change(report_lead_auc(s), 4).text, "AUC", note,
             report_lead_auc(s) < 0.0);
    (void)snprintf(note, sizeof(note), "%s, untaught %s; less is better",
                   format_fixed(student->log_loss, 4).text,
                   format_fixed(baseline->log_loss, 4).text);
    put_card(h, format_change(report_lead_loss(s), 4).text, "log-loss", note,
             report_lead_loss(s) > 0.0);
    (void)snprintf(note, sizeof(note), "of AUC; of log-loss %s",
                   format_percent(report_eta_loss(s)).text);
    put_card(h, format_percent(report_eta_auc(s)).text, "of the teacher's lead",
             note, report_eta_auc(s) < 0.0);
    (void)snprintf(note, sizeof(note), "dense parameters: %s of %s",
                   format_count(student->dense_parameters).text,
                   format_count(teacher->dense_parameters).text);
    put_card(h,
             format_times(report_ratio(teacher->dense_parameters,
                                       student->dense_parameters))
                 .text,
             "smaller", note, false);
    (void)snprintf(note, sizeof(note), "%s µs an event, batch 256; teacher %s",
                   format_fixed(student->us_per_event_batch_256, 2).text,
                   format_fixed(teacher->us_per_event_batch_256, 2).text);
    put_card(h,
             format_times(report_ratio(teacher->us_per_event_batch_256,
                                       student->us_per_event_batch_256))
                 .text,
             "faster", note, false);
    html_raw(h, "</div>\n");
}

/* ---- Curves ---- */

/* Columns of the points, as charts want them. */
struct columns_of_points {
    double x[CURVE_POINTS_MAX];
    double y[CURVE_MODELS][CURVE_POINTS_MAX];
};

static void
draw_models(struct html *h, const struct report_setting *s, const char *title,
            struct columns_of_points *p, int digits)
{
    struct chart c = {
        .title = title,
        .x_label = "events learned",
        .x = p->x,
        .count = s->point_count,
        .series_count = CURVE_MODELS,
        .judged = (double)s->judged_from,
        .settled = (double)s->window,
        .y_low = nan(""),
        .y_high = nan(""),
        .digits = digits,
    };

    for (size_t m = 0; m < CURVE_MODELS; m++)
        c.series[m] = (struct chart_series){
            .label = report_model_name((enum curve_model)m),
            .kind = report_model_name((enum curve_model)m),
            .y = p->y[m],
        };
    if (s->point_count > 0 && c.settled > p->x[s->point_count - 1] / 2.0)
        c.settled = 0.0;
    chart_draw(h, &c);
}

static void
draw_eta(struct html *h, const struct report_setting *s,
         struct columns_of_points *p)
{
    struct chart c = {
        .title = "Transfer ratio η: share of the teacher's lead, so far",
        .x_label = "events learned",
        .x = p->x,
        .count = s->point_count,
        .series = {{.label = "AUC", .kind = "auc", .y = p->y[0]},
                   {.label = "log-loss", .kind = "loss", .y = p->y[1]}},
        .series_count = 2,
        .x_low = (double)s->judged_from,
        .judged = nan(""),
        .settled = (double)s->judged_from + s->events / 10.0,
        .y_low = 0.0,
        .y_high = 0.1,
        .digits = 3,
    };

    chart_draw(h, &c);
}

static double
find_eta(const float values[CURVE_MODELS])
{
    return curve_eta((double)values[CURVE_TEACHER],
                     (double)values[CURVE_STUDENT],
                     (double)values[CURVE_BASELINE]);
}

static void
draw_calibration(struct html *h, const struct report_setting *s)
{
    struct chart_dot dots[CURVE_MODELS][REPORT_BINS];
    struct chart_dots models[CURVE_MODELS];

    for (size_t m = 0; m < CURVE_MODELS; m++) {
        const struct report_model *model = &s->models[m];

        for (size_t i = 0; i < model->bin_count; i++)
            dots[m][i] = (struct chart_dot){.x = model->bins[i].predicted,
                                            .y = model->bins[i].observed,
                                            .weight = model->bins[i].weight};
        models[m] = (struct chart_dots){
            .label = report_model_name((enum curve_model)m),
            .kind = report_model_name((enum curve_model)m),
            .dots = dots[m],
            .count = model->bin_count,
        };
    }
    chart_draw_calibration(h, "Calibration: what happened over what was said",
                           models, CURVE_MODELS);
}

static void
put_charts(struct html *h, const struct report_setting *s)
{
    struct columns_of_points p = {.x = {0.0}};
    char title[REPORT_TEXT_MAX];

    html_raw(h, "<div class=\"charts\">\n");
    for (size_t i = 0; i < s->point_count; i++) {
        p.x[i] = (double)s->points[i].examples;
        for (size_t m = 0; m < CURVE_MODELS; m++)
            p.y[m][i] = (double)s->points[i].window_score[m];
    }
    (void)snprintf(title, sizeof(title), "AUC of the last %s events",
                   format_count((double)s->window).text);
    draw_models(h, s, title, &p, 4);
    for (size_t i = 0; i < s->point_count; i++)
        for (size_t m = 0; m < CURVE_MODELS; m++)
            p.y[m][i] = (double)s->points[i].window_loss[m];
    (void)snprintf(title, sizeof(title), "Log-loss of the last %s events",
                   format_count((double)s->window).text);
    draw_models(h, s, title, &p, 4);
    for (size_t i = 0; i < s->point_count; i++) {
        p.y[0][i] = find_eta(s->points[i].score);
        p.y[1][i] = find_eta(s->points[i].loss);
    }
    draw_eta(h, s, &p);
    draw_calibration(h, s);
    html_raw(h, "</div>\n");
}

/* ---- Every number ---- */

/* Cells of one row; ratio is of the model to the teacher, or NAN. */
struct row {
    const char *label;
    struct short_text cells[CURVE_MODELS];
    struct short_text ratios[CURVE_MODELS]; /* the teacher's stays empty */
};

static void
put_row(struct html *h, const struct row *r)
{
    html_raw(h, "<tr><th scope=\"row\">");
    html_text(h, r->label);
    html_raw(h, "</th>");
    for (size_t m = 0; m < CURVE_MODELS; m++) {
        html_raw(h, "<td>");
        html_text(h, r->cells[m].text);
        if (r->ratios[m].text[0] != '\0')
            html_element(h, "span", "ratio", r->ratios[m].text);
        html_raw(h, "</td>");
    }
    html_raw(h, "</tr>\n");
}

static void
put_quality_row(struct html *h, const char *label, double teacher,
                double student, double baseline)
{
    const double values[CURVE_MODELS] = {teacher, student, baseline};
    struct row r = {.label = label};

    for (size_t m = 0; m < CURVE_MODELS; m++) {
        r.cells[m] = format_fixed(values[m], 4);
        if (m != CURVE_TEACHER)
            r.ratios[m] = format_percent(report_ratio(values[m], teacher));
    }
    put_row(h, &r);
}

typedef struct short_text (*format_fn)(double value);

static struct short_text
format_time(double us)
{
    return format_fixed(us, 2);
}

/* The ratio the other way round: how many times smaller or faster. */
static void
put_cost_row(struct html *h, const char *label, format_fn format,
             double teacher, double student, double baseline)
{
    const double values[CURVE_MODELS] = {teacher, student, baseline};
    struct row r = {.label = label};

    for (size_t m = 0; m < CURVE_MODELS; m++) {
        r.cells[m] = format(values[m]);
        if (m != CURVE_TEACHER)
            r.ratios[m] = format_times(report_ratio(teacher, values[m]));
    }
    put_row(h, &r);
}

static void
put_table(struct html *h, const struct report_setting *s)
{
    const struct report_model *t = &s->models[CURVE_TEACHER];
    const struct report_model *m = &s->models[CURVE_STUDENT];
    const struct report_model *b = &s->models[CURVE_BASELINE];

    html_raw(h, "<div class=\"scroll\"><table><thead><tr><th></th>"
                "<th class=\"teacher\">teacher</th>"
                "<th class=\"student\">student</th>"
                "<th class=\"baseline\">baseline</th></tr></thead><tbody>\n");
    put_quality_row(h, "AUC", t->auc, m->auc, b->auc);
    put_quality_row(h, "log-loss", t->log_loss, m->log_loss, b->log_loss);
    put_quality_row(h, "normalized entropy", t->normalized_entropy,
                    m->normalized_entropy, b->normalized_entropy);
    put_quality_row(h, "calibration", t->calibration, m->calibration,
                    b->calibration);
    put_cost_row(h, "parameters", format_count, t->parameters, m->parameters,
                 b->parameters);
    put_cost_row(h, "dense parameters", format_count, t->dense_parameters,
                 m->dense_parameters, b->dense_parameters);
    put_cost_row(h, "row width", format_count, t->row_width, m->row_width,
                 b->row_width);
    put_cost_row(h, "bytes", format_bytes, t->bytes, m->bytes, b->bytes);
    put_cost_row(h, "µs per event, batch 1", format_time,
                 t->us_per_event_batch_1, m->us_per_event_batch_1,
                 b->us_per_event_batch_1);
    put_cost_row(h, "µs per event, batch 256", format_time,
                 t->us_per_event_batch_256, m->us_per_event_batch_256,
                 b->us_per_event_batch_256);
    html_raw(h, "</tbody></table></div>\n");
}

/* Of soft_weight auto: who is the student, and how all of them stand. */
static void
put_arms(struct html *h, const struct arms_report *a)
{
    char text[REPORT_TEXT_MAX];

    if (a->count == 0)
        return;
    report_arms_sentence(a, text, sizeof(text));
    html_element(h, "p", "meaning", text);
    html_raw(h, "<div class=\"scroll\"><table><thead><tr><th>student</th>"
                "<th></th><th>faded loss</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < a->count; i++) {
        html_raw(h, "<tr><th scope=\"row\">");
        html_text(h, a->arms[i].name);
        html_raw(h, "</th>");
        html_element(h, "td", "", report_arm_place(a, i));
        html_element(h, "td", "", format_fixed(a->arms[i].loss, 4).text);
        html_raw(h, "</tr>\n");
    }
    html_raw(h, "</tbody></table></div>\n");
}

static void
put_setting(struct html *h, const struct report_setting *s)
{
    char text[REPORT_TEXT_MAX];
    char name[REPORT_NAME_MAX];

    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = s->name[i];
    for (char *c = strchr(name, '_'); c != NULL; c = strchr(c, '_'))
        *c = ' ';
    html_raw(h, "<section>\n");
    html_element(h, "h2", "", name);
    (void)snprintf(text, sizeof(text), "%s %s events judged.", s->description,
                   format_count(s->events).text);
    html_element(h, "p", "setting", text);
    put_cards(h, s);
    report_sentence(s, text, sizeof(text));
    html_element(h, "p", "meaning", text);
    for (size_t i = 0; i < CURVE_MARKS; i++) {
        report_mark_sentence(s, i, text, sizeof(text));
        if (text[0] != '\0')
            html_element(h, "p", "mark", text);
    }
    put_charts(h, s);
    put_table(h, s);
    put_arms(h, &s->arms);
    html_raw(h, "</section>\n");
}

static void
put_notes(struct html *h)
{
    html_raw(
        h,
        "<footer><h2>How to read this</h2><dl>\n"
        "<dt>Predict first, then learn</dt><dd>Every answer was given before "
        "the model learned from that event, so nothing here was measured on "
        "what had been learned. All three are judged on the same events."
        "</dd>\n"
        "<dt>Baseline</dt><dd>The student once more, with the same first "
        "values, features and order, but without the teacher's answers. What "
        "student and baseline differ by is what distillation adds.</dd>\n"
        "<dt>AUC</dt><dd>How often an event with a positive outcome was "
        "ranked above one without; 0.5 is chance.</dd>\n"
        "<dt>Log-loss, normalized entropy</dt><dd>Mean surprise at the "
        "outcomes, and the same as a share of what the mean rate alone would "
        "leave; less is better.</dd>\n"
        "<dt>Calibration</dt><dd>Predicted over observed positives; 1 is "
        "right.</dd>\n"
        "<dt>Transfer ratio η</dt><dd>(student − baseline) / (teacher − "
        "baseline): 0 is nothing, 1 is all of the teacher's lead.</dd>\n"
        "<dt>Where the taught student was</dt><dd>Compared over the last "
        "events before each point. The stream is not equally hard everywhere, "
        "so the distance to the teacher on the same events says more than the "
        "AUC itself, and a few thousand events more or less mean little.</dd>"
        "\n"
        "</dl></footer>\n");
}

enum status
report_encode_html(const struct report *r, struct bytes *out, struct error *err)
{
    struct html h;

    assert(r != NULL && out != NULL && err != NULL);
    html_init(&h, out, err);
    html_raw(&h, "<!DOCTYPE html>\n<html lang=\"en\"><head>"
                 "<meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width, "
                 "initial-scale=1\">"
                 "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    html_text(&h, r->title);
    html_raw(&h, "</title><style>\n");
    html_raw(&h, report_style);
    html_raw(&h, "</style></head><body><main>\n");
    html_element(&h, "h1", "", r->title);
    if (isfinite(r->seconds)) {
        char text[REPORT_TEXT_MAX];

        (void)snprintf(text, sizeof(text), "All of it took %s.",
                       format_seconds(r->seconds).text);
        html_element(&h, "p", "setting", text);
    }
    for (size_t i = 0; i < r->setting_count; i++)
        put_setting(&h, &r->settings[i]);
    put_notes(&h);
    html_raw(&h, "</main></body></html>\n");
    return h.st;
}
