/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka clients against librdkafka's own mock of a cluster: what they hand
 * on and how they refuse. What they promise is proven by real brokers.
 */
#include "daemon/io/kafka_consumer.h"
#include "daemon/io/kafka_producer.h"
#include "daemon/io/kafka_tail.h"

#include "tests/support/check.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <string.h>

#define TOPIC   "events"
#define WAIT_MS 60000 /* for what is there at once on an idle machine */

static struct loop *loop;
static struct timer *deadline;
static struct kafka_property property = {"bootstrap.servers", NULL};
static const struct kafka_properties properties = {.common = &property,
                                                   .common_count = 1};

static struct kafka_producer *producer;
static struct kafka_target *target;
static size_t delivered;
static size_t failed;

static struct kafka_consumer *consumer;
static struct kafka_event event;
static struct record_header headers[RECORD_HEADERS_MAX];
static size_t wanted;
static size_t records;
static int64_t end_offset;
static char last_value[64];
static char last_key[64];
static size_t last_headers;
static char last_header[64];
static size_t last_header_bytes;

static void
on_deadline(void *ctx)
{
    (void)ctx;
    CHECK_STR("nothing came in time", "");
    loop_stop(loop);
}

static void
run_loop(void)
{
    timer_start(deadline, WAIT_MS, 0);
    loop_run(loop);
    timer_stop(deadline);
}

static void
on_delivered(void *ctx, void *opaque, size_t count, const struct error *err)
{
    CHECK(ctx == &producer && opaque == &delivered);
    *(err == NULL ? &delivered : &failed) += count;
    if (delivered + failed == wanted)
        loop_stop(loop);
}

static void
on_failed(void *ctx, const struct error *err)
{
    (void)ctx;
    CHECK_STR(err->text, "");
}

static enum status
send_record(const char *value, size_t bytes, struct error *err)
{
    static const struct record_header with = {"trace", "t1", 2};
    const struct record r = {.value = value,
                             .value_bytes = bytes,
                             .key = "k",
                             .key_bytes = 1,
                             .headers = &with,
                             .header_count = 1,
                             .partition = 0};

    return kafka_producer_send(producer, target, &r, &delivered, err);
}

static void
test_records_are_delivered(void)
{
    static const char *const values[] = {"one", "two", "three"};
    const struct kafka_producer_spec spec = {.properties = properties,
                                             .on_delivered = on_delivered,
                                             .on_failed = on_failed,
                                             .ctx = &producer};
    static char large[2000000]; /* message.max.bytes is half of it */
    struct error err;

    CHECK_INT(kafka_producer_open(&producer, loop, &spec, &err), STATUS_OK);
    CHECK_INT(kafka_producer_target(producer, TOPIC, &target, &err), STATUS_OK);
    CHECK_INT(send_record(large, sizeof(large), &err), STATUS_TOOBIG);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(send_record(values[i], strlen(values[i]), &err), STATUS_OK);
    CHECK_INT(kafka_producer_pending(producer), 3);
    wanted = 3;
    run_loop();
    CHECK_INT(delivered, 3);
    CHECK_INT(failed, 0);
    CHECK_INT(kafka_producer_pending(producer), 0);
}

static void
take_record(void)
{
    struct error err;

    records++;
    (void)snprintf(last_value, sizeof(last_value), "%.*s",
                   (int)event.record.value_bytes, event.record.value);
    (void)snprintf(last_key, sizeof(last_key), "%.*s",
                   (int)event.record.key_bytes, (const char *)event.record.key);
    CHECK_INT(kafka_consumer_headers(consumer, headers, &last_headers, &err),
              STATUS_OK);
    if (last_headers == 0)
        return;
    (void)snprintf(last_header, sizeof(last_header), "%s", headers[0].name);
    last_header_bytes = headers[0].value_bytes;
}

static void
on_wake(void *ctx)
{
    (void)ctx;
    while (consumer != NULL &&
           kafka_consumer_next(consumer, &event) == STATUS_OK) {
        if (event.kind == KAFKA_EVENT_RECORD) {
            take_record();
        } else if (event.kind == KAFKA_EVENT_END) {
            end_offset = event.offset;
            loop_stop(loop);
        } else if (event.kind == KAFKA_EVENT_OUTSIDE) {
            end_offset = -7;
            loop_stop(loop);
        }
    }
}

