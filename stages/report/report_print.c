/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report at a terminal.
 */
#include "stages/report/format.h"
#include "stages/report/report.h"

#include "daemon/base/text_table.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define LINE_COLUMNS 96

enum measure_kind {
    MEASURE_UP,    /* quality: more is better */
    MEASURE_DOWN,  /* quality: less is better */
    MEASURE_PLAIN, /* quality: neither */
    MEASURE_COUNT, /* size */
    MEASURE_BYTES, /* size */
    MEASURE_TIME,
};

struct measure {
    const char *label;
    size_t offset; /* of a double in struct report_model */
    enum measure_kind kind;
};

#define MEASURE(label, member, kind)                                           \
    {                                                                          \
        label, offsetof(struct report_model, member), kind                     \
    }

static const struct measure measures[] = {
    MEASURE("AUC", auc, MEASURE_UP),
    MEASURE("log-loss", log_loss, MEASURE_DOWN),
    MEASURE("normalized entropy", normalized_entropy, MEASURE_DOWN),
    MEASURE("calibration", calibration, MEASURE_PLAIN),
    MEASURE("parameters", parameters, MEASURE_COUNT),
    MEASURE("dense parameters", dense_parameters, MEASURE_COUNT),
    MEASURE("row width", row_width, MEASURE_COUNT),
    MEASURE("bytes", bytes, MEASURE_BYTES),
    MEASURE("µs per event, batch 1", us_per_event_batch_1, MEASURE_TIME),
    MEASURE("µs per event, batch 256", us_per_event_batch_256, MEASURE_TIME),
};

static double
read_measure(const struct report_model *m, const struct measure *what)
{
    double value;

    memcpy(&value, (const char *)m + what->offset, sizeof(value));
    return value;
}

static struct short_text
format_measure(enum measure_kind kind, double value)
{
    switch (kind) {
    case MEASURE_UP:
    case MEASURE_DOWN:
    case MEASURE_PLAIN:
        return format_fixed(value, 4);
    case MEASURE_COUNT:
        return format_count(value);
    case MEASURE_BYTES:
        return format_bytes(value);
    case MEASURE_TIME:
        break;
    }
    return format_fixed(value, 2);
}

/* Compression and acceleration as times, quality as a share. */
static void
add_ratio(struct text_table *t, enum measure_kind kind, double model,
          double teacher)
{
    double times = report_ratio(teacher, model);

    if (kind == MEASURE_COUNT || kind == MEASURE_BYTES) {
        text_table_add(t, "%s%s", format_times(times).text,
                       isfinite(times) ? " smaller" : "");
    } else if (kind == MEASURE_TIME) {
        text_table_add(t, "%s%s", format_times(times).text,
                       isfinite(times) ? " faster" : "");
    } else {
        text_table_add(t, "%s",
                       format_percent(report_ratio(model, teacher)).text);
    }
    text_table_style(t, TEXT_FAINT);
}

static void
add_measure(struct text_table *t, const struct report_setting *s,
            const struct measure *what)
{
    double teacher = read_measure(&s->models[CURVE_TEACHER], what);
    double student = read_measure(&s->models[CURVE_STUDENT], what);
    double baseline = read_measure(&s->models[CURVE_BASELINE], what);
    bool is_better = what->kind == MEASURE_UP     ? student > baseline
                     : what->kind == MEASURE_DOWN ? student < baseline
                                                  : false;
    bool is_worse = what->kind == MEASURE_UP     ? student < baseline
                    : what->kind == MEASURE_DOWN ? student > baseline
                                                 : false;

    text_table_add(t, "%s", what->label);
    text_table_add(t, "%s", format_measure(what->kind, teacher).text);
    text_table_add(t, "%s", format_measure(what->kind, student).text);
    if (is_better || is_worse)
        text_table_style(t, is_better ? TEXT_GOOD : TEXT_BAD);
    text_table_add(t, "%s", format_measure(what->kind, baseline).text);
    add_ratio(t, what->kind, student, teacher);
    add_ratio(t, what->kind, baseline, teacher);
}

