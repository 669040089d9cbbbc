/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "daemon/base/error.h"
#include "daemon/io/address.h"

#include <stddef.h>
#include <stdint.h>

/*
 * `distilld serve`: models over HTTP, by the Open Inference Protocol
 * (version 2) with its binary tensor data extension.
 */

#define SERVE_MODELS_MAX 32

struct serve_model {
    const char *name; /* "": as the checkpoint calls it */
    const char *path; /* a version's directory, or one with `latest` */
};

struct serve_spec {
    struct serve_model models[SERVE_MODELS_MAX];
    size_t model_count;
    struct address address;
    size_t rows_max; /* of a request, and of a call of a model */
    uint64_t batch_delay_ms;
    size_t threads; /* of a model's call */
    size_t body_bytes_max;
    unsigned connections_max;
    size_t waiting_max;             /* requests a model */
    void (*give_up)(int exit_code); /* a second signal; does not return */
};

/* serve_run serves until SIGTERM or SIGINT, then answers what it has, and
 * returns. As host_new and http_server_new. Thread: the process's first. */
must_check enum status serve_run(const struct serve_spec *spec,
                                 struct error *err);

#endif
