/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a benchmark through Kafka needs beside the service: events, librdkafka's
 * own rate, and how long an event takes to become a label. Nothing of the
 * product is in it.
 *
 *   kafka_load events COUNT                               on standard output
 *   kafka_load fill BROKERS TOPIC PARTITIONS COUNT        as fast as it goes
 *   kafka_load consume BROKERS TOPIC PARTITIONS COUNT     as fast as it goes
 *   kafka_load relay BROKERS TOPIC LABELS                 until a signal
 *   kafka_load pace BROKERS TOPIC LABELS RATE SECONDS FILE
 *
 * An event is 262 bytes of JSON; its key is its number. relay sends what it
 * reads of one partition on as it is: no service can be faster. pace is an open
 * loop over one partition: event i is due at start + i / rate whatever became
 * of those before it, and what it takes is counted from when it was due. FILE
 * gets a line an event: when it was due and when its label arrived, in
 * nanoseconds since 1970; 0: it never did.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENT_BYTES 262
#define KEY_BYTES   12
#define CHUNK       1000 /* messages read at once */
#define LEFT_MS     20000

static void
fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "kafka_load: %s: %s\n", what, why);
    exit(1);
}

static int64_t
now_ns(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- events ---- */

static uint64_t
mix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double
draw(uint64_t *state)
{
    return (double)(mix(state) >> 11) / 9007199254740992.0;
}

/* A number below count, the small ones far more often. */
static unsigned
pick(uint64_t *state, unsigned count)
{
    double u = draw(state);

    return (unsigned)((double)count * u * u * u);
}

/* Writes event number i: EVENT_BYTES, and a NUL. */
static void
make_event(uint64_t i, int64_t time_ms, char out[EVENT_BYTES + 1])
{
    static const char padding[] =
        "home/recommended/row-3/column-7/because-you-liked/something-else";
    uint64_t state = i * UINT64_C(0xd1342543de82ef95) + 1;
    unsigned user = pick(&state, 100000);
    unsigned item = pick(&state, 50000);
    double taste = (double)((user * 31 + item * 17) % 97) / 97.0;
    char tail[64];
    int head;
    int rest;

    rest = snprintf(tail, sizeof(tail), "\",\"clicked\":%d,\"teacher\":%.5f}",
                    draw(&state) < taste, 4.0 * taste - 2.0 + draw(&state));
    head = snprintf(
        out, EVENT_BYTES + 1,
        "{\"event_id\":\"%0*" PRIu64 "\",\"timestamp\":%" PRId64
        ",\"user\":\"u%06u\",\"item\":\"i%06u\",\"author\":\"a%05u\","
        "\"category\":\"c%03u\",\"country\":\"n%03u\",\"device\":\"d%02u\","
        "\"hour\":\"h%02u\",\"campaign\":\"g%04u\",\"referrer\":\"",
        KEY_BYTES, i, time_ms, user, item, item / 5, item % 500,
        pick(&state, 200), pick(&state, 50), (unsigned)(i / 4096 % 24),
        pick(&state, 2000));
    (void)memcpy(out + head, padding, (size_t)(EVENT_BYTES - rest - head));
    (void)memcpy(out + EVENT_BYTES - rest, tail, (size_t)rest + 1);
}

static void
print_events(uint64_t count)
{
    char event[EVENT_BYTES + 1];

    for (uint64_t i = 0; i < count; i++) {
        make_event(i, 1700000000000 + (int64_t)(i / 4), event);
        (void)puts(event);
    }
}

/* ---- clients ---- */

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) !=
        RD_KAFKA_CONF_OK)
        fail(name, text);
}

static rd_kafka_t *
open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers)
{
    char text[256];
    rd_kafka_t *rk;

    set(conf, "bootstrap.servers", brokers);
    rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (rk == NULL)
        fail("client", text);
    return rk;
}

static rd_kafka_t *
open_producer(const char *brokers, const char *linger_ms)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set(conf, "linger.ms", linger_ms);
    set(conf, "acks", "all");
    set(conf, "queue.buffering.max.messages", "500000");
    return open_client(RD_KAFKA_PRODUCER, conf, brokers);
}

