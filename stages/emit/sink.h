/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMIT_SINK_H
#define EMIT_SINK_H

#include "stages/pipeline.h"

/*
 * Where labels and dead letters go: one table of functions a kind of log. The
 * emit stage gives a sink batches with encoded labels; the sink writes the dead
 * letters of a batch before its labels, all in order, and settles batches in
 * order. Thread: loop, all of it.
 */
struct emit;
struct sink;

struct sink_ops {
    const char *name; /* as in labels.log */

    /* Creates *out, or explains in *err. May set p->start and p->emitted: how
     * far the log has come. */
    must_check enum status (*open)(struct sink **out, struct emit *e,
                                   struct pipeline *p, struct error *err);

    bool (*has_room)(const struct sink *s);

    /* Takes a batch, when it has room; gives it back by emit_settle or
     * emit_let_go. */
    void (*put)(struct sink *s, struct batch **b);

    /* See stage_ops; NULL where nobody need be fenced off. */
    void (*fence)(struct sink *s);

    /* Finishes what it holds, then calls emit_sink_stopped once. */
    void (*stop)(struct sink *s);

    /* Adds what the sink knows to *r: see stage_ops. May be NULL. */
    void (*report)(const struct sink *s, struct role_report *r);

    /* Frees *self and sets it NULL; NULL is fine. */
    void (*free)(struct sink **self);
};

extern const struct sink_ops sink_file;
extern const struct sink_ops sink_kafka;

/* emit_settle takes a batch back that is written, oldest first. */
void emit_settle(struct emit *e, struct batch **b);

/* emit_let_go takes a batch back that will not be written. */
void emit_let_go(struct emit *e, struct batch **b);

/* emit_fail ends the role. */
void emit_fail(struct emit *e, const struct error *err);

/* emit_sink_stopped says that the sink holds nothing any more. */
void emit_sink_stopped(struct emit *e);

#endif
