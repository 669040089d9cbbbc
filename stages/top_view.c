/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of text about a sample.
 */
#include "stages/top_view.h"

#include "stages/report/format.h"

#include "daemon/base/macros.h"
#include "daemon/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#define BOLD   "\033[1m"
#define FAINT  "\033[2m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN  "\033[0m"

#define LINE_MAX_BYTES 1024

#define WIDTH     80
#define LABEL     12
#define TASK_ROWS 5 /* lines of a task */

/* The screen while it is drawn. */
struct view {
    const struct top_screen *screen;
    FILE *out;
    size_t rows; /* drawn */
    char line[LINE_MAX_BYTES];
    size_t used;
};

/* ---- history ---- */

static void
add_value(struct top_series *s, double value)
{
    if (s->count == TOP_HISTORY) {
        memmove(s->values, s->values + 1,
                (TOP_HISTORY - 1) * sizeof(s->values[0]));
        s->count--;
    }
    s->values[s->count++] = value;
}

void
top_history_init(struct top_history *h)
{
    memset(h, 0, sizeof(*h));
    h->cpu_seconds = (double)NAN;
    h->uptime_seconds = (double)NAN;
    h->cpu_share = (double)NAN;
}

void
top_history_add(struct top_history *h, const struct top_sample *s)
{
    double passed;

    if (s->uptime_seconds < h->uptime_seconds)
        top_history_init(h); /* another process */
    passed = s->uptime_seconds - h->uptime_seconds;
    if (passed > 0)
        h->cpu_share = (s->cpu_seconds - h->cpu_seconds) / passed;
    h->cpu_seconds = s->cpu_seconds;
    h->uptime_seconds = s->uptime_seconds;
    add_value(&h->rate, s->roles[TOP_ANNOTATE].is_here
                            ? s->roles[TOP_ANNOTATE].records_rate
                            : s->roles[TOP_TRAIN].records_rate);
    for (size_t i = 0; i < s->task_count; i++) {
        const struct top_model_sample *m = &s->tasks[i].models[TOP_STUDENT];

        /* Up is better, of losses too. */
        add_value(&h->tasks[i],
                  isnan(m->window_score) ? -m->window_loss : m->window_score);
    }
}

/* ---- parts ---- */

static const char *
color(const struct view *v, const char *escape)
{
    return v->screen->has_color ? escape : "";
}

/* Appends to the line; what is too long for it is cut. */
print_like(2, 0) static void put_args(struct view *v, const char *format,
                                      va_list args)
{
    size_t room = sizeof(v->line) - v->used;
    int n = vsnprintf(v->line + v->used, room, format, args);

    if (n > 0)
        v->used += (size_t)n < room ? (size_t)n : room - 1;
}

print_like(2, 3) static void put(struct view *v, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_args(v, format, args);
    va_end(args);
}

/* Prints the line, cut to the screen's width; escape sequences take none of
 * it. A terminal may have more on the line from before. */
static void
end_line(struct view *v)
{
    size_t columns = 0;
    size_t at = 0;

    while (at < v->used) {
        bool is_escape = v->line[at] == '\033';
        size_t n = is_escape ? strcspn(v->line + at, "m") + 1
                             : text_utf8_step(v->line + at, v->used - at);

        if (n == 0) /* a character that a field cut in two */
            v->line[at] = '?';
        n = n > 0 ? n : 1;
        if (is_escape || ++columns <= WIDTH)
            (void)fwrite(v->line + at, 1, n, v->out);
        at += n;
    }
    (void)fputs(v->screen->has_color ? PLAIN "\033[K\n" : "\n", v->out);
    v->used = 0;
    v->rows++;
}

/* Appends, and ends the line. */
print_like(2, 3) static void put_line(struct view *v, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_args(v, format, args);
    va_end(args);
    end_line(v);
}

/* Eight heights between the lowest and the highest value. */
static void
put_spark(struct view *v, const struct top_series *s)
{
    static const char *const bars[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                       "\u2585", "\u2586", "\u2587", "\u2588"};
    double low = (double)INFINITY;
    double high = -(double)INFINITY;

    for (size_t i = 0; i < s->count; i++) {
        if (!isfinite(s->values[i]))
            continue;
        low = s->values[i] < low ? s->values[i] : low;
        high = s->values[i] > high ? s->values[i] : high;
    }
    for (size_t i = 0; i < s->count; i++) {
        double x = s->values[i];
        double share = high > low ? (x - low) / (high - low) : 0;

        put(v, "%s", isfinite(x) ? bars[(size_t)(share * 7.999)] : " ");
    }
}

