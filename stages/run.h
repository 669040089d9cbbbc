/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_RUN_H
#define STAGES_RUN_H

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * `distilld run`: the roles of a configuration in one process, from start to
 * end of input or SIGTERM.
 */
struct settings;

struct run_options {
    bool accepts_reset; /* a lost position restarts at the beginning */
    bool migrates;      /* a checkpoint of another shape keeps what matches */
    const char *config_path; /* read again on a reload */
    /* Ends the process at once, when draining takes too long. */
    void (*give_up)(int exit_code);
};

/*
 * run_service opens the roles, runs them, prints progress on a terminal and a
 * summary at the end. OK after end of input or a clean stop; otherwise why it
 * ended. A reload changes settings. Thread: the process's first.
 */
must_check enum status run_service(struct settings *settings,
                                   const struct run_options *options,
                                   struct error *err);

#endif
