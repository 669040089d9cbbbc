/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's calls. A call that the server refuses is made again with half of its
 * rows, until one row alone is refused, which then is to blame; behind it the
 * calls grow again.
 */
#include "stages/annotate/http_teacher.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *
get_cells(const void *ctx, size_t row, size_t input, size_t *bytes)
{
    const struct http_job *j = ctx;
    const struct http_row *r = &j->rows[j->at + row];

    return tensor_rows_cells(r->slot->rows, r->row, input, bytes);
}

/* Leaves out the rows whose question is over. */
static void
drop_gone(struct http_job *j)
{
    size_t kept = j->at;

    for (size_t i = j->at; i < j->count; i++) {
        if (http_slot_of(&j->rows[i]) != NULL)
            j->rows[kept++] = j->rows[i];
    }
    j->count = kept;
    if (j->size > j->count - j->at)
        j->size = j->count - j->at;
}

static size_t
write_body(struct http_job *j, size_t *head_bytes)
{
    struct teacher *t = j->teacher;
    struct oip_request q = {
        .id = j->id,
        .inputs = t->map->tensors,
        .input_count = t->map->input_count,
        .outputs = t->map->output_names,
        .output_count = t->map->output_count,
        .signature = t->settings->signature,
        .row_count = j->size,
        .cells = get_cells,
        .ctx = j,
    };
    char *out = j->body.data;

    if (t->map->output_names[0][0] == '\0')
        q.output_count = 0;
    *head_bytes = 0;
    switch (t->settings->protocol) {
    case PROTOCOL_TFSERVING_ROW:
        return tfs_request_rows(&q, out, j->body.capacity);
    case PROTOCOL_TFSERVING_COLUMN:
        return tfs_request_columns(&q, out, j->body.capacity);
    case PROTOCOL_AUTO:
    case PROTOCOL_OIP:
    case PROTOCOL_OIP_BINARY:
        break;
    }
    if (j->is_binary)
        return oip_request_binary(&q, out, j->body.capacity, head_bytes);
    return oip_request_json(&q, out, j->body.capacity);
}

/* The first `size` rows have ended. */
static void
go_on(struct http_job *j, size_t next_size)
{
    j->at += j->size;
    j->failures = 0;
    j->not_before_ms = 0;
    if (j->at == j->count) {
        j->count = 0;
        return;
    }
    j->size = next_size;
    if (j->size > j->count - j->at)
        j->size = j->count - j->at;
}

static void
reject_row(struct http_job *j, const char *reason)
{
    struct http_row *r = &j->rows[j->at];
    struct slot *s = http_slot_of(r);

    assert(j->size == 1);
    if (s != NULL) {
        ask_reject(s->ask, r->row, reason);
        http_row_end(j->teacher, r, true);
    }
    go_on(j, 2);
}

/* Halves the call; a single row is rejected. What is suspected already is
 * halved again by its next failure, but a single row has all its chances. */
static void
split(struct http_job *j, const char *reason, bool is_suspect)
{
    if (j->size == 1) {
        reject_row(j, reason);
        return;
    }
    j->size = (j->size + 1) / 2;
    if (!is_suspect || j->size == 1)
        j->failures = 0;
    j->not_before_ms = 0;
}

/* ---- The canary ---- */

/* Keeps the first row of the first call that is answered, as a request of its
 * own; before the answer is taken, by which a row's question may end. */
static void
keep_canary(struct http_job *j)
{
    struct teacher *t = j->teacher;
    size_t size = j->size;
    size_t bytes;
    char id[sizeof(j->id)];
    struct error err;

    memcpy(id, j->id, sizeof(id));
    (void)snprintf(j->id, sizeof(j->id), "d-%" PRIu64, ++t->numbers);
    j->size = 1;
    bytes = write_body(j, &t->canary_head_bytes);
    j->size = size;
    memcpy(t->canary_id, j->id, sizeof(t->canary_id));
    memcpy(j->id, id, sizeof(id));
    if (bytes_append(&t->canary, j->body.data, bytes, &err) != STATUS_OK)
        bytes_clear(&t->canary); /* the next one, then */
}

/* A single row is suspected, and nobody else was answered meanwhile: another
 * is asked about first. */
