/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics page of a server of models.
 */
#include "stages/serve/routes.h"

#include "daemon/base/macros.h"
#include "daemon/metrics.h"
#include "daemon/version.h"

enum serve_metric {
    METRIC_INFO,
    METRIC_CONNECTIONS,
    METRIC_VERSION,
    METRIC_REQUESTS,
    METRIC_ROWS,
    METRIC_CALLS,
    METRIC_BATCH_ROWS,
    METRIC_SECONDS,
    METRIC_MODEL_SECONDS,
    METRIC_WAITING,
    METRIC_RELOADS,
    METRIC_COUNT,
};

static const struct metric_row rows[] = {
    [METRIC_INFO] = {.name = "distilld_build_info",
                     .kind = METRIC_KIND_GAUGE,
                     .labels = {"version"},
                     .help = "1, with what this process is made of."},
    [METRIC_CONNECTIONS] = {.name = "distilld_serve_connections",
                            .kind = METRIC_KIND_GAUGE,
                            .help = "Clients that are connected."},
    [METRIC_VERSION] = {.name = "distilld_serve_model_version",
                        .kind = METRIC_KIND_GAUGE,
                        .labels = {"model"},
                        .help = "The version that is served."},
    [METRIC_REQUESTS] = {.name = "distilld_serve_requests_total",
                         .kind = METRIC_KIND_COUNTER,
                         .labels = {"model", "outcome"},
                         .help = "Inference requests: ok, refused (4xx), "
                                 "failed (500), full (503)."},
    [METRIC_ROWS] = {.name = "distilld_serve_rows_total",
                     .kind = METRIC_KIND_COUNTER,
                     .labels = {"model"},
                     .help = "Rows answered."},
    [METRIC_CALLS] = {.name = "distilld_serve_model_calls_total",
                      .kind = METRIC_KIND_COUNTER,
                      .labels = {"model"},
                      .help = "Calls of the model, each for a batch of rows."},
    [METRIC_BATCH_ROWS] = {.name = "distilld_serve_batch_rows",
                           .kind = METRIC_KIND_HISTOGRAM,
                           .labels = {"model"},
                           .help = "Rows a call of the model."},
    [METRIC_SECONDS] = {.name = "distilld_serve_request_seconds",
                        .kind = METRIC_KIND_HISTOGRAM,
                        .labels = {"model"},
                        .help = "From a whole request to its answer."},
    [METRIC_MODEL_SECONDS] = {.name = "distilld_serve_model_seconds_total",
                              .kind = METRIC_KIND_COUNTER,
                              .labels = {"model"},
                              .help = "Spent in the model."},
    [METRIC_WAITING] = {.name = "distilld_serve_waiting",
                        .kind = METRIC_KIND_GAUGE,
                        .labels = {"model"},
                        .help = "Requests without an answer yet."},
    [METRIC_RELOADS] = {.name = "distilld_serve_reloads_total",
                        .kind = METRIC_KIND_COUNTER,
                        .labels = {"model", "outcome"},
                        .help = "Newer versions: ok, or refused."},
};

_Static_assert(COUNT(rows) == METRIC_COUNT, "a row for each");

static void
put(struct metrics_writer *w, enum serve_metric id, double value,
    const char *model, const char *outcome)
{
    const char *const values[METRIC_LABELS_MAX] = {model, outcome, NULL};

    metrics_put(w, id, value, values);
}

/* One family, of every model. */
static void
put_family(struct metrics_writer *w, const struct routes *r,
           enum serve_metric id)
{
    for (size_t i = 0; i < r->host_count; i++) {
        const struct host *h = r->hosts[i];
        const struct host_counters *c = host_counters(h);
        const char *name = host_name(h);
        const char *const values[METRIC_LABELS_MAX] = {name, NULL, NULL};

        switch (id) {
        case METRIC_VERSION:
            put(w, id, (double)host_version(h)->number, name, NULL);
            break;
        case METRIC_REQUESTS:
            put(w, id, (double)(c->requests - c->refused - c->failed), name,
                "ok");
            put(w, id, (double)c->refused, name, "refused");
            put(w, id, (double)c->failed, name, "failed");
            put(w, id, (double)c->full, name, "full");
            break;
        case METRIC_ROWS:
            put(w, id, (double)c->rows, name, NULL);
            break;
        case METRIC_CALLS:
            put(w, id, (double)c->calls, name, NULL);
            break;
        case METRIC_BATCH_ROWS:
            metrics_put_histogram(w, id, &c->batch, values);
            break;
        case METRIC_SECONDS:
            metrics_put_histogram(w, id, &c->seconds, values);
            break;
        case METRIC_MODEL_SECONDS:
            put(w, id, (double)c->model_ns * 1e-9, name, NULL);
            break;
        case METRIC_WAITING:
            put(w, id, (double)host_waiting(h), name, NULL);
            break;
        case METRIC_RELOADS:
            put(w, id, (double)c->reloads, name, "ok");
            put(w, id, (double)c->reload_failures, name, "refused");
            break;
        case METRIC_INFO:
        case METRIC_CONNECTIONS:
        case METRIC_COUNT:
            break;
        }
    }
}

enum status
routes_write_metrics(struct routes *r, struct error *err)
{
    struct metrics_writer w;

    metrics_begin(&w, rows, COUNT(rows), &r->page);
    put(&w, METRIC_INFO, 1, version_text(), NULL);
    put(&w, METRIC_CONNECTIONS, http_server_connections(r->server), NULL, NULL);
    for (enum serve_metric id = METRIC_VERSION; id < METRIC_COUNT; id++)
        put_family(&w, r, id);
    return metrics_end(&w, err);
}
