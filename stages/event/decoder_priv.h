/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_DECODER_PRIV_H
#define EVENT_DECODER_PRIV_H

#include "stages/event/decoder.h"
#include "stages/event/path_tree.h"
#include "stages/event/scan.h"

#include "daemon/base/json_path.h"

/*
 * What decoder.c (records), decoder_visit.c (the walk by the configured
 * paths), decoder_label.c (what is around an event), decoder_values.c (single
 * values) and decoder_spec.c (what makes sense) share.
 */

/* What happened in this row counts only once the record is accepted. */
struct feature_slot {
    const struct event_feature *spec;
    struct feature_hasher hasher;
    uint64_t *bucket_ids; /* (boundary_count + 1), or NULL */
    bool is_present;      /* in this row, and so on */
    bool is_cut;
    bool has_bad; /* one of these is not 0: */
    uint32_t wrong_type;
    uint32_t out_of_range;
    uint32_t too_long;
    struct feature_counters counters;
};

struct task_slot {
    const struct event_task *spec;
    bool outcome_bad; /* in this row */
    bool teacher_bad;
    struct task_counters counters;
};

struct decoder {
    unsigned magic;
    const struct event_spec *spec;
    size_t event_bytes_max;
    size_t record_bytes_max; /* an event and what may be around it */
    struct path_tree *paths;
    struct scan scan;
    struct feature_slot *features;
    struct task_slot *tasks;
    struct decoder_counters counters;
    struct event_meta own_meta; /* where the caller wants none */

    /* The row that is being read. */
    struct columns *columns;
    size_t row;
    struct event_meta *meta;
    bool id_bad;
    bool time_bad;
    bool weight_bad;
    bool sample_rate_bad;
};

/*
 * The functions below that say false or MALFORMED leave the problem in
 * d->scan, unless they take an error.
 */

/*
 * visit_event reads the event whose { the scanner is at into the row. *schema
 * is where the value of its "schema" begins, or NULL.
 */
must_check bool visit_event(struct decoder *d, const char **schema);

/*
 * label_read reads the label record whose { the scanner is at: frame, soft
 * labels and event. MALFORMED also for JSON that is none.
 */
must_check enum status label_read(struct decoder *d, struct error *err);

/* label_read_imagined reads the list of imagined events that the scanner is
 * before into rows from the columns' row_count on, at most `most`. */
void label_read_imagined(struct decoder *d, size_t most);

/* decoder_clear_row makes the row as if nothing at all was in the event. */
void decoder_clear_row(struct decoder *d);

/* value_feature puts a scalar, or the fact that there is a list or object,
 * into a feature's column; of a bag it may come several times. */
void value_feature(struct decoder *d, size_t feature, const struct value *v);

/* value_bag and value_vector read the list that the scanner is at. */
must_check bool value_bag(struct decoder *d, size_t feature);
must_check bool value_vector(struct decoder *d, size_t feature);

/* value_outcome puts an outcome into its column. */
void value_outcome(struct decoder *d, size_t task, const struct value *v);

/* value_teacher puts a soft label into its column; a list of them is read by
 * value_teacher_list, which the scanner is at. */
void value_teacher(struct decoder *d, size_t task, enum teacher_output output,
                   const struct value *v);
must_check bool value_teacher_list(struct decoder *d, size_t task,
                                   enum teacher_output output);

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
