/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_FOLLOWER_H
#define ANNOTATE_FOLLOWER_H

#include "stages/load.h"
#include "stages/role_stats.h"

#include "daemon/io/loop.h"

/*
 * Follows a directory of versions: looks from time to time what its `latest`
 * names, loads and verifies what is newer on a thread of its own, and has it
 * ready for the thread that answers, which changes to it between two batches:
 *
 *   timer -- loop --> loader's thread -- [next] --> teacher's thread
 *                     frees it later  <-- [retired] --
 *
 * A version that cannot be used is said and counted, and the one before goes
 * on; it is looked at again only by follower_refresh.
 */
struct follower;

/* A model that answers, and what it needs for it. */
struct answering {
    struct loaded_model loaded;
    float *logits; /* (batch_max, logits) */
    uint64_t number;
};

struct follower_spec {
    const char *path;
    const char *name; /* of the teacher, for the log */
    const struct event_spec *events;
    size_t batch_max;
    size_t threads;
    uint64_t poll_ms; /* 0: looks when it is told to */
    struct teacher_stats *stats;
};

/* answering_open loads what spec->path means. Gives *out, to answering_free.
 * Blocks. Thread: any. */
must_check enum status answering_open(struct answering **out,
                                      const struct follower_spec *spec,
                                      struct error *err);

/* answering_free frees *self and sets it NULL; NULL is fine. Thread: any. */
void answering_free(struct answering **self);

/* follower_new begins to look for what is newer than `number`. Keeps a copy of
 * *spec. Thread: loop. */
must_check enum status follower_new(struct follower **out, struct loop *l,
                                    const struct follower_spec *spec,
                                    uint64_t number, struct error *err);

/* follower_free waits for the thread, frees *self, sets it NULL; NULL is fine.
 * Thread: loop, when nobody answers any more. */
void follower_free(struct follower **self);

/* follower_refresh looks now, at what was refused too. Thread: loop. */
void follower_refresh(struct follower *f);

/*
 * follower_swap changes *now to a newer version, when one is ready, and says
 * so; the older one is freed on the loader's thread. Thread: the one that
 * answers. Allocates: nothing.
 */
bool follower_swap(struct follower *f, struct answering **now);

#endif
