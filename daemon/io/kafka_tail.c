/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a partition from a little before its end. What transactions and
 * compaction leave behind are offsets without a record, so it may take a few
 * steps back.
 */
#include "daemon/io/kafka_tail.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/kafka_priv.h"

#include <stdlib.h>

#define TAIL_MAGIC 0x4b544149u
#define STEP_MIN   16 /* records back from the end; then eight times as many */
#define POLL_MS    100

struct kafka_tail {
    unsigned magic;
    rd_kafka_t *rk;
    const char *topic;
};

static const struct kafka_property forced[] = {
    {"group.id", "distilld-unused"},       {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "earliest"},
    {"enable.partition.eof", "true"},      {NULL, NULL},
};

enum status
kafka_tail_open(struct kafka_tail **out,
                const struct kafka_properties *properties, const char *topic,
                struct error *err)
{
    struct kafka_tail *t = calloc(1, sizeof(*t));
    rd_kafka_conf_t *conf = NULL;
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a consumer");
    t->magic = TAIL_MAGIC;
    t->topic = topic;
    st = kafka_conf_new(&conf, KAFKA_CONSUMER, properties, forced, err);
    if (st == STATUS_OK) {
        rd_kafka_conf_set_log_cb(conf, NULL); /* what counts is returned */
        st = kafka_client_new(&t->rk, KAFKA_CONSUMER, &conf, err);
    }
    if (st != STATUS_OK) {
        kafka_tail_close(&t);
        return st;
    }
    (void)rd_kafka_poll_set_consumer(t->rk);
    *out = t;
    return STATUS_OK;
}

void
kafka_tail_close(struct kafka_tail **self)
{
    struct kafka_tail *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TAIL_MAGIC);
    if (t->rk != NULL)
        rd_kafka_destroy(t->rk);
    t->magic = 0;
    free(t);
}

struct rd_kafka_s *
kafka_tail_client(struct kafka_tail *t)
{
    OBJ_CHECK(t, TAIL_MAGIC);
    return t->rk;
}

/* Keeps the last of the records up to the partition's end. */
static enum status
read_to_end(struct kafka_tail *t, int timeout_ms, struct bytes *value,
            struct error *err)
{
    uint64_t start_ns = clock_now_ns();
    enum status st = STATUS_AGAIN;

    while (st == STATUS_AGAIN) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(t->rk, POLL_MS);

        if (m != NULL && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            st = STATUS_OK;
        } else if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            bytes_clear(value);
            if (m->len > 0 &&
                bytes_append(value, m->payload, m->len, err) != STATUS_OK)
                st = err->status;
        } else if (clock_seconds_since(start_ns) * 1000.0 > timeout_ms) {
            st = error_set(err, STATUS_REFUSED,
                           "kafka: topic %s: its end cannot be read", t->topic);
        }
        if (m != NULL)
            rd_kafka_message_destroy(m);
    }
    return st;
}

static enum status
read_from(struct kafka_tail *t, int32_t partition, int64_t offset,
          int timeout_ms, struct bytes *value, struct error *err)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t code;

    rd_kafka_topic_partition_list_add(list, t->topic, partition)->offset =
        offset;
    code = rd_kafka_assign(t->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, kafka_status(code), "kafka: topic %s: %s",
                         t->topic, rd_kafka_err2str(code));
    return read_to_end(t, timeout_ms, value, err);
}

enum status
kafka_tail_read(struct kafka_tail *t, int32_t partition, int timeout_ms,
                struct bytes *value, struct error *err)
{
    int64_t first = 0;
    int64_t end = 0;
    rd_kafka_resp_err_t code;
    enum status st = STATUS_OK;

    OBJ_CHECK(t, TAIL_MAGIC);
    bytes_clear(value);
    code = rd_kafka_query_watermark_offsets(t->rk, t->topic, partition, &first,
                                            &end, timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, kafka_status(code), "kafka: topic %s: %s",
                         t->topic, rd_kafka_err2str(code));
    for (int64_t step = STEP_MIN; st == STATUS_OK && value->used == 0 &&
                                  end > first && step / 8 < end - first;
         step *= 8)
        st = read_from(t, partition, end - step > first ? end - step : first,
                       timeout_ms, value, err);
    return st;
}
