/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's easy interface: one handle, used again and again so that it keeps
 * its connection.
 */
#include "daemon/io/http_client.h"

#include "daemon/base/object.h"
#include "daemon/io/http_curl_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_MAGIC    0x48434c49u
#define CONNECT_MS      3000L
#define REFUSAL_MAX     ((size_t)512)
#define HEADER_MAX      512
#define HTTP_OK         200
#define HTTP_NO_TOKEN   401
#define HTTP_NOT_FOR_US 403

struct http_client {
    unsigned magic;
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
};

/* A transfer while it runs. */
struct transfer {
    struct http_client *client;
    const struct http_client_request *request;
    http_take_fn take;
    struct bytes *body;   /* NULL: take */
    struct bytes refusal; /* what an answer that is not 200 says */
    enum status status;   /* why it was stopped, or OK */
    struct error *err;
};

enum status
http_client_new(struct http_client **out, struct error *err)
{
    struct http_client *c = calloc(1, sizeof(*c));

    if (c != NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        c->curl = curl_easy_init();
    if (c == NULL || c->curl == NULL) {
        free(c);
        return error_set(err, STATUS_NOMEM, "no memory for an HTTP client");
    }
    c->magic = CLIENT_MAGIC;
    *out = c;
    return STATUS_OK;
}

void
http_client_free(struct http_client **self)
{
    struct http_client *c;

    if (*self == NULL)
        return;
    OBJ_TAKE(c, self, CLIENT_MAGIC);
    curl_easy_cleanup(c->curl);
    curl_global_cleanup();
    c->magic = 0;
    free(c);
}

static long
response_code(const struct transfer *t)
{
    long code = 0;

    (void)curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

/* libcurl's write callback: a result other than n stops the transfer. */
static size_t
on_data(char *data, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;

    (void)one;
    if (response_code(t) != HTTP_OK) {
        size_t room = REFUSAL_MAX - t->refusal.used;

        t->status =
            bytes_append(&t->refusal, data, n < room ? n : room, t->err);
    } else if (t->body != NULL) {
        t->status = bytes_append(t->body, data, n, t->err);
    } else if (!t->take(t->request->ctx, data, n)) {
        t->status = STATUS_END;
    }
    return t->status == STATUS_OK ? n : 0;
}

static int
on_progress(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
            curl_off_t up)
{
    struct transfer *t = ctx;

    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    if (t->request->is_stopped == NULL ||
        !t->request->is_stopped(t->request->ctx))
        return 0;
    t->status = STATUS_END;
    return 1;
}

static bool
configure(struct transfer *t, struct curl_slist *headers)
{
    CURL *curl = t->client->curl;
    const struct http_client_request *q = t->request;

    curl_easy_reset(curl);
    t->client->curl_error[0] = '\0';
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->client->curl_error);
    http_curl_restrict(curl);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    return curl_easy_setopt(curl, CURLOPT_URL, q->url) == CURLE_OK;
}

/* What became of it, in our words. */
static enum status
settle(struct transfer *t, CURLcode rc)
{
    const char *url = t->request->url;
    const char *why = t->client->curl_error[0] != '\0' ? t->client->curl_error
                                                       : curl_easy_strerror(rc);
    long code = response_code(t);
    int n = (int)t->refusal.used;

    if (t->status == STATUS_END)
        return error_set(t->err, STATUS_END, "%.300s: stopped", url);
    if (t->status != STATUS_OK)
        return t->status; /* and *err says why */
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return error_set(t->err, STATUS_TIMEOUT, "%.300s: %s", url, why);
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return error_set(t->err, STATUS_USAGE,
                         "%.300s: %s, expected http://HOST:PORT", url, why);
    if (rc != CURLE_OK)
        return error_set(t->err, STATUS_REFUSED, "%.300s: %s", url, why);
    if (code == HTTP_OK)
        return STATUS_OK;
    while (n > 0 && t->refusal.data[n - 1] == '\n')
        n--;
    return error_set(t->err,
                     code == HTTP_NO_TOKEN || code == HTTP_NOT_FOR_US
                         ? STATUS_DENIED
                         : STATUS_REFUSED,
                     "%.300s: HTTP %ld: %.*s", url, code, n,
                     t->refusal.data != NULL ? t->refusal.data : "");
}

static enum status
run_transfer(struct transfer *t)
{
    struct curl_slist *headers = NULL;
    char header[HEADER_MAX];
    enum status st;

    OBJ_CHECK(t->client, CLIENT_MAGIC);
    bytes_init(&t->refusal, REFUSAL_MAX);
    if (*t->request->token != '\0') {
        (void)snprintf(header, sizeof(header), "Authorization: Bearer %s",
                       t->request->token);
        headers = curl_slist_append(NULL, header);
        if (headers == NULL)
            return error_set(t->err, STATUS_NOMEM, "no memory for a header");
    }
    if (configure(t, headers))
        st = settle(t, curl_easy_perform(t->client->curl));
    else
        st = error_set(t->err, STATUS_NOMEM, "no memory for a request");
    curl_slist_free_all(headers);
    bytes_fini(&t->refusal);
    return st;
}

enum status
http_client_get(struct http_client *c, const struct http_client_request *q,
                struct bytes *body, struct error *err)
{
    struct transfer t = {.client = c, .request = q, .body = body, .err = err};

    bytes_clear(body);
    return run_transfer(&t);
}

enum status
http_client_stream(struct http_client *c, const struct http_client_request *q,
                   http_take_fn take, struct error *err)
{
    struct transfer t = {.client = c, .request = q, .take = take, .err = err};

    assert(take != NULL);
    return run_transfer(&t);
}