/* A rate as "12,345/s", or "-" while it is not known. */
static struct short_text
format_rate(double rate)
{
    struct short_text t;

    if (isnan(rate))
        return (struct short_text){"-"};
    t = rate < 9.95 ? format_fixed(rate, 1) : format_count(rate);
    (void)strncat(t.text, "/s", sizeof(t.text) - strlen(t.text) - 1);
    return t;
}

static struct short_text
format_lag(const struct top_role_sample *r)
{
    if (isnan(r->lag))
        return (struct short_text){"-"};
    return r->lag_is_bytes ? format_bytes(r->lag) : format_count(r->lag);
}

/* Milliseconds and seconds with three digits. */
static struct short_text
format_latency(double seconds)
{
    struct short_text t;
    double ms = seconds * 1000;
    int digits = ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0;

    if (isnan(seconds))
        return (struct short_text){"-"};
    if (seconds >= 1)
        return format_seconds(seconds);
    t = format_fixed(ms, digits);
    (void)strncat(t.text, " ms", sizeof(t.text) - strlen(t.text) - 1);
    return t;
}

/* "45 s", "12 min", "3 h 20 min", "5 d 3 h". */
static struct short_text
format_age(double seconds)
{
    struct short_text t = {"-"};
    double minutes = floor(seconds / 60);
    double hours = floor(seconds / 3600);
    double days = floor(seconds / 86400);

    if (isnan(seconds))
        return t;
    if (seconds < 100)
        (void)snprintf(t.text, sizeof(t.text), "%.0f s", seconds);
    else if (minutes < 100)
        (void)snprintf(t.text, sizeof(t.text), "%.0f min", minutes);
    else if (hours < 48)
        (void)snprintf(t.text, sizeof(t.text), "%.0f h %.0f min", hours,
                       minutes - 60 * hours);
    else
        (void)snprintf(t.text, sizeof(t.text), "%.0f d %.0f h", days,
                       hours - 24 * days);
    return t;
}

/* ---- sections ---- */

static void
draw_head(struct view *v)
{
    const struct top_screen *screen = v->screen;
    const struct top_sample *s = screen->sample;

    put_line(v, "%sdistilld top%s  %.60s", color(v, BOLD), color(v, PLAIN),
             screen->url);
    if (screen->trouble != NULL)
        put_line(v, "%sno answer for %s: %.54s%s", color(v, RED),
                 format_age(screen->trouble_seconds).text, screen->trouble,
                 color(v, PLAIN));
    if (s == NULL)
        return;
    if (screen->trouble != NULL)
        put_line(v, "%swhat follows is as old as that%s", color(v, FAINT),
                 color(v, PLAIN));
    put_line(v, "%.24s, %.24s, up %s: %s%s, %s%s", s->name, s->version,
             format_age(s->uptime_seconds).text,
             color(v, s->is_ready ? GREEN : YELLOW), s->state,
             s->is_ready ? "ready" : "not ready", color(v, PLAIN));
    for (size_t i = 0; i < s->reason_count; i++)
        put_line(v, "  %s%.76s%s", color(v, YELLOW), s->reasons[i],
                 color(v, PLAIN));
}

static void
draw_role(struct view *v, const char *name, const struct top_role_sample *r)
{
    if (!r->is_here)
        return;
    put_line(v, "%-*s%12s%14s%12s%11s%9s%10s", LABEL, name,
             format_rate(r->records_rate).text, format_count(r->done).text,
             format_lag(r).text, format_count(r->in_flight).text,
             r->oldest_seconds > 0 ? format_latency(r->oldest_seconds).text
                                   : "-",
             format_count(r->dead_letters).text);
}

static void
draw_flow(struct view *v)
{
    const struct top_sample *s = v->screen->sample;

    put_line(v, "%s%-*s%12s%14s%12s%11s%9s%10s%s", color(v, FAINT), LABEL, "",
             "reads", "done", "lag", "in flight", "oldest", "refused",
             color(v, PLAIN));
    draw_role(v, "annotate", &s->roles[TOP_ANNOTATE]);
    draw_role(v, "train", &s->roles[TOP_TRAIN]);
    if (v->screen->history->rate.count > 1) {
        put(v, "%-*s", LABEL, "reads/s");
        put_spark(v, &v->screen->history->rate);
        end_line(v);
    }
}

/* Who answers, where there are several. */
static void
draw_teachers(struct view *v)
{
    const struct top_sample *s = v->screen->sample;

    for (size_t i = 0; i < s->teacher_count && s->teacher_count > 1; i++) {
        const struct top_teacher_sample *t = &s->teachers[i];

        put_line(v,
                 "  %-18.18s %s answers, %s%s failed%s, p99 %s, version %.16s",
                 t->name, format_count(t->answers).text,
                 color(v, t->failures > 0 ? RED : ""),
                 format_count(t->failures).text, color(v, PLAIN),
                 format_latency(t->p99).text,
                 *t->version != '\0' ? t->version : "-");
    }
}

