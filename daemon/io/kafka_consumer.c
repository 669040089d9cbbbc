/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka's consumer queue, one event at a time.
 */
#include "daemon/io/kafka_consumer.h"

#include "daemon/base/object.h"
#include "daemon/io/kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSUMER_MAGIC 0x4b434f4eu

/* A group of its own for a consumer that is assigned by hand: librdkafka wants
 * one; nothing is ever committed to it. */
#define NO_GROUP "distilld-unused"

/* A fraction of what is fetched ahead (kafka.c). */
#define NUDGE_RECORDS   10000
#define NUDGE_BYTES     ((size_t)2 << 20)
#define NUDGE_MS        1000
#define KNOWS_ITS_QUEUE 0x02020000

struct kafka_consumer {
    unsigned magic;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct wakeup *wakeup;
    rd_kafka_event_t *event; /* lent to the caller */
    const rd_kafka_message_t *message;
    size_t read_records; /* since the last nudge */
    size_t read_bytes;
    bool is_cooperative; /* as of the last rebalance */
    bool has_group;
    char topic[KAFKA_TOPIC_MAX + 1];
};

static const struct kafka_property forced[] = {
    {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},  {"enable.partition.eof", "true"},
    {"log.queue", "true"},           {NULL, NULL},
};

/* Called by librdkafka's threads. */
static void
on_queue(rd_kafka_t *rk, void *ctx)
{
    (void)rk;
    wakeup_send(ctx);
}

static enum status
open_client(struct kafka_consumer *c, const struct kafka_consumer_spec *spec,
            struct error *err)
{
    rd_kafka_conf_t *conf = NULL;
    struct kafka_property pairs[sizeof(forced) / sizeof(forced[0]) + 1] = {
        {"group.id", spec->group != NULL ? spec->group : NO_GROUP}};
    enum status st;

    memcpy(&pairs[1], forced, sizeof(forced));
    st = kafka_conf_new(&conf, KAFKA_CONSUMER, &spec->properties, pairs, err);
    if (st != STATUS_OK)
        return st;
    rd_kafka_conf_set_events(conf,
                             RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_REBALANCE |
                                 RD_KAFKA_EVENT_OFFSET_COMMIT |
                                 RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
    return kafka_client_new(&c->rk, KAFKA_CONSUMER, &conf, err);
}

enum status
kafka_consumer_open(struct kafka_consumer **out, struct loop *l,
                    const struct kafka_consumer_spec *spec, struct error *err)
{
    struct kafka_consumer *c = calloc(1, sizeof(*c));
    enum status st;

    if (c == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a consumer");
    c->magic = CONSUMER_MAGIC;
    c->has_group = spec->group != NULL;
    (void)snprintf(c->topic, sizeof(c->topic), "%s", spec->topic);
    st = wakeup_new(&c->wakeup, l, spec->on_wake, spec->ctx, err);
    if (st == STATUS_OK)
        st = open_client(c, spec, err);
    if (st != STATUS_OK) {
        kafka_consumer_free(&c);
        return st;
    }
    (void)rd_kafka_poll_set_consumer(c->rk);
    c->queue = rd_kafka_queue_get_consumer(c->rk);
    (void)rd_kafka_set_log_queue(c->rk, c->queue);
    rd_kafka_queue_cb_event_enable(c->queue, on_queue, c->wakeup);
    wakeup_send(c->wakeup); /* what came before is not told of */
    *out = c;
    return STATUS_OK;
}

static void
release_event(struct kafka_consumer *c)
{
    if (c->event != NULL)
        rd_kafka_event_destroy(c->event);
    c->event = NULL;
    c->message = NULL;
}

void
kafka_consumer_mute(struct kafka_consumer *c)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    if (c->queue != NULL)
        rd_kafka_queue_cb_event_enable(c->queue, NULL, NULL);
    wakeup_free(&c->wakeup);
}

void
kafka_consumer_free(struct kafka_consumer **self)
{
    struct kafka_consumer *c;

    if (*self == NULL)
        return;
    if ((*self)->wakeup != NULL)
        kafka_consumer_mute(*self);
    OBJ_TAKE(c, self, CONSUMER_MAGIC);
    release_event(c);
    if (c->queue != NULL)
        rd_kafka_queue_destroy(c->queue);
    if (c->rk != NULL)
        rd_kafka_destroy(c->rk);
    c->magic = 0;
    free(c);
}

struct rd_kafka_s *
kafka_consumer_client(struct kafka_consumer *c)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    return c->rk;
}

