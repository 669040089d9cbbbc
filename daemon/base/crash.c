/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash points of test builds.
 */
#include "daemon/base/crash.h"

#ifdef DISTILLD_CRASH_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_ulong hits; /* of the one point that the environment names */

void
crash_point(const char *name)
{
    const char *wanted = getenv("DISTILLD_CRASHPOINT");
    size_t len = strlen(name);
    unsigned long turn = 1;

    if (wanted == NULL || strncmp(wanted, name, len) != 0)
        return;
    if (wanted[len] == ':')
        turn = strtoul(wanted + len + 1, NULL, 10);
    else if (wanted[len] != '\0')
        return;
    if (atomic_fetch_add(&hits, 1) + 1 == turn)
        (void)raise(SIGKILL);
}

#else

/* ISO C wants something in every file. */
extern int crash_points_are_off;

#endif