/* Reads partitions 0 to count - 1 of a topic from the offset on. */
static rd_kafka_t *
open_consumer(const char *brokers, const char *topic, int count, int64_t offset)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(count);
    rd_kafka_t *rk;

    set(conf, "group.id", "kafka_load");
    set(conf, "enable.auto.commit", "false");
    set(conf, "queued.min.messages", "200000");
#if RD_KAFKA_VERSION >= 0x02020000
    set(conf, "fetch.queue.backoff.ms", "5");
#endif
    rk = open_client(RD_KAFKA_CONSUMER, conf, brokers);
    (void)rd_kafka_poll_set_consumer(rk);
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
    if (rd_kafka_assign(rk, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail(topic, "cannot be assigned");
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

static void
send_event(rd_kafka_t *rk, rd_kafka_topic_t *topic, int32_t partition,
           uint64_t i, int64_t time_ms)
{
    char event[EVENT_BYTES + 1];
    char key[KEY_BYTES + 1];

    make_event(i, time_ms, event);
    (void)snprintf(key, sizeof(key), "%0*" PRIu64, KEY_BYTES, i);
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, event,
                            EVENT_BYTES, key, KEY_BYTES, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        (void)rd_kafka_poll(rk, 10);
    }
}

static void
fill(const char *brokers, const char *name, int partitions, uint64_t count)
{
    rd_kafka_t *rk = open_producer(brokers, "5");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);

    for (uint64_t i = 0; i < count; i++)
        send_event(rk, topic, (int32_t)(i % (uint64_t)partitions), i,
                   1700000000000 + (int64_t)(i / 4));
    if (rd_kafka_flush(rk, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail(name, "not all events were taken");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

/* One message, then what else is there: a full chunk is not waited for. */
static ssize_t
take_chunk(rd_kafka_queue_t *queue, rd_kafka_message_t *messages[CHUNK])
{
    ssize_t n = rd_kafka_consume_batch_queue(queue, 20, messages, 1);

    if (n <= 0)
        return 0;
    return n + rd_kafka_consume_batch_queue(queue, 0, messages + 1, CHUNK - 1);
}

/* Prints events a second, from the first message to the last. */
static void
consume(const char *brokers, const char *topic, int partitions, uint64_t count)
{
    rd_kafka_t *rk =
        open_consumer(brokers, topic, partitions, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *messages[CHUNK];
    int64_t start = 0;
    uint64_t first = 0;
    uint64_t seen = 0;

    while (seen < count) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 100, messages, CHUNK);

        for (ssize_t i = 0; i < n; i++) {
            seen += messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
            rd_kafka_message_destroy(messages[i]);
        }
        if (start == 0 && seen > 0) {
            start = now_ns(CLOCK_MONOTONIC);
            first = seen;
        }
    }
    (void)printf("%.0f\n", (double)(seen - first) * 1e9 /
                               (double)(now_ns(CLOCK_MONOTONIC) - start));
    rd_kafka_queue_destroy(queue);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

static void
relay(const char *brokers, const char *from, const char *to)
{
    rd_kafka_t *in = open_consumer(brokers, from, 1, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(in);
    rd_kafka_t *out = open_producer(brokers, "2");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(out, to, NULL);
    rd_kafka_message_t *messages[CHUNK];

    for (;;) {
        ssize_t n = take_chunk(queue, messages);

        for (ssize_t i = 0; i < n; i++) {
            const rd_kafka_message_t *m = messages[i];

            if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, m->payload,
                                 m->len, m->key, m->key_len, NULL) != 0)
                fail("relay", rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_message_destroy(messages[i]);
        }
        (void)rd_kafka_poll(out, 0);
    }
}

/* ---- at a pace ---- */

struct pace {
    const char *brokers;
    const char *labels;
    uint64_t count;
    int64_t *due; /* (count) */
    int64_t *labeled;
    atomic_bool is_ready; /* the reader stands at the end of the topic */
    atomic_bool must_end;
    atomic_uint_fast64_t label_count;
};

static void
note_label(struct pace *p, const rd_kafka_message_t *m, int64_t now)
{
    char key[KEY_BYTES + 1] = "";
    uint64_t i;

    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR || m->key_len != KEY_BYTES)
        return;
    (void)memcpy(key, m->key, KEY_BYTES);
    i = strtoull(key, NULL, 10);
    if (i >= p->count || p->labeled[i] != 0)
        return;
    p->labeled[i] = now;
    (void)atomic_fetch_add(&p->label_count, 1);
}

static void *
read_labels(void *arg)
{
    struct pace *p = arg;
    rd_kafka_t *rk =
        open_consumer(p->brokers, p->labels, 1, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *messages[CHUNK];

    atomic_store(&p->is_ready, true);
    while (!atomic_load(&p->must_end)) {
        ssize_t n = take_chunk(queue, messages);
        int64_t now = now_ns(CLOCK_REALTIME);

        for (ssize_t i = 0; i < n; i++) {
            note_label(p, messages[i], now);
            rd_kafka_message_destroy(messages[i]);
        }
    }
    rd_kafka_queue_destroy(queue);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return NULL;
}

static void
send_at_pace(struct pace *p, const char *topic_name, double rate)
{
    rd_kafka_t *rk = open_producer(p->brokers, rate > 10000 ? "1" : "0");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, topic_name, NULL);
    int64_t start = now_ns(CLOCK_REALTIME) + 200000000;

    for (uint64_t i = 0; i < p->count; i++) {
        int64_t due = start + (int64_t)((double)i * 1e9 / rate);
        int64_t ahead = due - now_ns(CLOCK_REALTIME);

        if (ahead > 20000) {
            struct timespec wait = {ahead / 1000000000, ahead % 1000000000};

            (void)nanosleep(&wait, NULL);
        }
        p->due[i] = due;
        send_event(rk, topic, 0, i, due / 1000000);
        if (i % 64 == 0)
            (void)rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, LEFT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail(topic_name, "not all events were taken");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

static void
pace(char **argv)
{
    double rate = strtod(argv[5], NULL);
    struct pace p = {.brokers = argv[2],
                     .labels = argv[4],
                     .count = (uint64_t)(rate * strtod(argv[6], NULL))};
    const struct timespec moment = {0, 20000000};
    pthread_t reader;
    FILE *f = fopen(argv[7], "w");
    int64_t end;

    p.due = calloc(p.count, sizeof(*p.due));
    p.labeled = calloc(p.count, sizeof(*p.labeled));
    if (f == NULL || p.due == NULL || p.labeled == NULL ||
        pthread_create(&reader, NULL, read_labels, &p) != 0)
        fail(argv[7], "cannot begin");
    while (!atomic_load(&p.is_ready))
        (void)nanosleep(&moment, NULL);
    send_at_pace(&p, argv[3], rate);
    end = now_ns(CLOCK_MONOTONIC) + LEFT_MS * INT64_C(1000000);
    while (atomic_load(&p.label_count) < p.count &&
           now_ns(CLOCK_MONOTONIC) < end)
        (void)nanosleep(&moment, NULL);
    atomic_store(&p.must_end, true);
    (void)pthread_join(reader, NULL);
    for (uint64_t i = 0; i < p.count; i++)
        (void)fprintf(f, "%" PRId64 " %" PRId64 "\n", p.due[i], p.labeled[i]);
    if (fclose(f) != 0)
        fail(argv[7], "cannot be written");
    free(p.due);
    free(p.labeled);
}

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "events") == 0 && argc == 3)
        print_events(strtoull(argv[2], NULL, 10));
    else if (strcmp(what, "fill") == 0 && argc == 6)
        fill(argv[2], argv[3], (int)strtol(argv[4], NULL, 10),
             strtoull(argv[5], NULL, 10));
    else if (strcmp(what, "consume") == 0 && argc == 6)
        consume(argv[2], argv[3], (int)strtol(argv[4], NULL, 10),
                strtoull(argv[5], NULL, 10));
    else if (strcmp(what, "relay") == 0 && argc == 5)
        relay(argv[2], argv[3], argv[4]);
    else if (strcmp(what, "pace") == 0 && argc == 8)
        pace(argv);
    else
        fail("usage", "see the head of its source");
    return 0;
}
