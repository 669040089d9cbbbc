/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_DECODER_PRIV_H
#define EVENT_DECODER_PRIV_H

#include "stages/event/decoder.h"

#include "daemon/base/json.h"
#include "daemon/base/json_path.h"

/*
 * What decoder.c (records), decoder_values.c (single values) and
 * decoder_spec.c (what makes sense) share.
 */

struct feature_slot {
    const struct event_feature *spec;
    struct feature_hasher hasher;
    uint64_t *bucket_ids; /* (boundary_count + 1), or NULL */
    bool is_present;      /* in this row */
    bool is_cut;          /* in this row */
    struct feature_counters counters;
};

struct task_slot {
    const struct event_task *spec;
    struct task_counters counters;
};

/* value_feature puts the value at a feature's path into its column; for a bag
 * it may come several times. bytes is the record. */
void value_feature(struct feature_slot *slot, const struct cJSON *item,
                   const char *bytes, struct column *col, size_t row);

/* value_outcome puts an outcome into its column. */
void value_outcome(struct task_slot *slot, const struct cJSON *item,
                   const char *bytes, struct outcome_column *col, size_t row);

/* value_teacher puts a soft label into its column. */
void value_teacher(struct task_slot *slot, const struct cJSON *item,
                   enum teacher_output output, struct outcome_column *col,
                   size_t row);

/* spec_check_feature and spec_check_task: CONFIG names what makes no sense
 * about the i-th, but for its paths. */
must_check enum status spec_check_feature(const struct event_spec *spec,
                                          size_t i, struct error *err);
must_check enum status spec_check_task(const struct event_spec *spec, size_t i,
                                       struct error *err);

/* spec_check_path reads the path of what (such as "feature") and name (may be
 * ""); CONFIG also for [] where it may not be. */
must_check enum status spec_check_path(const char *what, const char *name,
                                       const char *text, bool may_repeat,
                                       struct json_path *out,
                                       struct error *err);

#endif
