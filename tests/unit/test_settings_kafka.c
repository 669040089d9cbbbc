/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the settings of Kafka must hold together, and where it is told.
 */
#include "stages/settings.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define HEAD                                                                   \
    "checkpoint.path: c\n"                                                     \
    "features: {u: {kind: categorical}}\n"                                     \
    "tasks: {t: {kind: binary}}\n"
/* The least that is valid with Kafka: six lines with HEAD. */
#define LOGS                                                                   \
    HEAD "events.log: kafka\nlabels.log: kafka\ndead_letters.log: kafka\n"
#define BROKERS "kafka.bootstrap.servers: k:9092\n"

static struct settings *s;
static char *printed;
static struct error err;

static void
forget(void)
{
    settings_free(&s);
    free(printed);
    printed = NULL;
}

/* Reads settings into s; lends the problems as they are printed. */
static const char *
read_text(const char *text)
{
    struct settings_problems problems = {0};
    size_t n = 0;
    enum status st;
    FILE *f;

    forget();
    st = settings_parse(&s, "x.yaml", text, strlen(text), &problems, &err);
    CHECK_INT(st, problems.count == 0 ? STATUS_OK : STATUS_CONFIG);
    f = open_memstream(&printed, &n);
    settings_problems_print(&problems, "x.yaml", f);
    (void)fclose(f);
    settings_problems_fini(&problems);
    return printed;
}

static void
the_least_with_kafka_needs_brokers_only(void)
{
    CHECK_STR(read_text(LOGS BROKERS), "");
    CHECK_INT(s->events_log, LOG_KIND_KAFKA);
    CHECK_INT(s->labels_log, LOG_KIND_KAFKA);
    CHECK_INT(s->dead_letters_log, LOG_KIND_KAFKA);
    CHECK_STR(s->events_topic, "interactions");
    CHECK_STR(s->events_group, "distilld");
    CHECK_INT(s->events_start, LOG_START_EARLIEST);
    CHECK_INT(s->events_format, EVENT_FORMAT_JSON);
    CHECK_STR(s->labels_topic, "soft-labels");
    CHECK(!s->labels_transactional);
    CHECK_STR(s->dead_letters_topic, "dead-letters");
    CHECK(s->create_topics_enabled);
    CHECK_INT(s->create_topics_partitions, 4);
    CHECK_INT(s->create_topics_replication_factor, 1);
    CHECK_INT(s->train_flush, 200);
    CHECK_INT(s->train_deterministic, DETERMINISM_AUTO);
    CHECK_INT(s->checkpoint_interval, 60000);
    CHECK_INT(s->pause_after, 10000);
    CHECK_INT(s->kafka.count, 1);
    CHECK_STR(s->kafka.items[0].value, "k:9092");
}

static void
files_are_the_default_and_need_no_broker(void)
{
    CHECK_STR(read_text(HEAD "events.path: e\nlabels.path: l\n"), "");
    CHECK_INT(s->events_log, LOG_KIND_FILE);
    CHECK_INT(s->dead_letters_log, LOG_KIND_FILE);
    CHECK_INT(s->kafka.count, 0);
}

static void
brokers_must_be_known(void)
{
    static const char *const missing =
        "kafka.bootstrap.servers: is missing, expected the brokers, such as "
        "kafka-1:9092,kafka-2:9092, where a log is kafka\n";

    CHECK_HAS(read_text(LOGS), missing);
    CHECK_HAS(read_text(LOGS "kafka: {bootstrap.servers: ''}\n"), missing);
    CHECK_HAS(printed, "x.yaml:7:9: ");
    CHECK_HAS(read_text(LOGS "kafka: {client.id: a}\n"), missing);
    CHECK_HAS(printed, "x.yaml:7:1: ");
    CHECK_STR(read_text(LOGS "kafka: {metadata.broker.list: 'k:1'}\n"), "");
}

