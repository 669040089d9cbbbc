/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before the first call, and again where the model is gone: is the server
 * ready, what can it do, and how large may a batch be?
 *
 *   OIP         GET .../ready, then /v2 (with protocol auto), then .../config
 *   TF Serving  GET /v1/models/M: which version there is. It is then asked by
 *               its number, so that labels name the version that answered.
 */
#include "stages/annotate/http_teacher.h"
#include "stages/oip/metadata.h"

#include "daemon/base/logging.h"

#include <stdio.h>
#include <string.h>

/* TF Serving is asked again and again which version there is. */
#define VERSION_EVERY_MS 10000

static void send_probe(struct teacher *t);

static void
set_infer(struct teacher *t, const char *version)
{
    bool is_tfs = http_is_tfserving(t);

    (void)snprintf(t->infer, sizeof(t->infer), "%.1500s%s%.130s%s", t->base,
                   version[0] == '\0' ? "" : "/versions/", version,
                   is_tfs ? ":predict" : "/infer");
}

static void
log_ready(const struct teacher *t)
{
    log_info("teacher_ready",
             "teacher=%s url=%s version=\"%s\" batch_max=%zu binary=%s",
             t->settings->name, t->settings->url, t->version, t->rows_max,
             t->is_binary ? "true" : "false");
}

static void
try_again(struct teacher *t)
{
    t->probe_failures++;
    timer_start(t->probe_timer, pacer_retry_ms(&t->pacer, t->probe_failures, 0),
                0);
}

static void
finish(struct teacher *t)
{
    bool was_ready = t->step == PROBE_DONE;

    t->step = PROBE_DONE;
    t->probe_failures = 0;
    if (!was_ready) {
        http_no_trouble(t);
        log_ready(t);
    }
    if (http_is_tfserving(t) && t->settings->model_version[0] == '\0')
        timer_start(t->probe_timer, VERSION_EVERY_MS, 0);
    http_pump(t);
}

/* ---- Steps ---- */

static void
take_model(struct teacher *t, const struct http_reply *reply)
{
    char version[OIP_VERSION_MAX + 1];
    struct error err;

    if (http_is_tfserving(t)) {
        if (tfs_status_version(reply->body, reply->body_bytes,
                               t->settings->model_version, version,
                               &err) != STATUS_OK) {
            http_trouble(t, "%.300s", err.text);
            t->step = PROBE_MODEL;
            try_again(t);
            return;
        }
        (void)snprintf(t->version, sizeof(t->version), "%s", version);
        set_infer(t, version);
        finish(t);
        return;
    }
    set_infer(t, t->settings->model_version);
    t->step =
        t->settings->protocol == PROTOCOL_AUTO ? PROBE_SERVER : PROBE_CONFIG;
    send_probe(t);
}

static void
take_server(struct teacher *t, const struct http_reply *reply)
{
    t->is_binary =
        reply->code == 200 &&
        oip_server_has(reply->body, reply->body_bytes, "binary_tensor_data");
    t->step = PROBE_CONFIG;
    send_probe(t);
}

/* Not every server has it; its limit is then what the settings say. */
static void
take_config(struct teacher *t, const struct http_reply *reply)
{
    size_t limit;

    t->rows_max = t->settings->batch_max;
    if (reply->code == 200 &&
        oip_config_batch_max(reply->body, reply->body_bytes, &limit) &&
        limit > 0 && limit < t->rows_max)
        t->rows_max = limit;
    finish(t);
}

static void
take_failure(struct teacher *t, const struct http_reply *reply)
{
    char text[200];
    struct error err;

    if (reply->status != STATUS_OK) {
        (void)error_set(&err, reply->status, "%.300s", reply->error);
    } else {
        oip_error_text(reply->body, reply->body_bytes, text, sizeof(text));
        (void)error_set(
            &err,
            reply->code == 401 || reply->code == 403 ? STATUS_DENIED
                                                     : STATUS_REFUSED,
            "model %.100s is not ready: HTTP %u%s%s", t->settings->model_name,
            reply->code, text[0] == '\0' ? "" : ": ", text);
    }
    http_trouble(t, "%.500s", err.text);
    if (!t->is_proven &&
        verdict_of(reply->status, reply->code) == VERDICT_FATAL) {
        http_fail(t, &err);
        return;
    }
    try_again(t);
}

static void
on_probe(void *ctx, const struct http_reply *reply)
{
    struct teacher *t = ctx;
    bool is_answer = reply->status == STATUS_OK;

    t->probe = NULL;
    if (is_answer && reply->code == 200 &&
        (t->step == PROBE_MODEL || t->step == PROBE_DONE))
        take_model(t, reply);
    else if (is_answer && t->step == PROBE_SERVER)
        take_server(t, reply);
    else if (is_answer && t->step == PROBE_CONFIG)
        take_config(t, reply);
    else
        take_failure(t, reply);
}

/* Of the server's URL, without a slash at the end, which a path brings. */
static int
base_length(const struct teacher_settings *s)
{
    size_t len = strlen(s->url);

    while (len > 0 && s->url[len - 1] == '/')
        len--;
    return (int)len;
}

static void
send_probe(struct teacher *t)
{
    const char *version = t->settings->model_version;
    char url[HTTP_URL_MAX];
    struct http_request request = {.url = url,
                                   .timeout_ms = t->settings->timeout,
                                   .done = on_probe,
                                   .ctx = t};
    struct error err;

    if (t->step == PROBE_SERVER)
        (void)snprintf(url, sizeof(url), "%.*s/v2", base_length(t->settings),
                       t->settings->url);
    else
        (void)snprintf(url, sizeof(url), "%.1500s%s%.130s%s", t->base,
                       version[0] == '\0' ? "" : "/versions/", version,
                       http_is_tfserving(t)      ? ""
                       : t->step == PROBE_CONFIG ? "/config"
                                                 : "/ready");
    if (http_calls_send(t->calls, &request, &t->probe, &err) == STATUS_OK)
        return;
    t->probe = NULL;
    http_trouble(t, "%.300s", err.text);
    try_again(t);
}

static void
on_timer(void *ctx)
{
    struct teacher *t = ctx;

    if (t->probe == NULL && t->fatal.status == STATUS_OK)
        send_probe(t);
}

void
http_probe_begin(struct teacher *t)
{
    bool is_waiting = t->step == PROBE_MODEL && t->probe_failures > 0;

    t->step = PROBE_MODEL;
    if (is_waiting || t->probe != NULL)
        return;
    timer_stop(t->probe_timer);
    send_probe(t);
}

enum status
http_probe_init(struct teacher *t, struct error *err)
{
    const struct teacher_settings *s = t->settings;

    (void)snprintf(t->base, sizeof(t->base), "%.*s/%s/models/%s",
                   base_length(s), s->url, http_is_tfserving(t) ? "v1" : "v2",
                   s->model_name);
    t->is_binary = s->protocol == PROTOCOL_OIP_BINARY;
    set_infer(t, s->model_version);
    return timer_new(&t->probe_timer, t->pipeline->loop, on_timer, t, err);
}
