/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_SUMMARY_H
#define STAGES_SUMMARY_H

#include "stages/pipeline.h"

#include <stdio.h>

/*
 * summary_print writes what a run did for a person: counts of each role (NULL:
 * not of this process), how good the models were on the way, and who is the
 * student where the stream chooses. has_color: out is a terminal. Thread: loop,
 * after both roles ended.
 */
void summary_print(const struct pipeline *annotate,
                   const struct pipeline *train, double seconds, FILE *out,
                   bool has_color);

#endif
