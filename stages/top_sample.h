/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_TOP_SAMPLE_H
#define STAGES_TOP_SAMPLE_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What `distilld top` shows of a moment, read from a status page. Numbers that
 * the page does not have are NAN; texts are cut. Nothing of a page is
 * trusted: it may be another program's.
 */

#define TOP_TEXT         96
#define TOP_TASKS_MAX    16
#define TOP_REASONS_MAX  4
#define TOP_TEACHERS_MAX 8
#define TOP_STATUS_BYTES ((size_t)4 << 20)

enum top_role {
    TOP_ANNOTATE,
    TOP_TRAIN,
    TOP_ROLES,
};

enum top_model {
    TOP_TEACHER,
    TOP_STUDENT,
    TOP_BASELINE,
    TOP_MODELS,
};

struct top_role_sample {
    bool is_here;
    double records_rate;
    double done_rate; /* labels or examples */
    double done;
    double dead_letters;
    double lag;
    bool lag_is_bytes;
    double in_flight;
    double oldest_seconds;
    double work_batches; /* of the teacher, or of training */
    double work_failed;
    double work_p50;
    double work_p99;
};

struct top_teacher_sample {
    char name[TOP_TEXT];
    char version[TOP_TEXT];
    double answers;
    double failures;
    double p99;
};

struct top_model_sample {
    double score;
    double loss;
    double window_score;
    double window_loss;
};

struct top_task_sample {
    char name[TOP_TEXT];
    char score_name[TOP_TEXT]; /* "" where the task has no score */
    char loss_name[TOP_TEXT];
    double judged;
    double eta_score;
    double eta_loss;
    struct top_model_sample models[TOP_MODELS];
};

struct top_sample {
    char name[TOP_TEXT];
    char version[TOP_TEXT];
    char state[TOP_TEXT];
    bool is_ready;
    char reasons[TOP_REASONS_MAX][TOP_TEXT]; /* why not */
    size_t reason_count;
    double uptime_seconds;
    struct top_role_sample roles[TOP_ROLES];
    struct top_teacher_sample teachers[TOP_TEACHERS_MAX];
    size_t teacher_count;
    double loss;
    char arm_in_force[TOP_TEXT]; /* "": the weight is fixed */
    char arm_ahead[TOP_TEXT];
    double arm_switches;
    double checkpoint_version;
    double checkpoint_age;
    double checkpoint_examples;
    double checkpoint_failures;
    double publish_failures;
    struct top_task_sample tasks[TOP_TASKS_MAX];
    size_t task_count;
    double resident_bytes;
    double cpu_seconds;
    double loop_lag_p99;
};

/* top_sample_read reads a page. BADDATA when it is none of ours. */
must_check enum status top_sample_read(struct top_sample *out, const char *text,
                                       size_t len, struct error *err);

#endif