static void
look_around(struct http_job *j)
{
    struct http_row suspect = j->rows[j->at];

    if (j->teacher->canary.used > 0) {
        j->is_control = true;
        return;
    }
    if (j->count - j->at == 1)
        return;
    memmove(&j->rows[j->at], &j->rows[j->at + 1],
            (j->count - j->at - 1) * sizeof(j->rows[0]));
    j->rows[j->count - 1] = suspect;
    j->failures = 0;
}

/* ---- The end of a call ---- */

static enum pacer_end
pace_of(const struct http_reply *reply, enum verdict v)
{
    if (v == VERDICT_ANSWER || v == VERDICT_REJECT)
        return PACED_ANSWERED;
    if (v == VERDICT_BUSY)
        return PACED_BUSY;
    return reply->status == STATUS_TIMEOUT ? PACED_LATE : PACED_FAILED;
}

/* Why a call has no answer, for a person. */
static void
describe(const struct http_reply *reply, struct error *err)
{
    char text[200];

    if (reply->status != STATUS_OK) {
        (void)error_set(err, reply->status, "%.300s", reply->error);
        return;
    }
    oip_error_text(reply->body, reply->body_bytes, text, sizeof(text));
    (void)error_set(err,
                    reply->code == 401 || reply->code == 403 ? STATUS_DENIED
                                                             : STATUS_REFUSED,
                    "HTTP %u%s%s", reply->code, text[0] == '\0' ? "" : ": ",
                    text);
}

/* One more, since times are cut to whole ms. */
static uint64_t
retry_after_ms(const struct http_reply *reply)
{
    return reply->has_retry_after ? reply->retry_after_ms + 1 : 0;
}

static void
retry_later(struct http_job *j, const struct http_reply *reply)
{
    struct teacher *t = j->teacher;

    t->counts.retries++;
    j->not_before_ms = http_now_ms() + pacer_retry_ms(&t->pacer, j->failures,
                                                      retry_after_ms(reply));
}

/* A server that does not understand binary tensors says so in many ways. */
static bool
falls_back(struct http_job *j, const struct http_reply *reply)
{
    struct teacher *t = j->teacher;

    if (!j->is_binary || t->has_used_binary ||
        t->settings->protocol != PROTOCOL_AUTO || reply->status != STATUS_OK ||
        (reply->code != 400 && reply->code != 415 && reply->code != 422))
        return false;
    t->is_binary = false;
    return true;
}

static void
settle(struct http_job *j, const struct http_reply *reply, enum verdict v,
       const struct error *why)
{
    struct teacher *t = j->teacher;
    struct verdict_past past = {.is_proven = t->is_proven};

    if (j->failures++ == 0)
        j->answered = t->pacer.answered;
    past.rows = j->size;
    past.failures = j->failures;
    past.others_answered = t->pacer.answered > j->answered;
    switch (verdict_settle(v, &past)) {
    case VERDICT_REJECT:
        split(j, why->text, v == VERDICT_BROKEN);
        return;
    case VERDICT_FATAL:
        http_fail(t, why);
        return;
    case VERDICT_ANSWER:
    case VERDICT_BUSY:
    case VERDICT_RETRY:
    case VERDICT_BROKEN:
    case VERDICT_UNREADY:
        break;
    }
    http_trouble(t, "%.300s", why->text);
    retry_later(j, reply);
    if (v == VERDICT_BROKEN && j->size == 1 &&
        j->failures >= VERDICT_BROKEN_MAX)
        look_around(j);
    if (v == VERDICT_UNREADY)
        http_probe_begin(t); /* which version there is may have changed */
}

/* Whatever comes of the canary, the row is next. */
static void
on_control(struct http_job *j, const struct http_reply *reply, enum verdict v,
           struct paced_end *end)
{
    struct teacher *t = j->teacher;
    struct error why;

    j->is_control = false;
    if (v == VERDICT_ANSWER && http_reply_check(t, reply, &why) != STATUS_OK)
        v = VERDICT_BROKEN;
    /* What is no answer to the canary says nothing good of the server. */
    end->end = v == VERDICT_REJECT ? PACED_FAILED : pace_of(reply, v);
    pacer_end(&t->pacer, &j->paced, end, http_now_ms());
    if (v != VERDICT_ANSWER)
        retry_later(j, reply);
}

/* Reads a reply that is an answer, if all is well. */
static enum verdict
take_answer(struct http_job *j, const struct http_reply *reply,
            struct error *why)
{
    bool is_first =
        j->teacher->canary.used == 0 && http_slot_of(&j->rows[j->at]) != NULL;
    bool is_row = false;

