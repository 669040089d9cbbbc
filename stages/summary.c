/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table at the end of `distilld run`.
 */
#include "stages/summary.h"

#include "stages/report/format.h"
#include "stages/report/report.h"

#include "daemon/base/text_table.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void
print_counts(const struct pipeline *p, const char *what, uint64_t done,
             FILE *out)
{
    const struct role_counts *c = &p->counts;

    (void)fprintf(out, "%s: %s records read, %s %s",
                  p->role == ROLE_ANNOTATE ? "annotate" : "train",
                  format_count((double)c->records).text,
                  format_count((double)done).text, what);
    if (c->skipped > 0)
        (void)fprintf(out, ", %s skipped",
                      format_count((double)c->skipped).text);
    (void)fprintf(out, ", %s dead letters\n",
                  format_count((double)c->dead_letters).text);
}

/* One line of the table: a number of each model. */
static void
add_line(struct text_table *t, const char *label, const struct curve_summary *s,
         size_t offset)
{
    text_table_add(t, "%s", label);
    for (size_t m = 0; m < CURVE_MODELS; m++) {
        double value;

        memcpy(&value, (const char *)&s->models[m] + offset, sizeof(value));
        text_table_add(t, "%s", format_fixed(value, 4).text);
    }
}

static void
print_task(const struct task_settings *task, const struct curve_summary *s,
           FILE *out, bool has_color)
{
    struct text_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return; /* nothing is lost but the table */
    text_table_init(t, 1 + CURVE_MODELS);
    text_table_add(t, "%s", task->name);
    text_table_add(t, "teacher");
    text_table_add(t, "student");
    text_table_add(t, "baseline");
    text_table_rule(t);
    if (task->kind != TASK_REGRESSION)
        add_line(t, task->kind == TASK_BINARY ? "AUC" : "accuracy", s,
                 offsetof(struct curve_quality, score));
    add_line(t,
             task->kind == TASK_BINARY  ? "log-loss"
             : task->kind == TASK_CLASS ? "cross-entropy"
                                        : "mean squared error",
             s, offsetof(struct curve_quality, loss));
    if (task->kind == TASK_BINARY)
        add_line(t, "calibration", s,
                 offsetof(struct curve_quality, calibration));
    (void)fprintf(out, "\n");
    text_table_print(t, out, has_color);
    (void)fprintf(
        out, "%s examples judged; transfer ratio %s\n",
        format_count((double)s->judged).text,
        format_fixed(task->kind == TASK_REGRESSION ? s->eta_loss : s->eta_score,
                     3)
            .text);
    free(t);
}

void
summary_print(const struct pipeline *annotate, const struct pipeline *train,
              double seconds, FILE *out, bool has_color)
{
    const struct pipeline *any = train != NULL ? train : annotate;

    (void)fprintf(out, "\n%s: %s\n", any->settings->name,
                  format_seconds(seconds).text);
    if (annotate != NULL)
        print_counts(annotate, "labels", annotate->counts.labels, out);
    if (train != NULL)
        print_counts(train, "examples", train->counts.examples, out);
    for (size_t i = 0; train != NULL && i < train->settings->task_count; i++)
        print_task(&train->settings->tasks[i], &train->quality[i], out,
                   has_color);
    if (train != NULL)
        report_print_arms(&train->arms, out, has_color);
    (void)fflush(out);
}