void
kafka_consumer_wake(struct kafka_consumer *c)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    wakeup_send(c->wakeup);
}

bool
kafka_consumer_must_nudge(struct kafka_consumer *c)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    if (c->read_records < NUDGE_RECORDS && c->read_bytes < NUDGE_BYTES)
        return false;
    c->read_records = 0;
    c->read_bytes = 0;
    return rd_kafka_version() < KNOWS_ITS_QUEUE;
}

/* ---- events ---- */

static void
read_list(struct kafka_event *out, const rd_kafka_topic_partition_list_t *list)
{
    out->offset_count = 0;
    for (int i = 0; list != NULL && i < list->cnt &&
                    out->offset_count < KAFKA_PARTITIONS_MAX;
         i++)
        out->offsets[out->offset_count++] = (struct kafka_offset){
            list->elems[i].partition, list->elems[i].offset};
}

static void
read_rebalance(struct kafka_consumer *c, struct kafka_event *out)
{
    const char *protocol = rd_kafka_rebalance_protocol(c->rk);

    c->is_cooperative =
        protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;
    read_list(out, rd_kafka_event_topic_partition_list(c->event));
    if (rd_kafka_event_error(c->event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        out->kind = KAFKA_EVENT_ASSIGNED;
    else if (rd_kafka_assignment_lost(c->rk) != 0)
        out->kind = KAFKA_EVENT_LOST;
    else
        out->kind = KAFKA_EVENT_REVOKED;
}

/* An error event may be about one partition, or about the whole client. */
static void
read_error(struct kafka_consumer *c, struct kafka_event *out)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(c->event);
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(c->event);
    char text[512];

    out->kind = KAFKA_EVENT_TROUBLE;
    if (at != NULL) {
        out->partition = at->partition;
        out->offset = at->offset;
        rd_kafka_topic_partition_destroy(at);
    }
    (void)error_set(&out->error, kafka_status(code), "kafka: %s: %s",
                    rd_kafka_err2name(code),
                    rd_kafka_event_error_string(c->event));
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        out->kind = KAFKA_EVENT_END;
    } else if (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
               code == RD_KAFKA_RESP_ERR__NO_OFFSET) {
        out->kind = KAFKA_EVENT_OUTSIDE;
    } else if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = rd_kafka_fatal_error(c->rk, text, sizeof(text));
        (void)error_set(&out->error, kafka_status(code), "kafka: %s: %s",
                        rd_kafka_err2name(code), text);
        out->kind = KAFKA_EVENT_FATAL;
    }
}

static void
read_committed(struct kafka_consumer *c, struct kafka_event *out)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(c->event);

    out->kind = KAFKA_EVENT_COMMITTED;
    error_clear(&out->error);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR &&
        code != RD_KAFKA_RESP_ERR__NO_OFFSET)
        (void)error_set(&out->error, kafka_status(code), "kafka: commit: %s",
                        rd_kafka_event_error_string(c->event));
    read_list(out, rd_kafka_event_topic_partition_list(c->event));
}

