/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_BATCH_H
#define STAGES_BATCH_H

#include "stages/event/label.h"
#include "stages/event/spec.h"
#include "stages/model/columns.h"

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"
#include "daemon/io/log_file.h"

#include <stdbool.h>

/*
 * What moves through a role: columns for the models, and for every row its
 * bytes as they came and where they came from. Batches come from a fixed pool,
 * which is the throttle: who has none waits. One owner at a time, by
 * `struct batch **`.
 */

#define SOURCES_MAX 1024 /* partitions of the events log */

/* Where a row came from: an event in the events log. */
struct row_source {
    int32_t partition;
    uint32_t generation;
    int64_t offset;
};

/*
 * A row's bytes lie end to end in batch->raw: the event, then the key, then the
 * headers as stages/event/headers.h packs them.
 */
struct row {
    size_t start;
    size_t bytes;
    uint32_t key_bytes; /* KEY_NONE: it has none */
    uint32_t header_bytes;
    size_t label_start; /* of its label record, in batch->labels */
    size_t label_bytes; /* with the line feed; 0: it has none */
    struct row_source source;
    /* annotate role: the imagined rows that were made of it, imagined_count
     * from imagined_at on, which have bytes of their own. train role: where the
     * list of them is in batch->imagined, and its bytes. */
    size_t imagined_at;
    size_t imagined_count;
};

#define KEY_NONE UINT32_MAX

/* Which log this is: its name, and in Kafka the ids that tell a topic from
 * another one that had its name before. "": not known. */
struct log_identity {
    char topic[LABEL_TOPIC_MAX + 1];
    char cluster[LABEL_CLUSTER_MAX + 1];
    char topic_id[LABEL_TOPIC_ID_MAX + 1];
};

/* What was seen of each source partition: the next offset that is new, by the
 * partition's number. */
struct watermarks {
    size_t count; /* the highest number, and one */
    struct row_source next[SOURCES_MAX];
};

/* Where to go on in a log: one position a partition of a topic; of a file log,
 * whose partitions come one after the other, one at most. */
struct positions {
    size_t count;
    struct log_position at[SOURCES_MAX];
};

/* Who answers for rows of a batch: a teacher, or several at once. */
struct answerer {
    char name[LABEL_TEACHER_MAX + 1];
    char version[LABEL_VERSION_MAX + 1];
};

#define ANSWERERS_MAX    127 /* of one batch */
#define ANSWERED_BY_NONE 0

struct batch_pool;

struct batch {
    unsigned magic;
    struct batch_pool *home;
    struct columns *columns;
    struct row *rows;           /* (columns->row_max) */
    struct bytes raw;           /* the events' bytes, end to end */
    struct bytes dead_letters;  /* encoded records, to be written first */
    struct bytes labels;        /* encoded records */
    struct bytes imagined;      /* lists of imagined events: train role */
    struct positions after;     /* in the log that was read, behind all rows */
    bool has_position;          /* false: only carries dead letters */
    uint32_t epoch;             /* of the source, when the batch was cut */
    size_t unsettled;           /* records of it that a broker still owes */
    uint32_t pass;              /* over a file log, from 0 */
    struct watermarks seen;     /* by rows and batches so far: train role */
    struct log_identity input;  /* the log that was read */
    struct log_identity source; /* that its labels are of: train role */
    struct answerer *answerers; /* (ANSWERERS_MAX) annotate role */
    size_t answerer_count;
    uint8_t *answered_by;  /* (columns->row_max) which answerer's soft label the
                             row has, counted from 1; ANSWERED_BY_NONE */
    uint8_t *is_rejected;  /* (columns->row_max) by a teacher: the row is among
                             the dead letters and has no label */
    bool has_rejected;     /* there is one */
    const char *chosen_by; /* the way of choosing; NULL: all are asked about */
    uint8_t *is_chosen;    /* (columns->row_max) the teacher is asked about */
    float *ask_rate;       /* (columns->row_max) with that probability, where
                              there is a way of choosing */
    char teacher_version[LABEL_VERSION_MAX + 1]; /* train role: of the last
                                                    row's answer */
    uint64_t due_version; /* became durable with this batch: 0, none */
    struct error error;   /* what went wrong on a worker, or OK */
    uint64_t taken_ns;    /* when it left home; 0: it is there */
    uint64_t work_ns;     /* that a teacher or trainer took over it */
};

/* A checkpoint that became durable and is due for the registries. Made with
 * malloc by the train stage, freed by the publish stage. */
struct version {
    uint64_t number;
    struct error error; /* of publishing, or OK */
    bool is_gone;       /* was pruned before it could be published */
};

#define BATCH_MAGIC 0x42415443u

/* batch_pool_new makes count batches of row_max rows for spec (borrowed until
 * return). NOMEM, CONFIG. */
must_check enum status batch_pool_new(struct batch_pool **out, size_t count,
                                      const struct event_spec *spec,
                                      size_t row_max, struct error *err);

/* batch_pool_free frees all batches, which are all home. NULL is fine. */
void batch_pool_free(struct batch_pool **self);

/* batch_pool_take gives an empty batch, or NULL when all are on their way. */
struct batch *batch_pool_take(struct batch_pool *pool);

/* batch_pool_under_way counts the batches that are not home. */
size_t batch_pool_under_way(const struct batch_pool *pool);

/* batch_release sends *b home and sets it NULL; NULL is fine. */
void batch_release(struct batch **b);

/* batch_answerer finds or adds who answers, and gives the number for
 * answered_by; ANSWERED_BY_NONE when there are too many. Texts are cut at their
 * maxima. */
uint8_t batch_answerer(struct batch *b, const char *name, const char *version);

/* What is on its way. */
struct batch_pool_report {
    uint64_t batches;
    uint64_t records;
    double oldest_seconds; /* since the first of them left home; 0: none */
};

/* batch_pool_report counts what is not home. Thread: loop. */
void batch_pool_report(const struct batch_pool *pool,
                       struct batch_pool_report *out);

/* positions_copy and watermarks_copy copy what is used of one. */
void positions_copy(struct positions *to, const struct positions *from);
void watermarks_copy(struct watermarks *to, const struct watermarks *from);

/* log_identity_differs says that two logs are not the same; what is not known
 * of one of them does not count. */
bool log_identity_differs(const struct log_identity *a,
                          const struct log_identity *b);

/* watermarks_pass says whether a source is new, and then notes it. TOOBIG
 * when it is of one partition too many. */
must_check enum status watermarks_pass(struct watermarks *w,
                                       const struct row_source *source,
                                       bool *is_new, struct error *err);

#endif