static void
draw_work(struct view *v)
{
    const struct top_sample *s = v->screen->sample;
    const struct top_role_sample *a = &s->roles[TOP_ANNOTATE];
    const struct top_role_sample *t = &s->roles[TOP_TRAIN];

    if (a->is_here)
        put_line(v, "%-*sp50 %s, p99 %s a batch, %s%s failed%s", LABEL,
                 "teacher", format_latency(a->work_p50).text,
                 format_latency(a->work_p99).text,
                 color(v, a->work_failed > 0 ? RED : ""),
                 format_count(a->work_failed).text, color(v, PLAIN));
    draw_teachers(v);
    if (t->is_here)
        put_line(v, "%-*sp50 %s, p99 %s a batch, loss %s", LABEL, "training",
                 format_latency(t->work_p50).text,
                 format_latency(t->work_p99).text,
                 format_fixed(s->loss, 4).text);
    if (*s->arm_in_force != '\0')
        put_line(v, "%-*s%s in force, %s ahead, %s switches", LABEL, "weight",
                 s->arm_in_force, s->arm_ahead,
                 format_count(s->arm_switches).text);
    if (t->is_here && s->checkpoint_version > 0)
        put_line(v, "%-*sversion %s, %s old, %s examples", LABEL, "checkpoint",
                 format_count(s->checkpoint_version).text,
                 format_age(s->checkpoint_age).text,
                 format_count(s->checkpoint_examples).text);
    else if (t->is_here)
        put_line(v, "%-*snone yet", LABEL, "checkpoint");
    if (s->checkpoint_failures > 0 || s->publish_failures > 0)
        put_line(v, "%-*s%s%s not written, %s not published%s", LABEL, "",
                 color(v, RED), format_count(s->checkpoint_failures).text,
                 format_count(s->publish_failures).text, color(v, PLAIN));
    put(v, "%-*s%s, ", LABEL, "process", format_bytes(s->resident_bytes).text);
    if (!isnan(v->screen->history->cpu_share))
        put(v, "%s %% of a core, ",
            format_fixed(100 * v->screen->history->cpu_share, 0).text);
    put_line(v, "loop late by %s (p99)", format_latency(s->loop_lag_p99).text);
}

static void
draw_quality_line(struct view *v, const char *label, const double *values)
{
    put(v, "  %-26.26s", label);
    for (size_t m = 0; m < TOP_MODELS; m++)
        put_line(v, "%12s", format_fixed(values[m], 4).text);
}

static void
draw_task(struct view *v, const struct top_task_sample *t,
          const struct top_series *series)
{
    bool has_score = *t->score_name != '\0';
    double all[TOP_MODELS];
    double window[TOP_MODELS];
    double loss[TOP_MODELS];
    char label[2 * TOP_TEXT];

    for (size_t m = 0; m < TOP_MODELS; m++) {
        all[m] = t->models[m].score;
        window[m] =
            has_score ? t->models[m].window_score : t->models[m].window_loss;
        loss[m] = t->models[m].loss;
    }
    put_line(v, "%s%-28.28s%12s%12s%12s%s%12s", color(v, BOLD), t->name,
             "teacher", "student", "baseline", color(v, PLAIN), "transfer");
    if (has_score) {
        put(v, "  %-26.26s", t->score_name);
        for (size_t m = 0; m < TOP_MODELS; m++)
            put(v, "%12s", format_fixed(all[m], 4).text);
        put_line(v, "%12s", format_fixed(t->eta_score, 3).text);
    }
    (void)snprintf(label, sizeof(label), "%s, window",
                   has_score ? t->score_name : t->loss_name);
    draw_quality_line(v, label, window);
    draw_quality_line(v, t->loss_name, loss);
    if (series->count > 1) {
        put(v, "  %-26s", "student's window");
        put_spark(v, series);
        end_line(v);
    }
}

void
top_view_draw(const struct top_screen *screen, FILE *out)
{
    struct view v = {.screen = screen, .out = out};
    const struct top_sample *s = screen->sample;

    draw_head(&v);
    if (s == NULL)
        return;
    end_line(&v);
    draw_flow(&v);
    draw_work(&v);
    for (size_t i = 0; i < s->task_count; i++) {
        if (v.rows + TASK_ROWS + 2 > screen->rows) {
            put_line(&v, "%s%zu more tasks%s", color(&v, FAINT),
                     s->task_count - i, color(&v, PLAIN));
            break;
        }
        end_line(&v);
        draw_task(&v, &s->tasks[i], &screen->history->tasks[i]);
    }
}
