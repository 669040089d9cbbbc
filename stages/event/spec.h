/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_SPEC_H
#define EVENT_SPEC_H

#include "stages/model/columns.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What is read from an event: the columns, and where in the JSON each comes
 * from (paths as in daemon/base/json_path.h). Plain data without any
 * knowledge of settings; all pointers are borrowed.
 */

/* The longest name of a feature or task, in bytes. */
#define EVENT_NAME_MAX 63

/* Default limits. */
#define EVENT_RECORD_BYTES_MAX 65536
#define EVENT_IDS_MAX          500

/* What a label record may have beside its event: 64 KiB, and 256 KiB of
 * imagined events. */
#define EVENT_LABEL_BYTES_MAX 327680

/* The deepest nesting of an event. */
#define EVENT_DEPTH_MAX 32

/* What a Kafka message of the events topic is, see envelope.h. */
enum event_format {
    EVENT_FORMAT_JSON,
    EVENT_FORMAT_CLOUDEVENTS,
    EVENT_FORMAT_CONFLUENT,
};

/* Whose a feature is, when events are imagined (imagine.h). */
enum event_side {
    EVENT_SIDE_NONE, /* of the pair, or of no one: it is left out */
    EVENT_SIDE_USER,
    EVENT_SIDE_ITEM,
    EVENT_SIDES,
};

struct event_feature {
    const char *name;
    /* As it is in the event; a NUMBER with boundaries becomes a CATEGORICAL
     * column, see event_column_kind. */
    enum feature_kind kind;
    const char *path; /* a BAG may have [] steps: `items[].id` */
    size_t width;     /* VECTOR: numbers a row; otherwise ignored */
    size_t ids_max;   /* BAG: most ids a row; 0: EVENT_IDS_MAX */
    char separator;   /* BAG: cuts a string into ids; 0: does not */
    bool has_log;     /* NUMBER, VECTOR: x becomes sign(x) ln(1 + |x|) */
    bool has_range;   /* NUMBER, VECTOR: outside of it is missing */
    double range_min; /* before the logarithm, both ends included */
    double range_max; /* */
    const double *boundaries; /* NUMBER: ascending; bucket k holds x with
                                 boundaries[k - 1] <= x < boundaries[k] */
    size_t boundary_count;    /* 0: not bucketized */
    enum event_side side;
};

enum teacher_output {
    TEACHER_LOGIT,
    TEACHER_PROBABILITY, /* of 1, or one of each class; not for REGRESSION */
};

struct event_task {
    const char *name;
    enum task_kind kind;
    const char *path;   /* of the outcome; NULL: no outcomes */
    bool has_threshold; /* BINARY: the outcome is value >= threshold */
    double threshold;
    size_t classes;                 /* CLASS: K; otherwise ignored */
    const char *const *class_names; /* CLASS: (K) or NULL: 0..K-1 */
    const char *teacher_path;       /* of a soft label inside the event, or
                                       NULL; label records do not look here */
    enum teacher_output teacher_output;
};

/* How a time that is a number is to be read. */
enum time_unit {
    TIME_AUTO, /* by magnitude: < 1e11 s, < 1e14 ms, < 1e17 us, else ns */
    TIME_SECONDS,
    TIME_MILLISECONDS,
    TIME_MICROSECONDS,
    TIME_NANOSECONDS,
};

struct event_spec {
    const struct event_feature *features;
    size_t feature_count;
    const struct event_task *tasks;
    size_t task_count;
    const char *id_path;          /* NULL: events have no id */
    const char *time_path;        /* NULL: no time */
    const char *weight_path;      /* NULL: every row weighs 1 */
    const char *sample_rate_path; /* NULL: nothing was sampled */
    enum time_unit time_unit;
    size_t record_bytes_max; /* of an event; 0: EVENT_RECORD_BYTES_MAX */
    double ask_weight_max;   /* of columns.ask_weight; 0: 1 */
};

/* event_column_kind is the kind of the column that a feature fills. */
static inline enum feature_kind
event_column_kind(const struct event_feature *f)
{
    return f->kind == FEATURE_NUMBER && f->boundary_count > 0
               ? FEATURE_CATEGORICAL
               : f->kind;
}

/* event_logit_width is the number of a task's logits. */
static inline size_t
event_logit_width(const struct event_task *t)
{
    return t->kind == TASK_CLASS ? t->classes : 1;
}

#endif
