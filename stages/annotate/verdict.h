/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_VERDICT_H
#define ANNOTATE_VERDICT_H

#include "daemon/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What the end of a call to a teacher's server means. Asking is pure, so a
 * call may always be repeated; what can be retried makes no dead letter.
 */
enum verdict {
    VERDICT_ANSWER,  /* 2xx: read the body */
    VERDICT_BUSY,    /* 429, 503: later, and less at a time */
    VERDICT_RETRY,   /* nobody there, cut, 408, 425, 502, 504 ...: later */
    VERDICT_BROKEN,  /* 500, or a reply that cannot be one: later, but it may be
                        a row's fault */
    VERDICT_UNREADY, /* 404: the model is being loaded, or never will be */
    VERDICT_REJECT,  /* 400, 413, 422: of this request, it will not change */
    VERDICT_FATAL,   /* 401, 403, 405, a redirect, TLS ...: of any request; a
                        person must act */
};

/* After so many BROKEN ends a request is suspected; of a single row, it is to
 * blame when others were answered meanwhile. */
#define VERDICT_BROKEN_MAX 4

/* verdict_of judges one end: how the call ended (struct http_reply), and the
 * HTTP code when that is OK. */
enum verdict verdict_of(enum status st, unsigned code);

/* What else is known of a request and its server. */
struct verdict_past {
    size_t rows;          /* in this request */
    unsigned failures;    /* of this request, this one counted */
    bool others_answered; /* since its first failure */
    bool is_proven;       /* the server has answered before, since the start */
};

/*
 * verdict_settle turns a verdict into what is to be done: ANSWER, BUSY, RETRY,
 * REJECT (split it; of a single row: that row is rejected) or FATAL.
 *
 *   BROKEN   servers report a row that the model trips over as 500: REJECT
 *            when it failed VERDICT_BROKEN_MAX times, but a single row only
 *            when others were answered meanwhile; else RETRY
 *   UNREADY  RETRY
 *   FATAL    RETRY when the server is proven: a proxy's bad day or a token
 *            that is being replaced must not end a service
 */
enum verdict verdict_settle(enum verdict v, const struct verdict_past *past);

/* verdict_name gives a word for logs. */
const char *verdict_name(enum verdict v);

#endif
