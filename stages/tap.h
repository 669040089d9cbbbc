/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_TAP_H
#define STAGES_TAP_H

#include "stages/batch.h"

#include "daemon/io/http_server.h"

/*
 * A live sample of what goes through the roles, for people who look: lines of
 * JSON to a few HTTP clients, each at its own rate. Whoever has records offers
 * them; without a client that costs a comparison a batch. A record that a
 * client has no room or no rate for is passed over. Thread: loop.
 */
struct tap;

enum tap_kind {
    TAP_EVENTS,
    TAP_LABELS,
    TAP_DEAD_LETTERS,
    TAP_KINDS,
};

#define TAP_RATE_MAX 1000 /* records a second */

/* tap_new. NOMEM. */
must_check enum status tap_new(struct tap **out, struct error *err);

/* tap_free frees *self when all its streams have ended; NULL is fine. */
void tap_free(struct tap **self);

/*
 * tap_attach answers a request with a stream of records: rate a second, and
 * after `limit` of them (0: no limit) it ends. AGAIN when there are too many
 * clients already, NOMEM; the request is not answered then.
 */
must_check enum status tap_attach(struct tap *t, enum tap_kind kind,
                                  unsigned rate, uint64_t limit,
                                  struct http_exchange *x, struct error *err);

/* tap_wants says whether a record of this kind would be shown now. t may be
 * NULL: nobody can look. */
bool tap_wants(struct tap *t, enum tap_kind kind);

/* tap_show offers one record, without a line feed. */
void tap_show(struct tap *t, enum tap_kind kind, const char *data, size_t n);

/* tap_show_batch offers what a batch has of every kind: its rows' events, its
 * encoded labels and dead letters. t may be NULL. */
void tap_show_batch(struct tap *t, const struct batch *b);

/* tap_close ends all streams behind what they were given. */
void tap_close(struct tap *t);

#endif