static void
an_annotator_has_logs_of_one_kind(void)
{
    CHECK_STR(read_text(HEAD "events.log: kafka\n"
                             "labels: {log: file, path: l}\n" BROKERS),
              "x.yaml:4:1: events.log: is kafka, but dead_letters.log is file, "
              "expected the same kind for events, labels and dead letters "
              "where role annotate is\n"
              "x.yaml:5:10: labels.log: is file, but events.log is kafka, "
              "expected the same kind for events, labels and dead letters "
              "where role annotate is\n");
}

static void
a_trainers_dead_letters_are_where_its_log_is(void)
{
    CHECK_STR(read_text(HEAD "roles: [train]\nlabels.log: kafka\n"
                             "dead_letters.log: kafka\n" BROKERS),
              "");
    CHECK_STR(read_text(HEAD "roles: [train]\ntrain.input: events\n"
                             "events.log: kafka\n"
                             "dead_letters.log: kafka\n" BROKERS),
              "");
    CHECK_HAS(read_text(HEAD "roles: [train]\nlabels.log: kafka\n" BROKERS),
              "dead_letters.log: is file, expected kafka, as the log that role "
              "train reads");
}

static void
some_things_need_more(void)
{
    CHECK_HAS(read_text(LOGS BROKERS "teacher: {kind: checkpoint, learn: true, "
                                     "checkpoint.path: t}\n"),
              "x.yaml:8:29: teacher.learn: needs labels.transactional: true "
              "and a labels.transactional_id with Kafka");
    CHECK_HAS(read_text(LOGS BROKERS "roles: [train]\ntrain.passes: 2\n"),
              "x.yaml:9:1: train.passes: is more than one, expected 1: a "
              "Kafka log has no end");
    CHECK_STR(read_text(HEAD "events.path: e\nlabels.path: l\n"
                             "events.format: cloudevents\n"),
              "x.yaml:6:1: events.format: is for messages of a topic, "
              "expected json, or events.log: kafka\n");
    CHECK_STR(read_text(LOGS BROKERS "events.format: confluent\n"), "");
    CHECK_INT(s->events_format, EVENT_FORMAT_CONFLUENT);
}

static void
topics_have_legal_names_and_differ(void)
{
    CHECK_HAS(read_text(LOGS BROKERS "events.topic: 'a b'\n"),
              "x.yaml:8:15: events.topic: 'a b' has other characters, "
              "expected a name of 1 to 249 letters, digits, '_', '.' or "
              "'-'\n");
    CHECK_HAS(read_text(LOGS BROKERS "events.topic: ''\n"), "is empty");
    CHECK_HAS(read_text(LOGS BROKERS "labels.topic: ..\n"),
              "x.yaml:8:1: labels.topic: is '..', which Kafka keeps for "
              "itself, expected another name\n");
    CHECK_HAS(read_text(LOGS BROKERS "labels.topic: interactions\n"),
              "x.yaml:8:1: labels.topic: is the same as events.topic, "
              "expected another topic");
    CHECK_HAS(read_text(LOGS BROKERS "labels.topic: a.b\n"
                                     "dead_letters.topic: a_b\n"),
              "x.yaml:9:1: dead_letters.topic: is the same as labels.topic, ");
    /* Names that are not used are nobody's business. */
    CHECK_STR(read_text(HEAD "events.path: e\nlabels.path: l\n"
                             "labels.topic: interactions\n"),
              "");
}

static void
what_delivery_depends_on_is_refused(void)
{
    static const char *const names[] = {"enable.auto.commit",
                                        "enable.auto.offset.store",
                                        "auto.offset.reset",
                                        "enable.idempotence",
                                        "message.timeout.ms",
                                        "delivery.timeout.ms",
                                        "acks",
                                        "request.required.acks",
                                        "transactional.id",
                                        "group.id",
                                        "enable.partition.eof",
                                        "enable.gapless.guarantee",
                                        "isolation.level",
                                        "statistics.interval.ms",
                                        "retries",
                                        "delivery.report.only.error",
                                        "log.queue"};
    static const char *const sections[] = {"kafka", "kafka.consumer",
                                           "kafka.producer"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        for (size_t j = 0; j < 3; j++) {
            char text[512];
            char want[256];

            (void)snprintf(text, sizeof(text), LOGS BROKERS "%s.%s: 1\n",
                           sections[j], names[i]);
            (void)snprintf(want, sizeof(want),
                           "x.yaml:8:1: %s.%s: cannot be set: ", sections[j],
                           names[i]);
            CHECK_HAS(read_text(text), want);
            CHECK_HAS(printed, ", expected ");
        }
    }
    CHECK_HAS(read_text(LOGS BROKERS "kafka: {group.id: a, acks: 1}\n"),
              "x.yaml:8:9: kafka.group.id: cannot be set: is a setting of its "
              "own, expected events.group instead\n"
              "x.yaml:8:22: kafka.acks: cannot be set: ");
}

