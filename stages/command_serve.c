/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld serve`: models over HTTP.
 */
#include "stages/commands.h"
#include "stages/serve/server.h"

#include "daemon/base/macros.h"
#include "daemon/io/directory.h"

#include <stdio.h>
#include <string.h>

_Static_assert(SERVE_OPTIONS_MODELS_MAX == SERVE_MODELS_MAX, "as many");

/* Splits "NAME=CHECKPOINT": a name has no slash, so that a path may have an
 * equals sign. */
static void
split_model(const char *text, char name[PATH_TEXT_MAX],
            struct serve_model *model)
{
    size_t n = strcspn(text, "=/");

    *model = (struct serve_model){.name = "", .path = text};
    if (text[n] != '=' || n >= PATH_TEXT_MAX)
        return;
    memcpy(name, text, n);
    name[n] = '\0';
    *model = (struct serve_model){.name = name, .path = text + n + 1};
}

enum status
serve_command(const struct serve_options *options, struct error *err)
{
    static char names[SERVE_MODELS_MAX][PATH_TEXT_MAX];
    struct serve_spec spec = {
        .model_count = options->model_count,
        .rows_max = (size_t)options->batch_max,
        .batch_delay_ms = options->batch_delay,
        .threads = (size_t)options->threads,
        .body_bytes_max = (size_t)options->body_max,
        .connections_max = (unsigned)options->connections,
        .waiting_max = (size_t)options->waiting_max,
        .give_up = options->give_up,
    };
    struct error why;

    if (address_parse(&spec.address, options->listen, &why) != STATUS_OK)
        return error_set(err, STATUS_USAGE, "--listen: %.900s", why.text);
    for (size_t i = 0; i < options->model_count; i++)
        split_model(options->models[i], names[i], &spec.models[i]);
    return serve_run(&spec, err);
}
