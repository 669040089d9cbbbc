/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration of librdkafka, its errors and its log.
 */
#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/io/kafka_priv.h"

#include <stdio.h>
#include <string.h>

#define COOPERATIVE_MIN 0x02060100 /* below: endless loop, aborts on close */
#define KIP848_MIN      0x020c0000

/* What suits a service better than librdkafka's defaults; the user's
 * properties come after it. */
static const struct kafka_property common_defaults[] = {
    {"client.id", "distilld"},
    {"log.connection.close", "false"},
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.max.ms", "5000"},
    /* So long does it take to see new partitions. */
    {"topic.metadata.refresh.interval.ms", "30000"},
    {NULL, NULL},
};

static const struct kafka_property consumer_defaults[] = {
    /* Memory of what was fetched and not looked at yet. */
    {"queued.max.messages.kbytes", "16384"},
    {"queued.min.messages", "50000"},
#if RD_KAFKA_VERSION >= 0x02020000
    {"fetch.queue.backoff.ms", "5"},
#endif
    {NULL, NULL},
};

static const struct kafka_property producer_defaults[] = {
    {"linger.ms", "2"},
    {"queue.buffering.max.kbytes", "65536"},
    /* So long may a crash hide what came after an open transaction. */
    {"transaction.timeout.ms", "20000"},
    {NULL, NULL},
};

const char *
kafka_version_text(void)
{
    return rd_kafka_version_str();
}

/* Refuses what this librdkafka is known to do wrong. */
static enum status
check_version(const struct kafka_property *p, struct error *err)
{
    int version = rd_kafka_version();

    if (version < COOPERATIVE_MIN &&
        strcmp(p->name, "partition.assignment.strategy") == 0 &&
        strstr(p->value, "cooperative") != NULL)
        return error_set(err, STATUS_CONFIG,
                         "cooperative-sticky aborts or hangs in librdkafka %s, "
                         "which is installed, expected range or roundrobin, or "
                         "librdkafka 2.6.1 or newer",
                         rd_kafka_version_str());
    if (version < KIP848_MIN && strcmp(p->name, "group.protocol") == 0 &&
        strcmp(p->value, "classic") != 0)
        return error_set(err, STATUS_CONFIG,
                         "the protocol is not ready in librdkafka %s, which is "
                         "installed, expected classic, or librdkafka 2.12.0 or "
                         "newer",
                         rd_kafka_version_str());
    return STATUS_OK;
}

static enum status
set_property(rd_kafka_conf_t *conf, const struct kafka_property *p,
             struct error *err)
{
    char text[512];

    if (rd_kafka_conf_set(conf, p->name, p->value, text, sizeof(text)) !=
        RD_KAFKA_CONF_OK)
        return error_set(err, STATUS_CONFIG, "librdkafka: %s", text);
    return STATUS_OK;
}

enum status
kafka_property_check(const struct kafka_property *property, struct error *err)
{
    enum status st = check_version(property, err);
    rd_kafka_conf_t *conf;

    if (st != STATUS_OK)
        return st;
    conf = rd_kafka_conf_new();
    st = set_property(conf, property, err);
    rd_kafka_conf_destroy(conf);
    return st;
}

static enum status
set_all(rd_kafka_conf_t *conf, const struct kafka_property *items, size_t count,
        struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < count && items[i].name != NULL && st == STATUS_OK;
         i++)
        st = set_property(conf, &items[i], err);
    return st;
}

enum status
kafka_conf_new(rd_kafka_conf_t **out, enum kafka_role role,
               const struct kafka_properties *properties,
               const struct kafka_property *forced, struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const struct kafka_properties *p = properties;
    enum status st = set_all(conf, common_defaults, SIZE_MAX, err);

    if (st == STATUS_OK)
        st = set_all(conf,
                     role == KAFKA_CONSUMER ? consumer_defaults
                                            : producer_defaults,
                     SIZE_MAX, err);
    if (st == STATUS_OK)
        st = set_all(conf, p->common, p->common_count, err);
    if (st == STATUS_OK)
        st = set_all(conf, p->own, p->own_count, err);
    if (st == STATUS_OK)
        st = set_all(conf, forced, SIZE_MAX, err);
    if (st != STATUS_OK) {
        rd_kafka_conf_destroy(conf);
        return st;
    }
    *out = conf;
    return STATUS_OK;
}

enum status
kafka_client_new(rd_kafka_t **out, enum kafka_role role, rd_kafka_conf_t **conf,
                 struct error *err)
{
    char text[512];
    rd_kafka_t *rk = rd_kafka_new(role == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER
                                                         : RD_KAFKA_PRODUCER,
                                  *conf, text, sizeof(text));

    if (rk == NULL)
        rd_kafka_conf_destroy(*conf);
    *conf = NULL;
    if (rk == NULL)
        return error_set(err, STATUS_CONFIG, "kafka: %s", text);
    *out = rk;
    return STATUS_OK;
}

enum status
kafka_status(rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return STATUS_AGAIN;
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
        code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE)
        return STATUS_TOOBIG;
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
        code == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        return STATUS_DENIED;
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
        code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)
        return STATUS_TIMEOUT;
    return STATUS_REFUSED;
}

void
kafka_log(rd_kafka_event_t *event)
{
    const char *facility = "";
    const char *text = "";
    int level = 6;

    if (rd_kafka_event_log(event, &facility, &text, &level) != 0)
        return;
    if (strstr(text, "enable.gapless.guarantee") != NULL)
        return; /* that it is experimental: known, and tested */
    if (level <= 3)
        log_warn("kafka", "facility=%s text=\"%s\"", facility, text);
    else if (level <= 5)
        log_info("kafka", "facility=%s text=\"%s\"", facility, text);
    else
        log_debug("kafka", "facility=%s text=\"%s\"", facility, text);
}