static void
read_from(int64_t offset)
{
    const struct kafka_offset at = {0, offset};
    struct error err;

    records = 0;
    end_offset = 0;
    CHECK_INT(kafka_consumer_assign(consumer, &at, 1, &err), STATUS_OK);
    run_loop();
}

static void
test_records_are_read_from_an_offset_to_the_end(void)
{
    const struct kafka_consumer_spec spec = {
        .properties = properties, .topic = TOPIC, .on_wake = on_wake};
    struct error err;

    CHECK_INT(kafka_consumer_open(&consumer, loop, &spec, &err), STATUS_OK);
    read_from(1);
    CHECK_INT(records, 2);
    CHECK_INT(end_offset, 3);
    CHECK_STR(last_value, "three");
    CHECK_STR(last_key, "k");
    CHECK_INT(last_headers, 1);
    CHECK_STR(last_header, "trace");
    CHECK_INT(last_header_bytes, 2);
}

static void
test_offset_outside_the_log_is_told(void)
{
    read_from(1000);
    CHECK_INT(records, 0);
    CHECK_INT(end_offset, -7);
}

static void
test_last_record_is_found(void)
{
    struct kafka_tail *tail = NULL;
    struct bytes value;
    struct error err;

    bytes_init(&value, 4096);
    CHECK_INT(kafka_tail_open(&tail, &properties, TOPIC, &err), STATUS_OK);
    CHECK_INT(kafka_tail_read(tail, 0, WAIT_MS, &value, &err), STATUS_OK);
    CHECK_INT(value.used, 5);
    CHECK(value.used == 5 && memcmp(value.data, "three", 5) == 0);
    CHECK_INT(kafka_tail_read(tail, 1, WAIT_MS, &value, &err), STATUS_OK);
    CHECK_INT(value.used, 0);
    kafka_tail_close(&tail);
    bytes_fini(&value);
}

static void
test_properties_are_judged_by_librdkafka(void)
{
    const struct kafka_property good = {"linger.ms", "5"};
    const struct kafka_property unknown = {"lingre.ms", "5"};
    const struct kafka_property bad = {"linger.ms", "soon"};
    struct error err;

    CHECK_INT(kafka_property_check(&good, &err), STATUS_OK);
    CHECK_INT(kafka_property_check(&unknown, &err), STATUS_CONFIG);
    CHECK_HAS(err.text, "lingre.ms");
    CHECK_INT(kafka_property_check(&bad, &err), STATUS_CONFIG);
}

static void
test_what_this_librdkafka_does_wrong_is_refused(void)
{
    const struct kafka_property sticky = {"partition.assignment.strategy",
                                          "cooperative-sticky"};
    struct error err;
    enum status st = kafka_property_check(&sticky, &err);

    if (rd_kafka_version() < 0x02060100) {
        CHECK_INT(st, STATUS_CONFIG);
        CHECK_HAS(err.text, "2.6.1");
    } else {
        CHECK_INT(st, STATUS_OK);
    }
}

/* A cluster that lives in a client of its own. */
static rd_kafka_t *
start_cluster(rd_kafka_mock_cluster_t **cluster)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));

    CHECK(rk != NULL);
    *cluster = rd_kafka_mock_cluster_new(rk, 1);
    (void)rd_kafka_mock_topic_create(*cluster, TOPIC, 2, 1);
    property.value = rd_kafka_mock_cluster_bootstraps(*cluster);
    return rk;
}

int
main(void)
{
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *rk = start_cluster(&cluster);
    struct error err;

    CHECK_INT(loop_new(&loop, &err), STATUS_OK);
    CHECK_INT(timer_new(&deadline, loop, on_deadline, NULL, &err), STATUS_OK);
    RUN(test_records_are_delivered);
    RUN(test_records_are_read_from_an_offset_to_the_end);
    RUN(test_offset_outside_the_log_is_told);
    RUN(test_last_record_is_found);
    RUN(test_properties_are_judged_by_librdkafka);
    RUN(test_what_this_librdkafka_does_wrong_is_refused);
    kafka_consumer_free(&consumer);
    kafka_producer_free(&producer);
    timer_free(&deadline);
    loop_free(&loop);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
    return check_report();
}
