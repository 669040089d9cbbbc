/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PUBLISH_PUBLISH_H
#define PUBLISH_PUBLISH_H

#include "stages/stage.h"

/*
 * The sink of the train role: takes checkpoint versions that are due to
 * wherever models are picked up, in order. Now that is a directory of versions
 * (publish.path): model and manifest, without what only training needs.
 */
extern const struct stage_ops publish_stage;

#endif
