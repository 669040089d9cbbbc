/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_PIPELINE_H
#define STAGES_PIPELINE_H

#include "stages/batch.h"
#include "stages/model/curve.h"
#include "stages/role_report.h"
#include "stages/role_stats.h"
#include "stages/settings.h"
#include "stages/stage.h"
#include "stages/train_report.h"

#include "daemon/io/loop.h"

#include <stdatomic.h>

/*
 * A role: its stages in order, opened last to first, stopped first to last.
 *
 *   annotate   consume -> annotate -> emit      events log -> labels log
 *   train      consume -> train -> publish      labels log -> checkpoints
 *
 * Thread: loop.
 */

struct calls;
struct event_shape;
struct kafka_consumer;
struct teacher_ops;
struct store;
struct tap;
struct topics;

/* Counts of what went through, for progress and the summary. */
struct role_counts {
    uint64_t records;      /* lines read */
    uint64_t rows;         /* accepted into batches */
    uint64_t skipped;      /* seen before, or before train.start */
    uint64_t dead_letters; /* records refused */
    uint64_t labels;       /* records emitted */
    uint64_t examples;     /* rows trained */
    uint64_t bytes_read;
};

struct pipeline {
    enum role role;
    const struct settings *settings;
    const struct event_shape *events; /* what is read from an event */
    struct loop *loop;
    struct batch_pool *pool; /* the role's throttle; made by its source */
    const struct teacher_ops *const *teacher_kinds; /* in place of those there
                                                       are; NULL: these */
    struct calls *calls;   /* for calls that block; NULL with file logs */
    struct topics *topics; /* what Kafka told of them; NULL with file logs */
    struct kafka_consumer *member; /* of the group that reads; or NULL */

    /* Batches of another epoch are not worth going on with: their records are
     * handed on again, or are another process's. */
    uint32_t epoch;

    /* Where the source starts, as later stages found it when they opened. */
    struct positions start;
    struct log_position emitted; /* behind the last label in the log */
    struct watermarks seen;
    /* A teacher that learns from Kafka sees events again, of which labels are
     * there: of each source partition, what is below this offset. The source
     * finds out, behind the sink's fence. */
    int64_t labeled[SOURCES_MAX];
    bool is_fenced;
    struct log_identity input;  /* the log of start; "": not known */
    struct log_identity source; /* the log of seen */
    uint32_t pass;
    struct store *store; /* of the train role's checkpoints; train's */
    bool accepts_reset;  /* run --accept-reset: a lost position restarts */
    bool migrates;       /* run --migrate: another shape keeps what matches */

    bool is_growing; /* somebody in this process still writes the input */
    atomic_bool is_interrupted; /* the open batch is left for the replay; read
                                   by the trainer when it finishes */
    bool is_observed; /* somebody may ask how things stand: an admin port */
    struct tap *tap;  /* where records may be looked at, or NULL */
    bool is_paused;   /* by an operator; the source reads nothing */
    struct role_counts counts;
    struct role_stats stats;
    struct train_report trained; /* how the trainer stood a second ago */
    struct curve_summary quality[TASKS_MAX]; /* by the trainer at its end */
    struct arms_report arms;                 /* likewise */
    struct error error;                      /* the first failure, or OK */

    /*
     * How many batches the emit stage wrote, counted by the loop and read by
     * the teacher's thread: a teacher that learns in line commits its state
     * only after the labels that it made on the way there.
     */
    atomic_ullong written;
    atomic_bool writes_failed; /* written will rise no more */

    /* Called when the role's last stage stopped. */
    void (*on_end)(void *ctx);
    /* Called when the role's sink wrote something. May be NULL. */
    void (*on_output)(void *ctx);
    void *ctx;

    struct stage *stages[4];
    size_t stage_count;
    bool is_stopping;
};

/* pipeline_open opens all stages of p->role; the caller filled the members
 * above `stages` and keeps *p where it is. On failure nothing is open. */
must_check enum status pipeline_open(struct pipeline *p, struct error *err);

/* pipeline_start lets the source begin. */
void pipeline_start(struct pipeline *p);

/* pipeline_wake tells the source that its input may have grown, that it no
 * longer grows, or that a batch came home. */
void pipeline_wake(struct pipeline *p);

/* pipeline_pause lets the source read nothing more until pipeline_resume; what
 * is under way goes on. */
void pipeline_pause(struct pipeline *p);
void pipeline_resume(struct pipeline *p);

/* pipeline_checkpoint begins checkpoints now; false: this role keeps none. */
bool pipeline_checkpoint(struct pipeline *p);

/* pipeline_refresh lets stages look for newer versions of what they use. */
void pipeline_refresh(struct pipeline *p);

/* pipeline_report says how the role stands; *r is overwritten. */
void pipeline_report(const struct pipeline *p, struct role_report *r);

/* pipeline_fence tells the sink to fence off whoever wrote before; is_fenced
 * and a wake follow. */
void pipeline_fence(struct pipeline *p);

/* pipeline_settled tells the source that a batch is safe. */
void pipeline_settled(struct pipeline *p, const struct batch *b);

/* pipeline_learns_by_hand says that the role's teacher learns from Kafka: all
 * partitions are its own, by hand, and its transactions fence others off. */
bool pipeline_learns_by_hand(const struct pipeline *p);

/* pipeline_is_labeled says that an event's label is in the topic already. */
bool pipeline_is_labeled(const struct pipeline *p, int32_t partition,
                         int64_t offset);

/* pipeline_restart tells the source to hand on again what was not settled. */
void pipeline_restart(struct pipeline *p);

/* pipeline_stop stops the stages in order; on_end follows. May be called
 * again. */
void pipeline_stop(struct pipeline *p);

/* pipeline_free frees the stages; after on_end, or when never started. */
void pipeline_free(struct pipeline *p);

#endif
