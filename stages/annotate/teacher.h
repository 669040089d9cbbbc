/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_TEACHER_H
#define ANNOTATE_TEACHER_H

#include "stages/batch.h"
#include "stages/pipeline.h"

#include <stdbool.h>

/*
 * A teacher writes its raw logits and presence masks into a batch's columns,
 * and its version into the batch. One table of functions a kind, chosen by
 * teacher.kind.
 */
struct teacher;

struct teacher_ops {
    const char *name; /* as in teacher.kind */
    bool has_thread;  /* answer computes or blocks: it runs on a thread */

    /* Creates *out, or explains in *err. May set p->start: where its state
     * leaves off. Thread: loop. */
    must_check enum status (*open)(struct teacher **out, struct pipeline *p,
                                   struct error *err);

    /* Answers for all rows; what went wrong goes into b->error. */
    void (*answer)(struct teacher *t, struct batch *b);

    /* More to do while no batch waits; true: call again. May be NULL. */
    bool (*idle)(struct teacher *t);

    /* After the last batch. May be NULL. *err is OK when all went well. */
    void (*finish)(struct teacher *t, struct error *err);

    /* Frees *self and sets it NULL; NULL is fine. Thread: loop. */
    void (*free)(struct teacher **self);
};

extern const struct teacher_ops teacher_none;       /* no soft labels */
extern const struct teacher_ops teacher_field;      /* they are in the event */
extern const struct teacher_ops teacher_checkpoint; /* a model in process */

#endif
