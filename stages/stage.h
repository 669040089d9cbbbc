/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_STAGE_H
#define STAGES_STAGE_H

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * The contract of a stage, and what a stage may ask of the pipeline that holds
 * it. A role is an array of stages (stages/pipeline.h); a parcel moves from one
 * to the next by `void **`: it has exactly one owner. Thread: loop, all of it.
 */

enum parcel_kind {
    PARCEL_NONE,
    PARCEL_BATCH,   /* struct batch */
    PARCEL_VERSION, /* struct version: a checkpoint that became durable */
};

struct batch;
struct pipeline;
struct role_report;
struct stage;

struct stage_ops {
    const char *name;       /* lower case, unique in its role, as in logs */
    enum parcel_kind takes; /* PARCEL_NONE for a source */
    enum parcel_kind gives; /* PARCEL_NONE for a sink */

    /* Creates *out, or leaves it NULL and explains in *err. Stages are opened
     * last to first: what a later one learns about where to go on, it writes
     * into the pipeline (pipeline_start_at). */
    must_check enum status (*open)(struct stage **out, struct pipeline *p,
                                   struct error *err);

    /* Every stage is open: a source begins to read. May be NULL for others. */
    void (*start)(struct stage *s);

    /*
     * Offers *parcel. OK: taken, *parcel is NULL now. AGAIN: no room, *parcel
     * is untouched and stays with the caller, and the stage calls
     * stage_has_room later. No other result exists: a failure after taking is
     * reported by stage_failed. NULL for a source.
     */
    must_check enum status (*offer)(struct stage *s, void **parcel);

    /* The next stage has room again, or a batch came home. NULL for a sink. */
    void (*resume)(struct stage *s);

    /* Of a sink, once its topics are known: begins to fence off whoever wrote
     * before, and sets pipeline->is_fenced when that is done. May be NULL. */
    void (*fence)(struct stage *s);

    /* Of a source. settled: the sink has made b safe, in the order in which
     * batches were handed on. restart: it never will, nor what came after it;
     * hand all of it on again, in a new epoch. */
    void (*settled)(struct stage *s, const struct batch *b);
    void (*restart)(struct stage *s);

    /* Takes no more, finishes what it holds, then calls stage_stopped once.
     * May be called again: the later calls do nothing. */
    void (*stop)(struct stage *s);

    /* Adds what this stage knows to *r: partitions, what is in flight, what
     * keeps it from working. May be NULL. */
    void (*report)(const struct stage *s, struct role_report *r);

    /* Begins a checkpoint now, where the stage keeps any. May be NULL. */
    void (*checkpoint)(struct stage *s);

    /* Looks now for newer versions of what it uses. May be NULL. */
    void (*refresh)(struct stage *s);

    /* Frees *self and sets it NULL. Legal only after stage_stopped, or when
     * the pipeline never started. */
    void (*free)(struct stage **self);
};

/* What every stage begins with. Set by its open; links by the pipeline. */
struct stage {
    const struct stage_ops *ops;
    struct pipeline *pipeline;
    struct stage *next;
    struct stage *previous;
    bool is_stopped;
};

/* stage_push offers a parcel to the next stage; as offer. */
must_check enum status stage_push(struct stage *s, void **parcel);

/* stage_has_room tells the stage before to go on. */
void stage_has_room(struct stage *s);

/* stage_stopped says that this stage holds nothing any more. */
void stage_stopped(struct stage *s);

/* stage_failed says why this stage cannot go on; the role drains. Copies
 * err. */
void stage_failed(struct stage *s, const struct error *err);

#endif
