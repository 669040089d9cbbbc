/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONSUME_SOURCE_H
#define CONSUME_SOURCE_H

#include "stages/pipeline.h"

#include "daemon/base/record.h"

#include <stdbool.h>

/*
 * Where records come from: one table of functions a kind of log. A source hands
 * records to the consume stage, which decodes them into batches:
 *
 *   while (consume_has_room(c))
 *       take the next record: consume_take, and consume_cut when it says so
 *
 * Thread: loop, all of it.
 */
struct consume;
struct envelope;
struct source;

struct source_ops {
    const char *name; /* as in events.log */

    /* Creates *out, or explains in *err. Reads on from p->start. */
    must_check enum status (*open)(struct source **out, struct consume *c,
                                   struct pipeline *p, struct error *err);
    void (*start)(struct source *s);

    /* There may be room again, or the input may have grown. */
    void (*resume)(struct source *s);

    /* Writes where to go on behind the records taken so far, and in which log.
     */
    void (*position)(const struct source *s, struct positions *out,
                     struct log_identity *log);

    /* A batch was settled: what it carries, and all before it, is safe. Oldest
     * first. May be NULL. */
    void (*settled)(struct source *s, const struct batch *b);

    /* What was handed on since the last settled batch will not be settled: go
     * back there, in a new epoch. May be NULL. */
    void (*restart)(struct source *s);

    /* Hands on no more, then calls consume_source_stopped once. May be called
     * again: the later calls do nothing. */
    void (*stop)(struct source *s);

    /* Adds what the source knows to *r: see stage_ops. */
    void (*report)(const struct source *s, struct role_report *r);

    /* Frees *self and sets it NULL; NULL is fine. After
     * consume_source_stopped, or when the pipeline never started. */
    void (*free)(struct source **self);
};

extern const struct source_ops source_file;
extern const struct source_ops source_kafka;

/* A record, and the event inside it. */
struct incoming {
    struct record record;
    const char *event; /* NULL: there is none, see reason */
    size_t event_bytes;
    const struct envelope *envelope; /* of a CloudEvent; otherwise NULL */
    const struct error *reason;      /* why there is no event */
    size_t whole_bytes;              /* of a value that is cut; otherwise 0 */
    const char *sha256;              /* of the whole value, where it is cut */
};

/* consume_has_room says whether consume_take would take a record now; false:
 * resume follows. */
bool consume_has_room(struct consume *c);

/*
 * consume_take decodes a record into the open batch: as a row, as a dead
 * letter, or not at all. True: the batch has all the rows it may have, and is
 * to be cut when the source has noted the position behind the record. On a
 * failure the stage has failed.
 */
bool consume_take(struct consume *c, const struct incoming *in);

/* consume_cut closes the open batch and hands it on, when it holds anything or
 * moves the position. */
void consume_cut(struct consume *c);

/* consume_is_empty says whether the open batch has no row and no dead letter,
 * and no batch waits for room. */
bool consume_is_empty(const struct consume *c);

/* consume_drop forgets the open batch and the one that waits for room. */
void consume_drop(struct consume *c);

/* consume_forget forgets what was seen of the sources: another pass begins. */
void consume_forget(struct consume *c, uint32_t pass);

/* consume_end says that the input has ended and all of it was handed on. */
void consume_end(struct consume *c);

/* consume_fail ends the role. */
void consume_fail(struct consume *c, const struct error *err);

/* consume_source_stopped says that the source holds nothing any more. */
void consume_source_stopped(struct consume *c);

#endif
