/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_TEACHER_H
#define ANNOTATE_TEACHER_H

#include "stages/annotate/ask.h"
#include "stages/pipeline.h"

#include <stdbool.h>

/*
 * A teacher answers asks, each about rows of one batch: with raw logits and
 * with its version, which it adds to the ask. One table of functions a kind,
 * chosen by teacher.kind; several teachers may be open, of the same kind too.
 * It answers in one of three ways:
 *
 *   at once     answer, on the loop: it computes next to nothing
 *   on a thread of its own: answer, asks one after the other
 *   async       ask, on the loop: many are under way, and end in any order
 *
 * How batches keep their order, and what becomes of rows without an answer, is
 * none of its business.
 */
struct teacher;

enum teacher_way {
    TEACHER_AT_ONCE,
    TEACHER_ON_THREAD,
    TEACHER_ASYNC,
};

struct teacher_ops {
    const char *name; /* as in teacher.kind */
    enum teacher_way way;

    /* Creates *out, or explains in *err; keeps a borrow of s. May set
     * p->start: where its state leaves off. Thread: loop. */
    must_check enum status (*open)(struct teacher **out, struct pipeline *p,
                                   const struct teacher_settings *s,
                                   struct error *err);

    /* Answers; what went wrong goes into ask->error. NULL when async. Thread:
     * by the way. */
    void (*answer)(struct teacher *t, struct ask *ask);

    /*
     * Async: takes an ask, which may want no row at all, and later gives it
     * back by ask->done, once, perhaps from inside of this very call. At most
     * pipeline.batches are under way. Retries what may be tried again by
     * itself, for ever: how long is long enough is said by cancel. Thread:
     * loop.
     */
    void (*ask)(struct teacher *t, struct ask *ask);

    /* Async: ask is worth nothing any more (its deadline passed, its epoch is
     * over): done follows soon, perhaps from inside of this call; what was
     * answered so far counts. Thread: loop. */
    void (*cancel)(struct teacher *t, struct ask *ask);

    /* On a thread: more to do while no ask waits; true: call again. May be
     * NULL. */
    bool (*idle)(struct teacher *t);

    /* On a thread: after the last ask. May be NULL. *err is OK when all went
     * well. */
    void (*finish)(struct teacher *t, struct error *err);

    /* Looks now whether there is anything newer. May be NULL. Thread: loop. */
    void (*refresh)(struct teacher *t);

    /* Adds what keeps it from answering to *r. May be NULL. Thread: loop. */
    void (*report)(const struct teacher *t, struct role_report *r);

    /* Frees *self and sets it NULL; NULL is fine. No ask is under way. Thread:
     * loop. */
    void (*free)(struct teacher **self);
};

extern const struct teacher_ops teacher_none;       /* no soft labels */
extern const struct teacher_ops teacher_field;      /* they are in the event */
extern const struct teacher_ops teacher_checkpoint; /* a model in process */
extern const struct teacher_ops teacher_http;       /* a model server */

#endif
