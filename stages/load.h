/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_LOAD_H
#define STAGES_LOAD_H

#include "stages/checkpoint/checkpoint.h"
#include "stages/checkpoint/spec.h"
#include "stages/event/spec.h"

#include "daemon/base/error.h"

/*
 * Models out of checkpoints, for answering: a frozen teacher, and whatever
 * eval and report look at.
 */
struct loaded_model {
    struct spec_owned shape;
    struct model *model;
};

/*
 * load_model builds the model with this prefix ("" for the first) as its own
 * manifest describes it, pointed at the columns of these events by name.
 * CONFIG when the events lack one of its features or tasks; `who` begins that
 * message. Blocks.
 */
must_check enum status load_model(struct loaded_model *out,
                                  const struct checkpoint *ck,
                                  const char *prefix,
                                  const struct event_spec *events,
                                  size_t batch_max, size_t threads,
                                  const char *who, struct error *err);

/* loaded_model_fini frees it and clears it; a cleared one is fine. */
void loaded_model_fini(struct loaded_model *m);

#endif
