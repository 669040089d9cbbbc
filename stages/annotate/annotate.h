/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_ANNOTATE_H
#define ANNOTATE_ANNOTATE_H

#include "stages/stage.h"

/*
 * Asks the teacher for its answers to a batch and hands the batch on, in the
 * order it came. What a teacher is, teacher.h says; this stage only keeps
 * batches moving to and from its thread.
 */
extern const struct stage_ops annotate_stage;

#endif
