/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol's paths:
 *
 *   /v2  /v2/health/live  /v2/health/ready  /metrics
 *   /v2/models/NAME[/versions/NUMBER]  and behind it  /ready /config /infer
 */
#include "stages/serve/routes.h"

#include "stages/checkpoint/versions.h"
#include "stages/serve/describe.h"
#include "stages/serve/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS   "/v2/models/"
#define VERSIONS "/versions/"

static void
answer_json(struct routes *r, struct http_exchange *x, unsigned code)
{
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "application/json",
                                         .data = r->page.data,
                                         .len = r->page.used});
}

static void
answer_text(struct http_exchange *x, unsigned code, const char *json)
{
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "application/json",
                                         .data = json,
                                         .len = strlen(json)});
}

static void
refuse_with(struct routes *r, struct http_exchange *x, unsigned code,
            const char *why, const char *header, const char *value)
{
    struct error err;

    bytes_clear(&r->page);
    if (response_write_error(&r->page, why, &err) != STATUS_OK)
        bytes_clear(&r->page);
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "application/json",
                                         .data = r->page.data,
                                         .len = r->page.used,
                                         .header = header,
                                         .value = value});
}

void
routes_refuse(void *ctx, struct http_exchange *x, unsigned code,
              const char *why)
{
    bool may_retry = code == 503;

    refuse_with(ctx, x, code, why, may_retry ? "Retry-After" : NULL, "1");
}

print_like(4, 5) static void refuse(struct routes *r, struct http_exchange *x,
                                    unsigned code, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    routes_refuse(r, x, code, text);
}

/* Whether the method is this one (GET: HEAD, too); if not, it was told. */
static bool
is_method(struct routes *r, struct http_exchange *x, const char *method)
{
    const char *given = http_method(x);

    if (strcmp(given, method) == 0 ||
        (strcmp(method, "GET") == 0 && strcmp(given, "HEAD") == 0))
        return true;
    refuse_with(r, x, 405, "not with this method", "Allow", method);
    return false;
}

/* ---- a model ---- */

static struct host *
find_host(const struct routes *r, const char *name, size_t len)
{
    for (size_t i = 0; i < r->host_count; i++) {
        if (strlen(host_name(r->hosts[i])) == len &&
            memcmp(host_name(r->hosts[i]), name, len) == 0)
            return r->hosts[i];
    }
    return NULL;
}

static void
refuse_model(struct routes *r, struct http_exchange *x, const char *name,
             size_t len)
{
    char text[512];
    size_t used = (size_t)snprintf(
        text, sizeof(text), "no model \"%.*s\"; there %s",
        (int)(len < 64 ? len : 64), name, r->host_count == 1 ? "is" : "are");

    for (size_t i = 0; i < r->host_count && used < sizeof(text); i++) {
        int n = snprintf(text + used, sizeof(text) - used, "%s %s",
                         i == 0 ? "" : ",", host_name(r->hosts[i]));

        used += n > 0 ? (size_t)n : 0;
    }
    routes_refuse(r, x, 404, text);
}

/* How much of the body is JSON; false: the header makes no sense, and it was
 * told. */
static bool
find_json(struct routes *r, struct http_exchange *x, size_t *json_len)
{
    const char *text = http_header(x, "Inference-Header-Content-Length");
    const char *coding = http_header(x, "Content-Encoding");
    unsigned long long value;
    size_t len;
    char *end;

    (void)http_body(x, &len);
    *json_len = len;
    if (coding != NULL && strcmp(coding, "identity") != 0) {
        refuse(r, x, 415, "Content-Encoding %.32s, expected none", coding);
        return false;
    }
    if (text == NULL)
        return true;
    value = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value > len) {
        refuse(r, x, 400,
               "Inference-Header-Content-Length %.32s, expected a number of "
               "bytes of the body, which has %zu",
               text, len);
        return false;
    }
    *json_len = (size_t)value;
    return true;
}