static void
read_message(struct kafka_consumer *c, struct kafka_event *out)
{
    const rd_kafka_message_t *m = rd_kafka_event_message_next(c->event);
    rd_kafka_timestamp_type_t kind;

    c->message = m;
    c->read_records++;
    c->read_bytes += m->len;
    out->kind = KAFKA_EVENT_RECORD;
    out->record.value = m->payload;
    out->record.value_bytes = m->len;
    out->record.key = m->key;
    out->record.key_bytes = m->key_len;
    out->record.headers = NULL;
    out->record.header_count = 0;
    out->record.partition = m->partition;
    out->record.offset = m->offset;
    out->record.timestamp_ms = rd_kafka_message_timestamp(m, &kind);
    if (kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        out->record.timestamp_ms = 0;
}

enum status
kafka_consumer_next(struct kafka_consumer *c, struct kafka_event *event)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    for (;;) {
        release_event(c);
        c->event = rd_kafka_queue_poll(c->queue, 0);
        if (c->event == NULL)
            return STATUS_AGAIN;
        switch (rd_kafka_event_type(c->event)) {
        case RD_KAFKA_EVENT_FETCH:
            read_message(c, event);
            return STATUS_OK;
        case RD_KAFKA_EVENT_REBALANCE:
            read_rebalance(c, event);
            return STATUS_OK;
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            read_committed(c, event);
            return STATUS_OK;
        case RD_KAFKA_EVENT_ERROR:
            read_error(c, event);
            return STATUS_OK;
        case RD_KAFKA_EVENT_LOG:
            kafka_log(c->event);
            break;
        default:
            break;
        }
    }
}

enum status
kafka_consumer_headers(struct kafka_consumer *c,
                       struct record_header out[RECORD_HEADERS_MAX],
                       size_t *count, struct error *err)
{
    rd_kafka_headers_t *headers = NULL;
    size_t all;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    assert(c->message != NULL);
    *count = 0;
    if (rd_kafka_message_headers(c->message, &headers) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    all = rd_kafka_header_cnt(headers);
    if (all > RECORD_HEADERS_MAX)
        return error_set(err, STATUS_TOOBIG,
                         "record with %zu headers, at most %d are allowed", all,
                         RECORD_HEADERS_MAX);
    for (size_t i = 0; i < all; i++) {
        struct record_header *h = &out[i];

        if (rd_kafka_header_get_all(headers, i, &h->name, &h->value,
                                    &h->value_bytes) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        if (h->value == NULL)
            h->value_bytes = RECORD_HEADER_NULL;
        ++*count;
    }
    return STATUS_OK;
}

/* ---- what is assigned ---- */

static rd_kafka_topic_partition_list_t *
make_list(const struct kafka_consumer *c, const struct kafka_offset *offsets,
          size_t count)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)count);

    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, c->topic, offsets[i].partition)
            ->offset = offsets[i].offset;
    return list;
}

static enum status
from_code(rd_kafka_resp_err_t code, const char *what, struct error *err)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return error_set(err, kafka_status(code), "kafka: %s: %s", what,
                     rd_kafka_err2str(code));
}

