/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monotonic clock.
 */
#include "daemon/base/clock.h"

#include <assert.h>
#include <time.h>

uint64_t
clock_now_ns(void)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(failed == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double
clock_seconds_since(uint64_t start_ns)
{
    uint64_t now_ns = clock_now_ns();

    assert(now_ns >= start_ns);
    return (double)(now_ns - start_ns) * 1e-9;
}

int64_t
clock_wall_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
