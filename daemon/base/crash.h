/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

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

#else

static inline void
crash_point(const char *name)
{
    (void)name;
}

#endif

#endif
