/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_ROUND_H
#define SERVE_ROUND_H

#include "stages/serve/request.h"
#include "stages/serve/version.h"

#include "daemon/base/bytes.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A round: requests that came together, read into one batch and answered by
 * one version. What cannot be read is answered with what is wrong with it, and
 * costs the others nothing.
 */

struct http_exchange;

/* A request on its way. Before the round: body to wants_version; after it the
 * rest, too. */
struct job {
    struct job *next;
    struct http_exchange *exchange;
    struct bytes body;
    size_t json_len;
    size_t rows_guess;
    uint64_t arrived_ns;
    uint64_t wants_version; /* 0: any */
    unsigned code;          /* HTTP; 0: not answered yet */
    struct bytes answer;
    size_t answer_json_len; /* less than all: bytes follow */
    struct request request;
};

struct round {
    struct version *version;
    const char *model; /* its name in answers */
    struct job *first;
    /* What it did: */
    size_t calls; /* of the model */
    size_t rows;
    uint64_t model_ns;
};

/* round_run answers every job. Thread: the one that has the version.
 * Allocates: the answers' bytes, up to their maximum. */
void round_run(struct round *r);

#endif
