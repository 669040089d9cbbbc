/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka's producer. enable.gapless.guarantee turns every error that would
 * leave a gap into a fatal one, after which it writes nothing more.
 */
#include "daemon/io/kafka_producer.h"

#include "daemon/base/object.h"
#include "daemon/io/kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCER_MAGIC 0x4b50524fu
#define TARGETS_MAX    4

struct kafka_producer {
    unsigned magic;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct wakeup *wakeup;
    struct kafka_producer_spec spec;
    rd_kafka_topic_t *topics[TARGETS_MAX];
    size_t topic_count;
    size_t pending;
    bool has_failed;
};

/* ---- events ---- */

static void
serve_deliveries(struct kafka_producer *p, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m = rd_kafka_event_message_next(event);
    struct error err;

    while (m != NULL) {
        rd_kafka_resp_err_t code = m->err;
        void *opaque = m->_private;
        size_t count = 0;

        do {
            count++;
            m = rd_kafka_event_message_next(event);
        } while (m != NULL && m->err == code && m->_private == opaque);
        p->pending -= count;
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            (void)error_set(&err, kafka_status(code), "kafka: delivery: %s",
                            rd_kafka_err2str(code));
        p->spec.on_delivered(p->spec.ctx, opaque, count,
                             code == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : &err);
    }
}

static void
serve_error(struct kafka_producer *p, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    struct error err;
    char text[512];

    if (code != RD_KAFKA_RESP_ERR__FATAL || p->has_failed)
        return; /* librdkafka goes on trying, and logs why */
    p->has_failed = true;
    code = rd_kafka_fatal_error(p->rk, text, sizeof(text));
    (void)error_set(&err, kafka_status(code), "kafka: %s: %s",
                    rd_kafka_err2name(code), text);
    p->spec.on_failed(p->spec.ctx, &err);
}

static void
serve(struct kafka_producer *p)
{
    rd_kafka_event_t *event;

    while ((event = rd_kafka_queue_poll(p->queue, 0)) != NULL) {
        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_DR:
            serve_deliveries(p, event);
            break;
        case RD_KAFKA_EVENT_ERROR:
            serve_error(p, event);
            break;
        case RD_KAFKA_EVENT_LOG:
            kafka_log(event);
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(event);
    }
}

static void
on_wakeup(void *ctx)
{
    serve(ctx);
}

/* Called by librdkafka's threads. */
static void
on_queue(rd_kafka_t *rk, void *ctx)
{
    (void)rk;
    wakeup_send(ctx);
}

/* ---- life ---- */

static enum status
open_client(struct kafka_producer *p, struct error *err)
{
    const struct kafka_producer_spec *spec = &p->spec;
    rd_kafka_conf_t *conf = NULL;
    char size[24];
    struct kafka_property forced[8] = {
        {"enable.idempotence", "true"},
        {"log.queue", "true"},
    };
    size_t count = 2;
    enum status st;

    if (spec->transactional_id == NULL) {
        /* A transaction that fails is aborted as a whole instead. */
        forced[count++] =
            (struct kafka_property){"enable.gapless.guarantee", "true"};
        forced[count++] = (struct kafka_property){"message.timeout.ms", "0"};
    } else {
        forced[count++] =
            (struct kafka_property){"transactional.id", spec->transactional_id};
    }
    if (spec->batch_bytes_max > 0) {
        (void)snprintf(size, sizeof(size), "%zu", spec->batch_bytes_max);
        forced[count++] = (struct kafka_property){"batch.size", size};
    }
    st = kafka_conf_new(&conf, KAFKA_PRODUCER, &spec->properties, forced, err);
    if (st != STATUS_OK)
        return st;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_LOG);
    return kafka_client_new(&p->rk, KAFKA_PRODUCER, &conf, err);
}

enum status
kafka_producer_open(struct kafka_producer **out, struct loop *l,
                    const struct kafka_producer_spec *spec, struct error *err)
{
    struct kafka_producer *p = calloc(1, sizeof(*p));
    enum status st;

    if (p == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a producer");
    p->magic = PRODUCER_MAGIC;
    p->spec = *spec;
    st = wakeup_new(&p->wakeup, l, on_wakeup, p, err);
    if (st == STATUS_OK)
        st = open_client(p, err);
    if (st != STATUS_OK) {
        kafka_producer_mute(p);
        kafka_producer_free(&p);
        return st;
    }
    p->queue = rd_kafka_queue_get_main(p->rk);
    (void)rd_kafka_set_log_queue(p->rk, p->queue);
    rd_kafka_queue_cb_event_enable(p->queue, on_queue, p->wakeup);
    wakeup_send(p->wakeup); /* what came before is not told of */
    *out = p;
    return STATUS_OK;
}

void
kafka_producer_give_up(struct kafka_producer *p)
{
    OBJ_CHECK(p, PRODUCER_MAGIC);
    (void)rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE |
                                    RD_KAFKA_PURGE_F_INFLIGHT |
                                    RD_KAFKA_PURGE_F_NON_BLOCKING);
}

