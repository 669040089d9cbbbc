/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "stages/stage.h"

/*
 * Learns from batches on the trainer's thread and gives versions that are due
 * to be published. What learning is, trainer.h says; this stage only moves
 * batches and versions.
 */
extern const struct stage_ops train_stage;

#endif
