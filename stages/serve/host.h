/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_HOST_H
#define SERVE_HOST_H

#include "stages/serve/round.h"
#include "stages/serve/version.h"

#include "daemon/base/error.h"
#include "daemon/io/http_server.h"
#include "daemon/io/loop.h"
#include "daemon/metrics.h"

/*
 * A model that is served: its current version, the requests that wait for it,
 * and the thread that answers them, round by round. While a round is being
 * answered, what comes gathers into the next one; batch_delay_ms gathers for
 * longer. A newer version takes over between two rounds. Thread: loop.
 */
struct host;

#define HOST_NAME_MAX 127

struct host_spec {
    const char *name; /* "": as the checkpoint calls it */
    struct version_spec version;
    uint64_t batch_delay_ms;
    size_t waiting_max; /* requests */
};

struct host_counters {
    uint64_t requests; /* that were answered, with any code */
    uint64_t refused;  /* of them 400 */
    uint64_t failed;   /* of them 500 */
    uint64_t full;     /* 503: too many waited */
    uint64_t rows;
    uint64_t calls;
    uint64_t model_ns;
    uint64_t reloads;
    uint64_t reload_failures;
    struct histogram seconds; /* from a request to its answer */
    struct histogram batch;   /* rows a call, mean of a round */
};

/* host_new loads the version, which blocks, and starts the thread. Borrows
 * spec until return but for the path, kept until host_free. As version_open;
 * CONFIG when the name is none that can be in a URL. */
must_check enum status host_new(struct host **out, struct loop *l,
                                const struct host_spec *spec,
                                struct error *err);

/* host_free frees *self and sets it NULL; NULL is fine. It waits for a round
 * that is under way; requests that wait are forgotten. */
void host_free(struct host **self);

/* host_name and host_version lend the name and what is served now. */
const char *host_name(const struct host *h);
const struct version *host_version(const struct host *h);
const struct host_counters *host_counters(const struct host *h);
const struct host_spec *host_spec(const struct host *h);

/* host_waiting counts requests that have no answer yet. */
size_t host_waiting(const struct host *h);

/*
 * host_ask takes the exchange's body and will answer it: json_len of its bytes
 * are JSON. wants_version 0 is any. AGAIN, and nothing taken, when too many
 * wait. NOMEM.
 */
must_check enum status host_ask(struct host *h, struct http_exchange *x,
                                size_t json_len, uint64_t wants_version,
                                struct error *err);

/*
 * A newer version is looked for and loaded by host_refresh, on a thread that
 * may block; it is not called before host_may_refresh says so, on the loop,
 * nor before host_adopt was, on the loop, after the last time. host_adopt makes
 * what was loaded the current version.
 */
bool host_may_refresh(const struct host *h);
void host_refresh(struct host *h);
void host_adopt(struct host *h);

#endif