void
kafka_producer_mute(struct kafka_producer *p)
{
    OBJ_CHECK(p, PRODUCER_MAGIC);
    if (p->queue != NULL)
        rd_kafka_queue_cb_event_enable(p->queue, NULL, NULL);
    wakeup_free(&p->wakeup);
}

void
kafka_producer_free(struct kafka_producer **self)
{
    struct kafka_producer *p;

    if (*self == NULL)
        return;
    if ((*self)->wakeup != NULL)
        kafka_producer_mute(*self);
    OBJ_TAKE(p, self, PRODUCER_MAGIC);
    for (size_t i = 0; i < p->topic_count; i++)
        rd_kafka_topic_destroy(p->topics[i]);
    if (p->rk != NULL)
        kafka_producer_give_up(p);
    if (p->queue != NULL)
        rd_kafka_queue_destroy(p->queue);
    if (p->rk != NULL)
        rd_kafka_destroy(p->rk);
    p->magic = 0;
    free(p);
}

struct rd_kafka_s *
kafka_producer_client(struct kafka_producer *p)
{
    OBJ_CHECK(p, PRODUCER_MAGIC);
    return p->rk;
}

enum status
kafka_producer_target(struct kafka_producer *p, const char *topic,
                      struct kafka_target **out, struct error *err)
{
    rd_kafka_topic_t *rkt;

    OBJ_CHECK(p, PRODUCER_MAGIC);
    assert(p->topic_count < TARGETS_MAX);
    rkt = rd_kafka_topic_new(p->rk, topic, NULL);
    if (rkt == NULL)
        return error_set(err, kafka_status(rd_kafka_last_error()),
                         "kafka: topic %s: %s", topic,
                         rd_kafka_err2str(rd_kafka_last_error()));
    p->topics[p->topic_count++] = rkt;
    *out = (struct kafka_target *)rkt;
    return STATUS_OK;
}

/* ---- sending ---- */

static rd_kafka_headers_t *
make_headers(const struct record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);

    for (size_t i = 0; i < record->header_count; i++) {
        const struct record_header *h = &record->headers[i];
        bool is_null = h->value_bytes == RECORD_HEADER_NULL;

        (void)rd_kafka_header_add(headers, h->name, -1,
                                  is_null ? NULL : h->value,
                                  is_null ? -1 : (ssize_t)h->value_bytes);
    }
    return headers;
}

enum status
kafka_producer_send(struct kafka_producer *p, struct kafka_target *target,
                    const struct record *record, void *opaque,
                    struct error *err)
{
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_resp_err_t code;

    OBJ_CHECK(p, PRODUCER_MAGIC);
    if (record->header_count > 0)
        headers = make_headers(record);
    /* Tags and values, as librdkafka's macros spell them in GNU C. */
    code = rd_kafka_producev(
        p->rk, RD_KAFKA_VTYPE_RKT, (rd_kafka_topic_t *)target,
        RD_KAFKA_VTYPE_PARTITION, record->partition, RD_KAFKA_VTYPE_KEY,
        record->key, record->key_bytes, RD_KAFKA_VTYPE_VALUE, record->value,
        record->value_bytes, RD_KAFKA_VTYPE_HEADERS, headers,
        RD_KAFKA_VTYPE_OPAQUE, opaque, RD_KAFKA_VTYPE_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        p->pending++;
        return STATUS_OK;
    }
    if (headers != NULL) /* they stay with the caller on failure */
        rd_kafka_headers_destroy(headers);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return STATUS_AGAIN;
    return error_set(err, kafka_status(code), "kafka: topic %s: %s",
                     rd_kafka_topic_name((rd_kafka_topic_t *)target),
                     rd_kafka_err2str(code));
}

size_t
kafka_producer_pending(const struct kafka_producer *p)
{
    OBJ_CHECK(p, PRODUCER_MAGIC);
    return p->pending;
}