/* Prints text in lines of LINE_COLUMNS, broken at blanks. */
static void
print_wrapped(FILE *out, const char *text)
{
    while (*text != '\0') {
        size_t len = 0;  /* bytes up to the last blank that fits */
        size_t at = 0;   /* bytes looked at */
        size_t wide = 0; /* characters of them */

        for (; text[at] != '\0' && wide <= LINE_COLUMNS; at++) {
            if (text[at] == ' ')
                len = at;
            wide += ((unsigned char)text[at] & 0xc0) != 0x80;
        }
        if (text[at] == '\0' || len == 0)
            len = at;
        (void)fprintf(out, "%.*s\n", (int)len, text);
        text += len;
        while (*text == ' ')
            text++;
    }
}

static void
print_conclusions(const struct report_setting *s, FILE *out)
{
    char text[REPORT_TEXT_MAX];

    (void)fprintf(out,
                  "transfer ratio η = (student − baseline) / (teacher − "
                  "baseline): AUC %s, log-loss %s\n",
                  format_fixed(report_eta_auc(s), 3).text,
                  format_fixed(report_eta_loss(s), 3).text);
    report_sentence(s, text, sizeof(text));
    print_wrapped(out, text);
    for (size_t i = 0; i < CURVE_MARKS; i++) {
        report_mark_sentence(s, i, text, sizeof(text));
        print_wrapped(out, text);
    }
}

void
report_print_arms(const struct arms_report *a, FILE *out, bool has_color)
{
    char text[REPORT_TEXT_MAX];
    struct text_table t;

    if (a->count == 0)
        return;
    text_table_init(&t, 3);
    text_table_add(&t, "student");
    text_table_add(&t, "%s", "");
    text_table_add(&t, "faded loss");
    text_table_rule(&t);
    for (size_t i = 0; i < a->count; i++) {
        text_table_add(&t, "%s", a->arms[i].name);
        text_table_add(&t, "%s", report_arm_place(a, i));
        text_table_add(&t, "%s", format_fixed(a->arms[i].loss, 4).text);
        if (i == a->ahead)
            text_table_style(&t, TEXT_GOOD);
    }
    (void)fputs("\n", out);
    text_table_print(&t, out, has_color);
    report_arms_sentence(a, text, sizeof(text));
    print_wrapped(out, text);
}

static void
print_setting(const struct report_setting *s, FILE *out, bool has_color)
{
    static const char *const headings[] = {"",         "teacher", "student",
                                           "baseline", "student", "baseline"};
    struct text_table table;

    (void)fprintf(out, "\n%s%s%s, %s events judged", has_color ? "\033[1m" : "",
                  s->name, has_color ? "\033[0m" : "",
                  format_count(s->events).text);
    if (isfinite(s->seconds))
        (void)fprintf(out, ", %s", format_seconds(s->seconds).text);
    (void)fputs("\n", out);
    print_wrapped(out, s->description);
    (void)fputs("\n", out);
    text_table_init(&table, COUNT(headings));
    for (size_t i = 0; i < COUNT(headings); i++)
        text_table_add(&table, "%s%s", headings[i],
                       i > CURVE_MODELS ? "/teacher" : "");
    text_table_rule(&table);
    for (size_t i = 0; i < COUNT(measures); i++)
        add_measure(&table, s, &measures[i]);
    text_table_rule(&table);
    text_table_print(&table, out, has_color);
    (void)fputs("\n", out);
    print_conclusions(s, out);
    report_print_arms(&s->arms, out, has_color);
}

void
report_print(const struct report *r, FILE *out, bool has_color)
{
    assert(r != NULL && out != NULL);
    for (size_t i = 0; i < r->setting_count; i++)
        print_setting(&r->settings[i], out, has_color);
}
