/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_PROCESS_H
#define IO_PROCESS_H

#include <stdint.h>

/* What this process takes of the machine. */
struct process_usage {
    uint64_t resident_bytes; /* 0: unknown */
    double cpu_seconds;      /* all threads, user and system */
    uint64_t descriptors_max;
};

/* process_measure asks the kernel. Thread: any; reads /proc, not a disk. */
void process_measure(struct process_usage *out);

#endif
