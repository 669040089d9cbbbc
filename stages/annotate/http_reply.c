/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers from a reply into the asks.
 */
#include "stages/annotate/http_teacher.h"

#include <stdint.h>
#include <string.h>

/* Reads the body into t->outputs. */
static enum status
read_body(struct teacher *t, const struct http_reply *reply,
          struct oip_response *response, bool *is_row, struct error *err)
{
    size_t head = SIZE_MAX;
    struct error why;
    char text[120];
    enum status st;

    if (reply->has_head_bytes)
        head = reply->head_bytes < SIZE_MAX ? (size_t)reply->head_bytes
                                            : SIZE_MAX - 1;
    for (size_t i = 0; i < t->map->output_count; i++)
        t->outputs[i].name = t->map->outputs[i].name;
    if (http_is_tfserving(t))
        st = tfs_response_read(t->reader, response, reply->body,
                               reply->body_bytes, is_row, &why);
    else
        st = oip_response_read(t->reader, response, reply->body,
                               reply->body_bytes, head, &why);
    if (st == STATUS_OK)
        st = tensor_map_check_widths(t->map, t->all, t->outputs, &why);
    if (st == STATUS_OK)
        return STATUS_OK;
    oip_error_text(reply->body, reply->body_bytes < 80 ? reply->body_bytes : 80,
                   text, sizeof(text));
    return error_set(err, STATUS_MALFORMED,
                     "its reply is no answer: %.300s; it begins: %s", why.text,
                     text);
}

/* Who answered: as the server says, else as we know. */
static const char *
version_of(const struct teacher *t, const struct oip_response *response)
{
    if (response->version[0] != '\0')
        return response->version;
    if (t->version[0] != '\0')
        return t->version;
    return t->settings->model_version[0] != '\0' ? t->settings->model_version
                                                 : t->settings->version;
}

/* Gives one row its answer, or rejects it: then the server has answered with
 * what can be no answer to this row. */
static enum status
take_row(struct teacher *t, const struct http_row *r, size_t row,
         const char *version, struct error *err)
{
    struct slot *s = http_slot_of(r);
    struct error why;
    size_t index;

    if (s == NULL)
        return STATUS_OK;
    if (ask_version(s->ask, version, &index, err) != STATUS_OK)
        return err->status;
    if (tensor_map_logits(t->map, t->all, t->outputs, row, t->logits, &why) !=
        STATUS_OK) {
        ask_reject(s->ask, r->row, why.text);
        return STATUS_OK;
    }
    memcpy(ask_give(s->ask, r->row, index), t->logits,
           t->width * sizeof(float));
    return STATUS_OK;
}

enum status
http_reply_read(struct http_job *j, const struct http_reply *reply,
                bool *is_row, struct error *err)
{
    struct teacher *t = j->teacher;
    struct oip_response response = {
        .id = j->id,
        .model = t->settings->model_name,
        .row_count = j->size,
        .outputs = t->outputs,
        .output_count = t->map->output_count,
    };
    const char *version;
    enum status st = read_body(t, reply, &response, is_row, err);

    if (st != STATUS_OK)
        return st;
    version = version_of(t, &response);
    for (size_t i = 0; i < j->size && st == STATUS_OK; i++)
        st = take_row(t, &j->rows[j->at + i], i, version, err);
    if (st != STATUS_OK)
        return st;
    /* Only now: the end of a row may end its ask. */
    for (size_t i = 0; i < j->size; i++) {
        struct http_row *r = &j->rows[j->at + i];
        struct slot *s = http_slot_of(r);

        if (s != NULL)
            http_row_end(t, r, s->ask->answers[r->row] == ANSWER_REJECTED);
    }
    return STATUS_OK;
}

enum status
http_reply_check(struct teacher *t, const struct http_reply *reply,
                 struct error *err)
{
    struct oip_response response = {
        .id = t->canary_id,
        .model = t->settings->model_name,
        .row_count = 1,
        .outputs = t->outputs,
        .output_count = t->map->output_count,
    };
    bool is_row;

    return read_body(t, reply, &response, &is_row, err);
}
