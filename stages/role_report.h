/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_ROLE_REPORT_H
#define STAGES_ROLE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How a role stands at this moment, for an operator: filled in by the pipeline
 * and by each stage that has something to say (stage_ops.report), read at once
 * and forgotten. Texts are lent until the loop goes on. Thread: loop.
 */

#define REPORT_PARTITIONS_MAX 1024
#define REPORT_OBSTACLES_MAX  8
#define REPORT_LINE_MAX       160
#define REPORT_TEACHERS_MAX   8

/* What the offsets of a log count. */
enum offset_unit {
    OFFSET_RECORDS, /* a Kafka topic */
    OFFSET_BYTES,   /* a file */
};

/* A partition of the log that the role reads; offsets are -1 where unknown. */
struct partition_report {
    const char *log;   /* name of the topic or file */
    int32_t partition; /* number; of a directory of files, the file's place */
    uint64_t epoch;    /* of the assignment, from 1; 0: there are none */
    int64_t position;  /* next to be read */
    int64_t committed; /* all before it is settled: acknowledged, or saved */
    int64_t end;       /* behind the log's last record */
    bool is_paused;    /* not read for now */
};

struct histogram;

/* A teacher that is a model server, since the process began. */
struct teacher_report {
    const char *name;
    const char *breaker;             /* closed, open or half_open */
    uint64_t calls;                  /* requests sent */
    uint64_t retries;                /* that failed and are to be tried again */
    uint64_t answered;               /* events */
    uint64_t rejected;               /* events that became dead letters */
    size_t in_flight;                /* requests */
    size_t limit;                    /* of them, as the server takes it now */
    const struct histogram *seconds; /* of a request */
};

struct role_report {
    struct partition_report partitions[REPORT_PARTITIONS_MAX];
    size_t partition_count;
    size_t partitions_left_off; /* beyond the maximum */
    enum offset_unit unit;

    uint64_t in_flight_records; /* read, not settled */
    uint64_t in_flight_batches;
    double oldest_seconds; /* since the oldest of them was read; 0: none */

    /* Since the process began. */
    uint64_t partitions_assigned; /* by rebalances, counted one by one */
    uint64_t partitions_revoked;
    uint64_t partitions_lost;
    uint64_t transactions_committed;
    uint64_t transactions_aborted;
    uint64_t transactions_unknown; /* outcome never learned */
    uint64_t records_lost;         /* retention was faster than the reader */

    /* Why the role could not do its work now, a few words each. */
    char obstacles[REPORT_OBSTACLES_MAX][REPORT_LINE_MAX];
    size_t obstacle_count;

    struct teacher_report teachers[REPORT_TEACHERS_MAX];
    size_t teacher_count;
};

/* role_report_add_partition lends room for one more, zeroed with unknown
 * offsets, or NULL: then it is counted as left off. */
struct partition_report *role_report_add_partition(struct role_report *r);

/* role_report_add_teacher lends room for one more, or NULL. */
struct teacher_report *role_report_add_teacher(struct role_report *r);

/* role_report_add_obstacle notes one, such as "broker 10.0.0.1:9092 is away".
 * What does not fit is dropped. */
__attribute__((format(printf, 2, 3))) void
role_report_add_obstacle(struct role_report *r, const char *format, ...);

#endif
