/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONSUME_CONSUME_H
#define CONSUME_CONSUME_H

#include "stages/stage.h"

/*
 * The source of both roles: reads its log from where the role left off,
 * decodes records into the columns of a batch, and cuts batches by the number
 * of accepted rows. A record that cannot be read becomes a dead letter in the
 * batch. What the train role saw before is skipped. It knows nothing of
 * teachers or models.
 */
extern const struct stage_ops consume_stage;

#endif
