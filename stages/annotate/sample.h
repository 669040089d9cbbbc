/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_SAMPLE_H
#define ANNOTATE_SAMPLE_H

#include "stages/batch.h"
#include "stages/pipeline.h"

/*
 * Which events deserve a question (teacher.sample): each has a probability p,
 * by the way of choosing, and is asked about when its own draw is below p.
 *
 *   rate         p = rate
 *   segment      p = what rates has for the value of a feature, or rate
 *   novelty      p = rate + (rate_high - rate) / (1 + n), n sightings of the
 *                least seen id of the event before it
 *   uncertainty  p = rate + (rate_high - rate) * doubt of the student
 *
 * The draw depends on seed, source partition and offset alone. p goes with
 * every label, also of those that were not chosen. Under a cap of calls a
 * second all p of a batch are made smaller alike, so that they stay true.
 *
 * Of file logs a replay chooses as the first run did: sightings are counted
 * anew from the log's beginning, the student is one version, and there is no
 * cap. Of Kafka, sightings begin anew with each start. Thread: loop.
 */
struct sampler;

struct sampler_spec {
    /* A batch has been chosen from; in the order that they came. May come from
     * inside of sampler_take. */
    void (*on_chosen)(void *ctx, struct batch *b);
    /* After sampler_stop, once; may come from inside of it. */
    void (*on_stopped)(void *ctx);
    void *ctx;
};

/* sampler_open prepares for what the settings say, when p->start is known. */
must_check enum status sampler_open(struct sampler **out, struct pipeline *p,
                                    const struct sampler_spec *spec,
                                    struct error *err);

/* sampler_take begins to choose from b, which is the caller's again with
 * on_chosen; at most pipeline.batches are under way. */
void sampler_take(struct sampler *s, struct batch *b);

/* sampler_stop takes no more. */
void sampler_stop(struct sampler *s);

/* sampler_free frees *self and sets it NULL; NULL is fine. After on_stopped, or
 * when no batch is under way. */
void sampler_free(struct sampler **self);

#endif
