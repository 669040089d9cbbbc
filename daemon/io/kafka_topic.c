/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics: what they are, and how they are made. Everything here blocks.
 */
#include "daemon/base/macros.h"
#include "daemon/io/kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Asks the admin API and waits: result is an event, or NULL on timeout. */
struct request {
    rd_kafka_t *rk;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *result;
    int timeout_ms;
};

static void
request_init(struct request *r, rd_kafka_t *rk, rd_kafka_admin_op_t op,
             int timeout_ms)
{
    char text[128];

    *r = (struct request){.rk = rk, .timeout_ms = timeout_ms};
    r->options = rd_kafka_AdminOptions_new(rk, op);
    r->queue = rd_kafka_queue_new(rk);
    (void)rd_kafka_AdminOptions_set_request_timeout(r->options, timeout_ms,
                                                    text, sizeof(text));
}

static enum status
request_wait(struct request *r, const char *what, struct error *err)
{
    rd_kafka_resp_err_t code;

    r->result = rd_kafka_queue_poll(r->queue, r->timeout_ms + 1000);
    if (r->result == NULL)
        return error_set(err, STATUS_REFUSED, "kafka: %s: no answer", what);
    code = rd_kafka_event_error(r->result);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, kafka_status(code), "kafka: %s: %s", what,
                         rd_kafka_event_error_string(r->result));
    return STATUS_OK;
}

static void
request_fini(struct request *r)
{
    if (r->result != NULL)
        rd_kafka_event_destroy(r->result);
    rd_kafka_queue_destroy(r->queue);
    rd_kafka_AdminOptions_destroy(r->options);
}

/* ---- describing ---- */

#if RD_KAFKA_VERSION >= 0x02030000
static void
read_topic_id(rd_kafka_event_t *event, struct kafka_topic *out)
{
    const rd_kafka_DescribeTopics_result_t *result =
        rd_kafka_event_DescribeTopics_result(event);
    size_t count = 0;
    const rd_kafka_TopicDescription_t **topics =
        rd_kafka_DescribeTopics_result_topics(result, &count);
    const rd_kafka_Uuid_t *id;

    /* No error at all has the code of none. */
    if (count != 1 || rd_kafka_error_code(rd_kafka_TopicDescription_error(
                          topics[0])) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    id = rd_kafka_TopicDescription_topic_id(topics[0]);
    if (id != NULL)
        (void)snprintf(out->id, sizeof(out->id), "%s",
                       rd_kafka_Uuid_base64str(id));
}

static enum status
ask_topic_id(rd_kafka_t *rk, int timeout_ms, struct kafka_topic *out,
             struct error *err)
{
    const char *names[1] = {out->name};
    rd_kafka_TopicCollection_t *topics =
        rd_kafka_TopicCollection_of_topic_names(names, 1);
    struct request r;
    enum status st;

    request_init(&r, rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms);
    rd_kafka_DescribeTopics(rk, topics, r.options, r.queue);
    st = request_wait(&r, "asking for a topic's id", err);
    if (st == STATUS_OK)
        read_topic_id(r.result, out);
    request_fini(&r);
    rd_kafka_TopicCollection_destroy(topics);
    return st;
}
#else
/* This librdkafka cannot ask for it. */
static enum status
ask_topic_id(rd_kafka_t *rk, int timeout_ms, struct kafka_topic *out,
             struct error *err)
{
    (void)rk;
    (void)timeout_ms;
    (void)err;
    out->id[0] = '\0';
    return STATUS_OK;
}
#endif

static void
read_record_bytes_max(rd_kafka_event_t *event, struct kafka_topic *out)
{
    const rd_kafka_DescribeConfigs_result_t *result =
        rd_kafka_event_DescribeConfigs_result(event);
    size_t resource_count = 0;
    size_t entry_count = 0;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(result, &resource_count);
    const rd_kafka_ConfigEntry_t **entries;

    if (resource_count != 1)
        return;
    entries = rd_kafka_ConfigResource_configs(resources[0], &entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);

        if (value != NULL && strcmp(rd_kafka_ConfigEntry_name(entries[i]),
                                    "max.message.bytes") == 0)
            out->record_bytes_max = (size_t)strtoull(value, NULL, 10);
    }
}

/* The largest record that the topic takes; where it may not be asked for,
 * what the broker refuses will tell. */
