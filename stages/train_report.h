/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_TRAIN_REPORT_H
#define STAGES_TRAIN_REPORT_H

#include "stages/event/label.h"
#include "stages/model/curve.h"
#include "stages/settings.h"

#include <stdbool.h>
#include <stdint.h>

/* A task's hard loss by the teacher's answers, and by what the student adapter
 * makes of them: running means of the last hundred batches or so. */
struct adapter_report {
    double teacher; /* NAN: there is no adapter, or it saw nothing yet */
    double adapted;
};

#define REPORT_ARMS_MAX 8

/* A student that learns at a weight of its own. */
struct arm_report {
    const char *name; /* lasts for ever */
    double hard_weight;
    double soft_weight;
    double loss; /* faded, before learning; NAN: nothing was judged */
};

/* Those of soft_weight auto. */
struct arms_report {
    struct arm_report arms[REPORT_ARMS_MAX];
    size_t count;      /* 0: the weight is fixed */
    size_t in_force;   /* which is the student now */
    size_t ahead;      /* which has the lowest loss */
    uint64_t switches; /* of the one in force, since the first example */
};

struct json_writer;

/* arms_report_write writes them as a value; count is not 0. Thread: any. */
void arms_report_write(const struct arms_report *a, struct json_writer *w);

/*
 * How the models that learn stand: filled in on the trainer's thread, which
 * owns them, carried to the loop between two batches, read there.
 */
struct train_report {
    uint64_t examples; /* learned from, in this and earlier processes */
    uint64_t batches;
    uint64_t skipped_steps; /* not finite */
    uint64_t discarded;     /* examples undone by going back */
    double loss;            /* of the last step; NAN before the first */
    double gradient_norm;   /* likewise */

    uint64_t version;             /* newest durable checkpoint; 0: none yet */
    uint64_t version_examples;    /* that are in it */
    int64_t version_ms;           /* when it was made, since 1970; 0: unknown */
    uint64_t checkpoint_failures; /* of this process */
    bool is_writing;              /* a checkpoint is under way */

    char teacher_version[LABEL_VERSION_MAX + 1]; /* of the last answer */
    bool minds_age;
    double teacher_age_s; /* of the last label that has an age */
    uint64_t old_labels;  /* that did not count for their age */
    struct adapter_report adapters[TASKS_MAX];
    struct curve_summary quality[TASKS_MAX];
    struct arms_report arms;
    bool is_filled; /* false: the trainer was never asked */
};

#endif
