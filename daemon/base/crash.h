/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#include <stddef.h>

/*
 * Named moments at which a test build can be made to die as if by kill -9, so
 * that the nasty ones are certain and not a matter of luck. Builds without
 * DISTILLD_CRASH_POINTS contain nothing of it.
 */

#ifdef DISTILLD_CRASH_POINTS

/*
 * crash_point raises SIGKILL when the environment variable
 * DISTILLD_CRASHPOINT is "name", or "name:n" and this is the n-th time (from
 * 1) that the point is passed. Thread: any.
 */
void crash_point(const char *name);

/* crash_piece cuts a write of n bytes in two, so that a crash point fits
 * between; n itself without crash points. Thread: any. */
static inline size_t
crash_piece(size_t n)
{
    return n / 2 + 1;
}

#else

static inline size_t
crash_piece(size_t n)
{
    return n;
}

static inline void
crash_point(const char *name)
{
    (void)name;
}

#endif

#endif
