/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_COMMANDS_H
#define STAGES_COMMANDS_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * The subcommands that look at what `distilld run` left. Each writes what was
 * asked for to out; all block. Thread: the process's first.
 */

struct inspect_options {
    const char *path; /* a version's directory, or one with `latest` */
    const char *ids;  /* feature, or NULL */
    bool verifies;
};

must_check enum status inspect_command(const struct inspect_options *options,
                                       FILE *out, struct error *err);

#endif
