/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_OVERVIEW_PRIV_H
#define STAGES_OVERVIEW_PRIV_H

#include "stages/overview.h"

/*
 * What the files of the overview share.
 */

#define OVERVIEW_ROLES   2
#define OVERVIEW_SAMPLES 11 /* one a second: rates are over ten of them */
#define OVERVIEW_MAGIC   0x4f564552u

/* Counts of a moment, to tell rates from. */
struct overview_sample {
    uint64_t at_ns; /* 0: none yet */
    struct role_counts counts[OVERVIEW_ROLES];
    struct histogram work[OVERVIEW_ROLES];
};

struct overview {
    unsigned magic;
    struct overview_spec spec;
    struct timer *timer;
    uint64_t started_ns;
    struct overview_sample samples[OVERVIEW_SAMPLES]; /* a ring */
    size_t newest;
    struct role_report reports[OVERVIEW_ROLES];
};

/* What happened since the oldest sample. */
struct overview_rates {
    double records; /* a second; NAN: not known yet */
    double labels;
    double examples;
    double dead_letters;
    struct histogram work; /* of that time alone */
};

void overview_rates(const struct overview *o, enum role role,
                    struct overview_rates *out);

/* overview_gather fills o->reports from the roles. */
void overview_gather(struct overview *o);

/* overview_is_ready says so, of what was gathered. */
void overview_find_obstacles(struct overview *o, struct obstacles *out);

/* overview_lag gives how much of a partition is left, or -1: unknown. */
int64_t overview_lag(const struct role_report *r,
                     const struct partition_report *p);

/* overview_checkpoint_age is in seconds; NAN: there is no checkpoint, or
 * nobody knows how old it is. */
double overview_checkpoint_age(const struct train_report *r);

/* overview_model_name lends teacher, student, baseline. */
const char *overview_model_name(size_t model);

#endif
