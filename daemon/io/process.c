/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getrusage and /proc.
 */
#include "daemon/io/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t
read_resident(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f == NULL)
        return 0;
    if (fscanf(f, "%*s %llu", &pages) != 1)
        pages = 0;
    (void)fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void
process_measure(struct process_usage *out)
{
    struct rusage usage;
    struct rlimit limit;

    memset(out, 0, sizeof(*out));
    out->resident_bytes = read_resident();
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_seconds =
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->descriptors_max = limit.rlim_cur;
}
