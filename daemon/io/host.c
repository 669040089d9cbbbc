/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where this process runs.
 */
#include "daemon/io/host.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

void
host_process(char out[HOST_PROCESS_SIZE])
{
    char host[65] = "";
    struct timespec now;

    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(out, HOST_PROCESS_SIZE, "%s-%ld-%llx", host, (long)getpid(),
                   (unsigned long long)now.tv_sec * 1000000000ULL +
                       (unsigned long long)now.tv_nsec);
}