static void
ask_record_bytes_max(rd_kafka_t *rk, int timeout_ms, struct kafka_topic *out)
{
    rd_kafka_ConfigResource_t *topic =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, out->name);
    struct error ignored;
    struct request r;

    request_init(&r, rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    rd_kafka_DescribeConfigs(rk, &topic, 1, r.options, r.queue);
    if (request_wait(&r, "asking for a topic's settings", &ignored) ==
        STATUS_OK)
        read_record_bytes_max(r.result, out);
    request_fini(&r);
    rd_kafka_ConfigResource_destroy(topic);
}

/* Partitions of the one topic in the metadata; 0 when it does not exist. */
static enum status
read_metadata(const struct rd_kafka_metadata *metadata, struct kafka_topic *out,
              struct error *err)
{
    const struct rd_kafka_metadata_topic *t = &metadata->topics[0];

    if (metadata->topic_cnt != 1 ||
        t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return STATUS_OK;
    if (t->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        t->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
        return error_set(err, kafka_status(t->err), "kafka: topic %s: %s",
                         out->name, rd_kafka_err2str(t->err));
    if (t->partition_cnt > KAFKA_PARTITIONS_MAX)
        return error_set(err, STATUS_CONFIG,
                         "kafka: topic %s has %d partitions, at most %d are "
                         "supported",
                         out->name, t->partition_cnt, KAFKA_PARTITIONS_MAX);
    out->partition_count = t->partition_cnt;
    return STATUS_OK;
}

enum status
kafka_topic_describe(rd_kafka_t *client, const char *name, int timeout_ms,
                     struct kafka_topic *out, struct error *err)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code;
    char *cluster;
    enum status st;

    memset(out, 0, sizeof(*out));
    (void)snprintf(out->name, sizeof(out->name), "%s", name);
    if (topic == NULL)
        return error_set(err, STATUS_REFUSED, "kafka: topic %s: %s", name,
                         rd_kafka_err2str(rd_kafka_last_error()));
    code = rd_kafka_metadata(client, 0, topic, &metadata, timeout_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_topic_destroy(topic);
        return error_set(err, kafka_status(code), "kafka: topic %s: %s", name,
                         rd_kafka_err2str(code));
    }
    st = read_metadata(metadata, out, err);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    cluster = rd_kafka_clusterid(client, timeout_ms);
    if (cluster != NULL)
        (void)snprintf(out->cluster, sizeof(out->cluster), "%s", cluster);
    rd_kafka_mem_free(client, cluster);
    if (st == STATUS_OK && out->partition_count > 0) {
        ask_record_bytes_max(client, timeout_ms, out);
        st = ask_topic_id(client, timeout_ms, out, err);
    }
    return st;
}

/* ---- creating ---- */

static enum status
read_created(rd_kafka_event_t *event, const char *name, struct error *err)
{
    const rd_kafka_CreateTopics_result_t *result =
        rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    const rd_kafka_topic_result_t **topics =
        rd_kafka_CreateTopics_result_topics(result, &count);
    rd_kafka_resp_err_t code = count == 1
                                   ? rd_kafka_topic_result_error(topics[0])
                                   : RD_KAFKA_RESP_ERR__BAD_MSG;

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR ||
        code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return STATUS_OK;
    return error_set(
        err, kafka_status(code), "kafka: creating topic %s: %s", name,
        count == 1 && rd_kafka_topic_result_error_string(topics[0]) != NULL
            ? rd_kafka_topic_result_error_string(topics[0])
            : rd_kafka_err2str(code));
}

enum status
kafka_topic_create(rd_kafka_t *client, const struct kafka_topic_wish *wish,
                   int timeout_ms, struct error *err)
{
    char text[256];
    struct request r;
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(wish->name, wish->partitions,
                              wish->replication_factor, text, sizeof(text));
    enum status st;

    if (topic == NULL)
        return error_set(err, STATUS_CONFIG, "kafka: creating topic %s: %s",
                         wish->name, text);
    (void)rd_kafka_NewTopic_set_config(topic, "message.timestamp.type",
                                       "LogAppendTime");
    request_init(&r, client, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    rd_kafka_CreateTopics(client, &topic, 1, r.options, r.queue);
    st = request_wait(&r, "creating a topic", err);
    if (st == STATUS_OK)
        st = read_created(r.result, wish->name, err);
    request_fini(&r);
    rd_kafka_NewTopic_destroy(topic);
    return st;
}
