/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMIT_EMIT_H
#define EMIT_EMIT_H

#include "stages/stage.h"

/*
 * The sink of the annotate role: writes a batch's dead letters, then its
 * labels, and sends it home. What the logs hold already is not written again:
 * at opening, the last record of each tells the highest source offset.
 */
extern const struct stage_ops emit_stage;

#endif
