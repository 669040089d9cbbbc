/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers without an end. A stream's connection is suspended while there is
 * nothing to send. Every HEARTBEAT_MS of silence a line feed is sent: a
 * suspended connection cannot see that its client is gone.
 */
#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/http_server_priv.h"

#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS 5000u
#define STREAM_BLOCK 4096u

static ssize_t
on_stream_read(void *ctx, uint64_t position, char *out, size_t room)
{
    struct http_exchange *x = ctx;
    struct http_stream *stream = x->stream;
    size_t n;

    (void)position;
    OBJ_CHECK(x, CONN_MAGIC);
    if (stream == NULL)
        return MHD_CONTENT_READER_END_OF_STREAM;
    n = stream->buffer.used - stream->sent;
    if (n == 0 && stream->is_closed)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        stream->is_suspended = true;
        MHD_suspend_connection(x->connection);
        return 0;
    }
    n = n < room ? n : room;
    memcpy(out, stream->buffer.data + stream->sent, n);
    stream->sent += n;
    x->started_ns = clock_now_ns(); /* it takes what it is sent */
    if (stream->sent == stream->buffer.used) {
        stream->sent = 0;
        bytes_clear(&stream->buffer);
    }
    return (ssize_t)n;
}

static void
wake_stream(struct http_stream *stream)
{
    if (!stream->is_suspended)
        return;
    stream->is_suspended = false;
    stream->exchange->started_ns = clock_now_ns();
    http_resume(stream->exchange);
}

enum status
http_stream_open(struct http_stream **out, struct http_exchange *x,
                 const char *type, void (*on_end)(void *ctx), void *ctx,
                 struct error *err)
{
    struct http_server *s = x->server;
    struct http_stream *stream;
    struct MHD_Response *response;

    OBJ_CHECK(x, CONN_MAGIC);
    assert(!x->is_answered && on_end != NULL);
    if (s->stream_count >= s->limits.streams_max)
        return error_set(err, STATUS_AGAIN, "%u streams are open already",
                         s->stream_count);
    stream = calloc(1, sizeof(*stream));
    response =
        stream == NULL
            ? NULL
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                on_stream_read, x, NULL);
    if (response == NULL) {
        free(stream);
        return error_set(err, STATUS_NOMEM, "no memory for a stream");
    }
    bytes_init(&stream->buffer, s->limits.stream_bytes);
    stream->exchange = x;
    stream->on_end = on_end;
    stream->ctx = ctx;
    stream->written_ns = clock_now_ns();
    x->stream = stream;
    x->state = CONN_STREAMING;
    s->stream_count++;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    http_queue_response(x, MHD_HTTP_OK, response);
    *out = stream;
    return STATUS_OK;
}

enum status
http_stream_write(struct http_stream *stream, const void *data, size_t n)
{
    struct bytes *b = &stream->buffer;
    struct error err;

    OBJ_CHECK(stream->exchange, CONN_MAGIC);
    if (stream->sent > 0) {
        memmove(b->data, b->data + stream->sent, b->used - stream->sent);
        b->used -= stream->sent;
        stream->sent = 0;
    }
    if (stream->is_closed || bytes_append(b, data, n, &err) != STATUS_OK)
        return STATUS_AGAIN;
    stream->written_ns = clock_now_ns();
    wake_stream(stream);
    return STATUS_OK;
}

void
http_stream_close(struct http_stream *stream)
{
    OBJ_CHECK(stream->exchange, CONN_MAGIC);
    stream->is_closed = true;
    wake_stream(stream);
}

void
http_stream_end(struct http_exchange *x)
{
    struct http_stream *stream = x->stream;

    if (stream == NULL)
        return;
    x->stream = NULL;
    x->server->stream_count--;
    bytes_fini(&stream->buffer);
    stream->on_end(stream->ctx);
    free(stream);
}

void
http_stream_sweep(struct http_stream *stream, uint64_t now)
{
    uint64_t longest = HEARTBEAT_MS * (uint64_t)NS_PER_MS;

    if (http_is_client_gone(stream->exchange) ||
        (now - stream->written_ns >= longest &&
         http_stream_write(stream, "\n", 1) != STATUS_OK))
        http_stream_close(stream);
}