static void
infer(struct routes *r, struct http_exchange *x, struct host *h,
      uint64_t version)
{
    size_t json_len;
    struct error err;

    if (!is_method(r, x, "POST") || !find_json(r, x, &json_len))
        return;
    if (host_ask(h, x, json_len, version, &err) != STATUS_OK)
        routes_refuse(r, x, 503, err.text);
}

static void
describe(struct routes *r, struct http_exchange *x, const struct host *h,
         enum status (*put)(struct bytes *, const struct host *,
                            struct error *))
{
    struct error err;

    if (!is_method(r, x, "GET"))
        return;
    bytes_clear(&r->page);
    if (put(&r->page, h, &err) == STATUS_OK)
        answer_json(r, x, 200);
    else
        routes_refuse(r, x, 500, err.text);
}

static void
say_ready(struct routes *r, struct http_exchange *x)
{
    if (!is_method(r, x, "GET"))
        return;
    if (r->is_draining)
        routes_refuse(r, x, 503, "stopping");
    else
        answer_text(x, 200, "{\"ready\":true}");
}

/* path is behind MODELS. */
static void
handle_model(struct routes *r, struct http_exchange *x, const char *path)
{
    size_t len = strcspn(path, "/");
    struct host *h = find_host(r, path, len);
    uint64_t version = 0;

    if (h == NULL) {
        refuse_model(r, x, path, len);
        return;
    }
    path += len;
    if (strncmp(path, VERSIONS, sizeof(VERSIONS) - 1) == 0) {
        char text[24];

        path += sizeof(VERSIONS) - 1;
        len = strcspn(path, "/");
        (void)snprintf(text, sizeof(text), "%.*s", (int)(len < 22 ? len : 22),
                       path);
        path += len;
        version = versions_parse(text);
        if (version == 0 || version != host_version(h)->number) {
            refuse(r, x, 404, "model %s has no version %s, it is served in %s",
                   host_name(h), text, host_version(h)->number_text);
            return;
        }
    }
    if (strcmp(path, "/infer") == 0)
        infer(r, x, h, version);
    else if (strcmp(path, "/ready") == 0)
        say_ready(r, x);
    else if (strcmp(path, "/config") == 0)
        describe(r, x, h, describe_config);
    else if (path[0] == '\0')
        describe(r, x, h, describe_model);
    else
        refuse(r, x, 404, "a model has /ready, /config and /infer");
}

/* ---- the server ---- */

static void
say_server(struct routes *r, struct http_exchange *x)
{
    struct error err;

    bytes_clear(&r->page);
    if (describe_server(&r->page, &err) == STATUS_OK)
        answer_json(r, x, 200);
    else
        routes_refuse(r, x, 500, err.text);
}

static void
say_metrics(struct routes *r, struct http_exchange *x)
{
    struct error err;

    if (routes_write_metrics(r, &err) != STATUS_OK) {
        routes_refuse(r, x, 500, err.text);
        return;
    }
    http_answer(x, &(struct http_answer){
                       .code = 200,
                       .type = "text/plain; version=0.0.4; charset=utf-8",
                       .data = r->page.data,
                       .len = r->page.used});
}

void
routes_handle(void *ctx, struct http_exchange *x)
{
    struct routes *r = ctx;
    const char *path = http_path(x);

    if (strncmp(path, MODELS, sizeof(MODELS) - 1) == 0)
        handle_model(r, x, path + sizeof(MODELS) - 1);
    else if (strcmp(path, "/v2/health/ready") == 0)
        say_ready(r, x);
    else if (strcmp(path, "/v2/health/live") != 0 && strcmp(path, "/v2") != 0 &&
             strcmp(path, "/v2/") != 0 && strcmp(path, "/metrics") != 0)
        routes_refuse(r, x, 404,
                      "no such path; there are /v2, /v2/health/live, "
                      "/v2/health/ready, /v2/models/NAME and /metrics");
    else if (!is_method(r, x, "GET"))
        return;
    else if (strcmp(path, "/v2/health/live") == 0)
        answer_text(x, 200, "{\"live\":true}");
    else if (strcmp(path, "/metrics") == 0)
        say_metrics(r, x);
    else
        say_server(r, x);
}
