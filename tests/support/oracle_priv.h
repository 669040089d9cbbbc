/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_ORACLE_PRIV_H
#define SUPPORT_ORACLE_PRIV_H

#include "daemon/base/json.h"

#include "tests/support/oracle.h"

/*
 * What oracle.c (records) and oracle_values.c (single values) share.
 */

struct oracle_feature {
    const struct event_feature *spec;
    uint64_t *bucket_ids; /* (boundary_count + 1), or NULL */
    bool is_present;      /* in this row */
    bool is_cut;          /* in this row */
    struct feature_counters counters;
};

struct oracle_task {
    const struct event_task *spec;
    struct task_counters counters;
};

/* oracle_put_feature puts the value at a feature's path into its column; for a
 * bag it may come several times. bytes is the record. */
void oracle_put_feature(struct oracle_feature *slot, const struct cJSON *item,
                        const char *bytes, struct column *col, size_t row);

/* oracle_put_outcome puts an outcome into its column. */
void oracle_put_outcome(struct oracle_task *slot, const struct cJSON *item,
                        const char *bytes, struct outcome_column *col,
                        size_t row);

/* oracle_put_teacher puts a soft label into its column. */
void oracle_put_teacher(struct oracle_task *slot, const struct cJSON *item,
                        enum teacher_output output, struct outcome_column *col,
                        size_t row);

#endif
