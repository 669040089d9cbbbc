/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_SHAPE_H
#define STAGES_SHAPE_H

#include "stages/checkpoint/spec.h"
#include "stages/event/spec.h"
#include "stages/model/model.h"

#include "daemon/base/error.h"

/*
 * From settings to the plain structs that decoder and models are made of, so
 * that neither of them knows a setting. Thread: any; nothing changes after
 * creation.
 */

struct settings;
struct event_shape;

/* event_shape_new makes the decoder's spec; keeps a borrow of settings. */
must_check enum status event_shape_new(struct event_shape **out,
                                       const struct settings *s,
                                       struct error *err);
void event_shape_free(struct event_shape **self);

/* event_shape_spec lends the spec, until event_shape_free. */
const struct event_spec *event_shape_spec(const struct event_shape *e);

enum model_role {
    MODEL_STUDENT, /* and the baseline, its shadow */
    MODEL_TEACHER,
};

/*
 * model_shape_new makes the spec of a model as the settings say: its features
 * are those that it may see, columns as in the decoder's spec. batch_max and
 * threads as given. Free with spec_fini.
 */
must_check enum status model_shape_new(struct spec_owned *out,
                                       const struct settings *s,
                                       enum model_role role, size_t batch_max,
                                       size_t threads, struct error *err);

/*
 * model_shape_bind points a spec that came from a checkpoint to the columns of
 * these events, by name. CONFIG names the first feature or task that is not
 * there, or is of another kind or width; `who` begins the message.
 */
must_check enum status model_shape_bind(struct spec_owned *spec,
                                        const struct event_spec *events,
                                        const char *who, struct error *err);

/* objectives_fill writes what each task's step minimizes: (task_count) in the
 * order of settings; has_teacher false: the baseline, outcomes alone. A soft
 * weight that is chosen is 1. */
void objectives_fill(struct objective *out, const struct settings *s,
                     bool has_teacher);

#endif
