/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_ROLE_STATS_H
#define STAGES_ROLE_STATS_H

#include "daemon/base/status.h"
#include "daemon/metrics.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What only operators look at, counted by a role's stages as they go. Thread:
 * loop.
 */

#define STATS_STAGES      4
#define STATS_TEACHERS    8
#define STATS_VERSION_MAX 127

/* How many statuses there are. */
enum {
#define STATUS(name, class, exit_code, text) STATS_OF_##name,
#include "daemon/base/status.def"
#undef STATUS
    STATS_STATUSES,
};

/* Why a record became a dead letter: a bounded set, for a metric's label. */
enum dead_reason {
    DEAD_MALFORMED, /* it breaks its schema */
    DEAD_TOO_BIG,   /* it exceeds a limit */
    DEAD_REJECTED,  /* the teacher would not have it */
    DEAD_OTHER,
    DEAD_REASONS,
};

/* The bounds of histograms of seconds. */
#define ROLE_SECONDS 15
extern const double role_seconds[ROLE_SECONDS];

/* What one teacher did; counts are of rows. */
struct teacher_stats {
    uint64_t answers;
    uint64_t failures; /* not answered, or not in time */
    uint64_t rejected;
    uint64_t unplaced;        /* left out: too many versions in one batch */
    uint64_t failed_asks;     /* batches with failures */
    uint64_t refused;         /* versions that could not be used */
    struct histogram seconds; /* a batch */
    char version[STATS_VERSION_MAX + 1]; /* that answered last */
};

struct role_stats {
    struct teacher_stats teachers[STATS_TEACHERS]; /* in their order */
    uint64_t dead_letters[DEAD_REASONS];
    uint64_t errors[STATS_STAGES][STATS_STATUSES]; /* by stage's place */
    uint64_t duplicates;          /* dropped, since they were seen before */
    uint64_t publish_failures;    /* to the directory */
    struct histogram work;        /* seconds a batch: the teacher's, training */
    struct histogram work_failed; /* likewise, where the answer was an error */
};

/* role_stats_init makes everything 0. */
void role_stats_init(struct role_stats *s);

/* role_stats_count_dead counts a dead letter by what made it one. */
void role_stats_count_dead(struct role_stats *s, enum status why);

/* dead_reason_name lends the label's value. Thread: any. */
const char *dead_reason_name(enum dead_reason reason);

#endif
