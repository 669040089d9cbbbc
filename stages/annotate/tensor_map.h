/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_TENSOR_MAP_H
#define ANNOTATE_TENSOR_MAP_H

#include "stages/oip/request.h"
#include "stages/oip/response.h"
#include "stages/settings.h"

#include "daemon/base/json_path.h"

/*
 * What a server is told of an event, and what its answer means: the settings
 * `inputs` and `outputs` of a teacher of kind http, understood. An input:
 *
 *   TENSOR: DATATYPE[WIDTH] FROM default TEXT
 *
 *   user_id: BYTES user_id                of the feature user_id, its path
 *   hour:    INT64[] context.hour default -1
 *   context: FP32[3] context.vector
 *   user:    INT64 column user_id         its id, as the models see it
 *
 * An output, a line a task, which may be of one tensor:
 *
 *   TASK: logit|probability TENSOR columns 1 0 2 temperature T
 */

#define TENSORS_MAX      64
#define TENSOR_WIDTH_MAX 65536
#define NO_FEATURE       SIZE_MAX

struct tensor_input {
    struct oip_input tensor;            /* name borrowed from the settings */
    char path[JSON_PATH_BYTES_MAX + 1]; /* "": a column */
    size_t feature;                     /* a column's, or NO_FEATURE */
    char missing[256]; /* what stands for a value that is missing */
    bool has_missing;  /* else "", 0 or false */
};

struct tensor_output {
    const char *name; /* "": the server's only one; borrowed from the map */
    size_t width_max; /* values a row that are any use */
};

/* What a task takes from the answer. */
struct task_source {
    bool is_used;
    size_t output;
    bool is_probability;
    double temperature;
    bool has_columns; /* else the output is as wide as the task */
    size_t column_count;
    const uint32_t *columns; /* (column_count) of the output, in the order of
                                the task's classes; borrowed from the map */
};

struct tensor_map {
    unsigned magic;
    size_t input_count;
    struct tensor_input inputs[TENSORS_MAX];
    struct oip_input tensors[TENSORS_MAX]; /* of inputs, for a request */
    size_t output_count;
    struct tensor_output outputs[TASKS_MAX];
    const char *output_names[TASKS_MAX];
    struct task_source tasks[TASKS_MAX];
    char names[TASKS_MAX][256];
    uint32_t *columns[TASKS_MAX];
};

/* tensor_input_read understands one input; CONFIG says what makes no sense in
 * it. *out borrows from s and property. */
must_check enum status tensor_input_read(struct tensor_input *out,
                                         const struct settings *s,
                                         const struct setting_property *p,
                                         struct error *err);

/*
 * tensor_map_new understands all of a teacher's; CONFIG as above, with the name
 * in front, and when there is nothing for any task; NOMEM. *out keeps borrows
 * of s. Allocates.
 */
must_check enum status tensor_map_new(struct tensor_map **out,
                                      const struct settings *s,
                                      const struct setting_properties *inputs,
                                      const struct setting_properties *outputs,
                                      struct error *err);
void tensor_map_free(struct tensor_map **self);

/* tensor_map_add_output adds what one task takes; a line of `outputs`. CONFIG.
 */
must_check enum status tensor_map_add_output(struct tensor_map *m,
                                             const struct settings *s,
                                             const struct setting_property *p,
                                             struct error *err);

/*
 * tensor_map_logits writes the logits (all tasks' widths, one after the other)
 * of a row from its values in the outputs; NAN for a task that has no source.
 * MALFORMED says which value is not finite or no probability: such a row has
 * no answer. Allocates: nothing.
 */
must_check enum status tensor_map_logits(const struct tensor_map *m,
                                         const struct settings *s,
                                         const struct oip_output *outputs,
                                         size_t row, float *logits,
                                         struct error *err);

/* tensor_map_check_widths says whether outputs that were read are as wide as
 * their tasks need; MALFORMED. */
must_check enum status tensor_map_check_widths(const struct tensor_map *m,
                                               const struct settings *s,
                                               const struct oip_output *outputs,
                                               struct error *err);

#endif
