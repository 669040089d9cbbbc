/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of a replay.
 */
#include "stages/replay/pace.h"

void
pace_start(struct pace *p, uint64_t now_ns)
{
    p->start_ns = now_ns;
    p->due_ns = now_ns;
    p->count = 0;
    p->has_first = false;
}

void
pace_again(struct pace *p)
{
    if (p->speed <= 0)
        return;
    p->start_ns = p->due_ns;
    p->has_first = false;
}

uint64_t
pace_due(struct pace *p, bool has_time, int64_t time_ms)
{
    uint64_t n = p->count++;

    if (p->rate > 0) {
        p->due_ns = p->start_ns + (uint64_t)((double)n * 1e9 / p->rate);
        return p->due_ns;
    }
    if (p->speed <= 0 || !has_time)
        return p->due_ns;
    if (!p->has_first) {
        p->has_first = true;
        p->first_ms = time_ms;
        p->latest_ms = time_ms;
    }
    if (time_ms > p->latest_ms)
        p->latest_ms = time_ms;
    p->due_ns = p->start_ns + (uint64_t)((double)(p->latest_ms - p->first_ms) *
                                         1e6 / p->speed);
    return p->due_ns;
}