static void
a_producer_keeps_five_in_flight(void)
{
    CHECK_STR(read_text(LOGS BROKERS "kafka.consumer.max.in.flight: 100\n"
                                     "kafka.producer.max.in.flight: 5\n"),
              "");
    CHECK_HAS(
        read_text(LOGS BROKERS
                  "kafka.max.in.flight.requests.per.connection: 6\n"
                  "kafka.producer.max.in.flight: 100\n"),
        "x.yaml:8:1: kafka.max.in.flight.requests.per.connection: is more "
        "than an idempotent producer keeps in order, expected at most 5\n"
        "x.yaml:9:1: kafka.producer.max.in.flight: is more than an ");
}

static void
none_of_it_changes_what_is_learned(void)
{
    char first[DIGEST_HEX_SIZE];
    char hex[DIGEST_HEX_SIZE];

    CHECK_STR(read_text(HEAD "events.path: e\nlabels.path: l\n"), "");
    CHECK_INT(settings_digest(s, first, &err), STATUS_OK);
    CHECK_STR(read_text(LOGS BROKERS
                        "kafka.consumer.fetch.min.bytes: 7\n"
                        "events: {topic: a, group: b, start: latest, "
                        "format: cloudevents}\n"
                        "labels: {topic: c, transactional: true}\n"
                        "create_topics: {enabled: false, partitions: 7}\n"
                        "train: {flush: 1s, deterministic: on}\n"
                        "checkpoint.interval: 0\npause_after: 1s\n"),
              "");
    CHECK_INT(s->train_deterministic, DETERMINISM_ON);
    CHECK_INT(settings_digest(s, hex, &err), STATUS_OK);
    CHECK_STR(hex, first);
}

static void
effective_settings_read_back_and_hide_secrets(void)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f;

    CHECK_STR(read_text(LOGS BROKERS
                        "kafka: {sasl.username: me, sasl.password: hush, "
                        "producer: {linger.ms: 5}}\n"
                        "train.deterministic: off\n"),
              "");
    f = open_memstream(&text, &n);
    settings_write_effective(s, f);
    (void)fclose(f);
    CHECK(strstr(text, "hush") == NULL);
    CHECK_HAS(text, "kafka:\n"
                    "  bootstrap.servers: \"k:9092\"\n"
                    "  sasl.username: me\n"
                    "  sasl.password: \"***\"\n"
                    "  consumer: {}\n"
                    "  producer:\n"
                    "    linger.ms: \"5\"\n");
    CHECK_STR(read_text(text), "");
    CHECK_INT(s->kafka.count, 3);
    CHECK_INT(s->train_deterministic, DETERMINISM_OFF);
    free(text);
}

int
main(void)
{
    RUN(the_least_with_kafka_needs_brokers_only);
    RUN(files_are_the_default_and_need_no_broker);
    RUN(brokers_must_be_known);
    RUN(an_annotator_has_logs_of_one_kind);
    RUN(a_trainers_dead_letters_are_where_its_log_is);
    RUN(some_things_need_more);
    RUN(topics_have_legal_names_and_differ);
    RUN(what_delivery_depends_on_is_refused);
    RUN(a_producer_keeps_five_in_flight);
    RUN(none_of_it_changes_what_is_learned);
    RUN(effective_settings_read_back_and_hide_secrets);
    forget();
    return check_report();
}