static enum status
from_error(rd_kafka_error_t *error, const char *what, struct error *err)
{
    enum status st = STATUS_OK;

    if (error != NULL)
        st = error_set(err, kafka_status(rd_kafka_error_code(error)),
                       "kafka: %s: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return st;
}

enum status
kafka_consumer_subscribe(struct kafka_consumer *c, struct error *err)
{
    rd_kafka_topic_partition_list_t *list;
    enum status st;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    assert(c->has_group);
    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, c->topic, RD_KAFKA_PARTITION_UA);
    st = from_code(rd_kafka_subscribe(c->rk, list), "joining the group", err);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

enum status
kafka_consumer_assign(struct kafka_consumer *c,
                      const struct kafka_offset *offsets, size_t count,
                      struct error *err)
{
    rd_kafka_topic_partition_list_t *list;
    enum status st;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    list = make_list(c, offsets, count);
    if (c->is_cooperative)
        st = from_error(rd_kafka_incremental_assign(c->rk, list), "assigning",
                        err);
    else
        st = from_code(rd_kafka_assign(c->rk, list), "assigning", err);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

bool
kafka_consumer_is_cooperative(const struct kafka_consumer *c)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    return c->is_cooperative;
}

enum status
kafka_consumer_unassign(struct kafka_consumer *c,
                        const struct kafka_offset *offsets, size_t count,
                        struct error *err)
{
    rd_kafka_topic_partition_list_t *list;
    enum status st;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    if (!c->is_cooperative)
        return from_code(rd_kafka_assign(c->rk, NULL), "unassigning", err);
    list = make_list(c, offsets, count);
    st = from_error(rd_kafka_incremental_unassign(c->rk, list), "unassigning",
                    err);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

enum status
kafka_consumer_seek(struct kafka_consumer *c,
                    const struct kafka_offset *offsets, size_t count,
                    struct error *err)
{
    enum status st = STATUS_OK;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    /* Taken away and given again: what was fetched is not handed out then,
     * which a seek that does not wait would not promise. */
    if (c->is_cooperative)
        st = kafka_consumer_unassign(c, offsets, count, err);
    if (st == STATUS_OK)
        st = kafka_consumer_assign(c, offsets, count, err);
    return st;
}

enum status
kafka_consumer_pause(struct kafka_consumer *c,
                     const struct kafka_offset *offsets, size_t count,
                     bool is_paused, struct error *err)
{
    rd_kafka_topic_partition_list_t *list;
    enum status st;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    list = make_list(c, offsets, count);
    st = from_code(is_paused ? rd_kafka_pause_partitions(c->rk, list)
                             : rd_kafka_resume_partitions(c->rk, list),
                   is_paused ? "pausing" : "resuming", err);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

static enum status
commit(struct kafka_consumer *c, const struct kafka_offset *offsets,
       size_t count, const char *metadata, int is_async, struct error *err)
{
    rd_kafka_topic_partition_list_t *list;
    enum status st;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    assert(c->has_group);
    list = make_list(c, offsets, count);
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].metadata = strdup(metadata);
        list->elems[i].metadata_size = strlen(metadata);
    }
    st = from_code(rd_kafka_commit(c->rk, list, is_async), "commit", err);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

enum status
kafka_consumer_commit(struct kafka_consumer *c,
                      const struct kafka_offset *offsets, size_t count,
                      const char *metadata, struct error *err)
{
    return commit(c, offsets, count, metadata, 1, err);
}

enum status
kafka_consumer_commit_now(struct kafka_consumer *c,
                          const struct kafka_offset *offsets, size_t count,
                          const char *metadata, struct error *err)
{
    return commit(c, offsets, count, metadata, 0, err);
}

/* ---- offsets ---- */

int64_t
kafka_consumer_end_offset(struct kafka_consumer *c, int32_t partition)
{
    int64_t first = RD_KAFKA_OFFSET_INVALID;
    int64_t end = RD_KAFKA_OFFSET_INVALID;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    if (rd_kafka_get_watermark_offsets(c->rk, c->topic, partition, &first,
                                       &end) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        end < 0)
        return KAFKA_OFFSET_NONE;
    return end;
}

void
kafka_consumer_nudge(struct kafka_consumer *c,
                     const struct kafka_offset *offsets, size_t count)
{
    rd_kafka_topic_partition_list_t *list;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    list = make_list(c, offsets, count);
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = RD_KAFKA_OFFSET_END; /* of all times */
    (void)rd_kafka_offsets_for_times(c->rk, list, NUDGE_MS);
    rd_kafka_topic_partition_list_destroy(list);
}

enum status
kafka_consumer_committed(struct kafka_consumer *c, size_t count, int timeout_ms,
                         struct kafka_committed *out, struct error *err)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)count);
    enum status st;

    OBJ_CHECK(c, CONSUMER_MAGIC);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, c->topic, (int32_t)i);
    st = from_code(rd_kafka_committed(c->rk, list, timeout_ms),
                   "asking for committed offsets", err);
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        size_t n = p->metadata_size < sizeof(out[i].metadata) - 1
                       ? p->metadata_size
                       : sizeof(out[i].metadata) - 1;

        st = from_code(p->err, "asking for committed offsets", err);
        out[i].offset = p->offset >= 0 ? p->offset : KAFKA_OFFSET_NONE;
        if (p->metadata != NULL)
            memcpy(out[i].metadata, p->metadata, n);
        out[i].metadata[p->metadata != NULL ? n : 0] = '\0';
    }
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

enum status
kafka_consumer_range(struct kafka_consumer *c, int32_t partition,
                     int timeout_ms, int64_t *first, int64_t *end,
                     struct error *err)
{
    OBJ_CHECK(c, CONSUMER_MAGIC);
    return from_code(rd_kafka_query_watermark_offsets(
                         c->rk, c->topic, partition, first, end, timeout_ms),
                     "asking for a partition's offsets", err);
}