    if (is_first)
        keep_canary(j);
    if (http_reply_read(j, reply, &is_row, why) == STATUS_OK)
        return VERDICT_ANSWER;
    if (is_first)
        bytes_clear(&j->teacher->canary);
    return is_row ? VERDICT_REJECT : VERDICT_BROKEN;
}

static void
end_call(struct http_job *j, const struct http_reply *reply)
{
    struct teacher *t = j->teacher;
    enum verdict v = verdict_of(reply->status, reply->code);
    struct paced_end end = {
        .took_us = reply->took_us,
        .rows = j->is_control ? 1 : j->size,
        .retry_after_ms = retry_after_ms(reply),
    };
    struct error why;

    j->call = NULL;
    histogram_add(&t->counts.seconds, (double)reply->took_us / 1e6);
    if (j->is_control) {
        on_control(j, reply, v, &end);
        return;
    }
    if (falls_back(j, reply)) {
        end.end = PACED_ANSWERED;
        pacer_end(&t->pacer, &j->paced, &end, http_now_ms());
        return;
    }
    describe(reply, &why);
    if (v == VERDICT_ANSWER)
        v = take_answer(j, reply, &why);
    end.end = pace_of(reply, v);
    pacer_end(&t->pacer, &j->paced, &end, http_now_ms());
    if (v == VERDICT_ANSWER) {
        t->is_proven = true;
        t->has_used_binary = t->has_used_binary || j->is_binary;
        http_no_trouble(t);
        go_on(j, j->size * 2);
    } else {
        settle(j, reply, v, &why);
    }
}

/* The end of a row may bring the next question, in the middle of all this: it
 * is sent behind it, or this job would be sent again while it is read. */
static void
on_reply(void *ctx, const struct http_reply *reply)
{
    struct http_job *j = ctx;
    struct teacher *t = j->teacher;

    assert(!t->is_pumping);
    t->is_pumping = true;
    end_call(j, reply);
    t->is_pumping = false;
    http_pump(t);
}

/* ---- Sending ---- */

/* Writes the body; where it does not fit, of fewer rows. */
static size_t
fit_body(struct http_job *j, size_t *head_bytes)
{
    size_t bytes = 0;

    while (j->count > 0 && bytes == 0) {
        (void)snprintf(j->id, sizeof(j->id), "d-%" PRIu64,
                       ++j->teacher->numbers);
        bytes = write_body(j, head_bytes);
        if (bytes == 0)
            split(j, "its request would be longer than teacher.body_max",
                  false);
    }
    return bytes;
}

bool
http_job_send(struct http_job *j)
{
    struct teacher *t = j->teacher;
    struct http_header headers[2];
    char head_text[24];
    struct http_request request = {.url = t->infer,
                                   .headers = headers,
                                   .header_count = 1,
                                   .body = j->body.data,
                                   .timeout_ms = t->settings->timeout,
                                   .done = on_reply,
                                   .ctx = j};
    size_t head_bytes;
    struct error err;
    enum status st;

    drop_gone(j);
    if (j->at == j->count)
        j->count = 0;
    if (j->count == 0)
        j->is_control = false;
    if (j->is_control) {
        request.body = t->canary.data;
        request.body_bytes = t->canary.used;
        head_bytes = t->canary_head_bytes;
        j->is_binary = head_bytes > 0;
    } else {
        j->is_binary = t->is_binary;
        request.body_bytes = fit_body(j, &head_bytes);
    }
    if (request.body_bytes == 0)
        return false;
    headers[0] = (struct http_header){"Content-Type", "application/json"};
    if (j->is_binary) {
        (void)snprintf(head_text, sizeof(head_text), "%zu", head_bytes);
        headers[0].value = "application/octet-stream";
        headers[1] =
            (struct http_header){"Inference-Header-Content-Length", head_text};
        request.header_count = 2;
    }
    st = http_calls_send(t->calls, &request, &j->call, &err);
    if (st != STATUS_OK) {
        j->call = NULL;
        j->failures++;
        http_trouble(t, "%.300s", err.text);
        j->not_before_ms =
            http_now_ms() + pacer_retry_ms(&t->pacer, j->failures, 0);
        return true;
    }
    t->counts.calls++;
    j->paced = pacer_begin(&t->pacer, http_now_ms());
    return true;
}
