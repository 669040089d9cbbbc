/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting for operators.
 */
#include "stages/role_stats.h"

#include "stages/role_report.h"

#include "daemon/base/macros.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Seconds; a batch in process takes well below a millisecond, a remote teacher
 * up to its timeout. */
const double role_seconds[ROLE_SECONDS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05,   0.1,     0.25,   0.5,   1,      2.5,   10};

void
role_stats_init(struct role_stats *s)
{
    memset(s, 0, sizeof(*s));
    histogram_init(&s->work, role_seconds, ROLE_SECONDS);
    histogram_init(&s->work_failed, role_seconds, ROLE_SECONDS);
    for (size_t i = 0; i < STATS_TEACHERS; i++)
        histogram_init(&s->teachers[i].seconds, role_seconds, ROLE_SECONDS);
}

void
role_stats_count_dead(struct role_stats *s, enum status why)
{
    enum dead_reason reason = DEAD_OTHER;

    if (why == STATUS_MALFORMED)
        reason = DEAD_MALFORMED;
    else if (why == STATUS_TOOBIG)
        reason = DEAD_TOO_BIG;
    s->dead_letters[reason]++;
}

const char *
dead_reason_name(enum dead_reason reason)
{
    static const char *const names[] = {
        [DEAD_MALFORMED] = "malformed",
        [DEAD_TOO_BIG] = "too_big",
        [DEAD_REJECTED] = "rejected",
        [DEAD_OTHER] = "other",
    };

    return reason < COUNT(names) ? names[reason] : "other";
}

struct teacher_report *
role_report_add_teacher(struct role_report *r)
{
    if (r->teacher_count == REPORT_TEACHERS_MAX)
        return NULL;
    return &r->teachers[r->teacher_count++];
}

struct partition_report *
role_report_add_partition(struct role_report *r)
{
    struct partition_report *p;

    if (r->partition_count == REPORT_PARTITIONS_MAX) {
        r->partitions_left_off++;
        return NULL;
    }
    p = &r->partitions[r->partition_count++];
    *p = (struct partition_report){
        .position = -1, .committed = -1, .end = -1, .log = ""};
    return p;
}

void
role_report_add_obstacle(struct role_report *r, const char *format, ...)
{
    va_list args;

    if (r->obstacle_count == REPORT_OBSTACLES_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(r->obstacles[r->obstacle_count++], REPORT_LINE_MAX, format,
                    args);
    va_end(args);
}
