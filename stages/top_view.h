/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_TOP_VIEW_H
#define STAGES_TOP_VIEW_H

#include "stages/top_sample.h"

#include <stdio.h>

/*
 * The screen of `distilld top`: at most 80 columns, plain lines where it has
 * no color. It draws lines, and knows nothing of cursors.
 */

#define TOP_HISTORY 40 /* points of a spark line */

/* What came before: one value a look, oldest first. */
struct top_series {
    double values[TOP_HISTORY];
    size_t count;
};

struct top_history {
    struct top_series rate;                 /* records a second */
    struct top_series tasks[TOP_TASKS_MAX]; /* the student's window */
    double cpu_seconds;                     /* at the look before; NAN */
    double uptime_seconds;
    double cpu_share; /* of one core, between the last two looks; NAN */
};

/* top_history_init makes it empty. */
void top_history_init(struct top_history *h);

/* top_history_add notes what is new. Starts anew when the process did. */
void top_history_add(struct top_history *h, const struct top_sample *s);

struct top_screen {
    const char *url;
    const struct top_sample *sample; /* the last one; NULL: never any */
    const struct top_history *history;
    const char *trouble;    /* why there is none now, or NULL */
    double trouble_seconds; /* since when */
    size_t rows;            /* room; what does not fit is left out */
    bool has_color;
};

/* top_view_draw writes the lines. */
void top_view_draw(const struct top_screen *screen, FILE *out);

#endif
