/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kinds of logs, topics and Kafka's properties must hold together.
 */
#include "stages/settings_check_priv.h"

#include "daemon/base/macros.h"
#include "daemon/io/kafka.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* One line a property that delivery depends on, or that a setting of
 * distilld's stands for. */
struct refusal {
    const char *name;
    const char *why; /* what to do is in it */
};

static const struct refusal refusals[] = {
    {"enable.auto.commit", "offsets are committed when their labels are "
                           "acknowledged, expected it to be left out"},
    {"auto.commit.enable", "offsets are committed when their labels are "
                           "acknowledged, expected it to be left out"},
    {"enable.auto.offset.store", "offsets are stored when their labels are "
                                 "acknowledged, expected it to be left out"},
    {"auto.offset.reset", "an offset outside the log must never pass in "
                          "silence, expected events.start instead"},
    {"enable.idempotence", "labels are in order and gap-free only with it, "
                           "expected it to be left out: it is always on"},
    {"enable.gapless.guarantee", "each partition of labels begins anew after "
                                 "a failure, expected it to be left out"},
    {"message.timeout.ms", "a label waits for the broker as long as it takes "
                           "and is never given up, expected it to be left "
                           "out"},
    {"delivery.timeout.ms", "a label waits for the broker as long as it takes "
                            "and is never given up, expected it to be left "
                            "out"},
    {"retries", "a label waits for the broker as long as it takes and is "
                "never given up, expected it to be left out"},
    {"message.send.max.retries", "a label waits for the broker as long as it "
                                 "takes and is never given up, expected it to "
                                 "be left out"},
    {"delivery.report.only.error", "an offset is committed when the report of "
                                   "its label has come, expected it to be "
                                   "left out"},
    {"acks", "a label counts when all in-sync replicas have it, expected it "
             "to be left out: it is always all"},
    {"request.required.acks", "a label counts when all in-sync replicas have "
                              "it, expected it to be left out: it is always "
                              "all"},
    {"transactional.id", "each writer has one of its own, expected "
                         "labels.transactional instead"},
    {"group.id", "is a setting of its own, expected events.group instead"},
    {"enable.partition.eof", "the end of a partition tells that what a "
                             "transaction left behind was passed, expected "
                             "it to be left out: it is always on"},
    {"isolation.level", "what an aborted transaction wrote is no event and no "
                        "label, expected it to be left out: it is always "
                        "read_committed"},
    {"log.queue", "librdkafka's messages go to the log of distilld, expected "
                  "log.level instead"},
    {"statistics.interval.ms", "the metrics need it as it is, expected it to "
                               "be left out"},
};

static bool
is_annotator(const struct check *c)
{
    return settings_has_role(c->s, ROLE_ANNOTATE);
}

/* The log that the trainer reads. */
static enum log_kind
train_log(const struct settings *s)
{
    return s->train_input == TRAIN_INPUT_EVENTS ? s->events_log : s->labels_log;
}

/* ---- The kinds of logs ---- */

static const char *
name_kind(enum log_kind kind)
{
    return kind == LOG_KIND_KAFKA ? "kafka" : "file";
}

/* One role's logs are of one kind: offsets of one and acknowledgements of the
 * other cannot be kept together. Told where something is written. */
static void
check_same_kind(struct check *c, const char *key, enum log_kind kind)
{
    enum log_kind events = c->s->events_log;
    bool is_given = settings_file_has(c->s->file, key);

    if (kind != events)
        check_complain(c, is_given ? key : "events.log",
                       "is %s, but %s is %s, expected the same kind for "
                       "events, labels and dead letters where role annotate "
                       "is",
                       name_kind(is_given ? kind : events),
                       is_given ? "events.log" : key,
                       name_kind(is_given ? events : kind));
}

static void
check_kinds(struct check *c)
{
    const struct settings *s = c->s;
    bool trains = settings_has_role(s, ROLE_TRAIN);

    if (is_annotator(c)) {
        check_same_kind(c, "labels.log", s->labels_log);
        check_same_kind(c, "dead_letters.log", s->dead_letters_log);
    }
    if (is_annotator(c) && s->teacher_learn &&
        s->events_log == LOG_KIND_KAFKA &&
        (!s->labels_transactional || *s->labels_transactional_id == '\0'))
        check_complain(c, "teacher.learn",
                       "needs labels.transactional: true and a "
                       "labels.transactional_id with Kafka, which fence off a "
                       "second annotator; or train the teacher apart, in a "
                       "process with roles: [train] and train.input: events");
    if (trains && !is_annotator(c) && s->dead_letters_log != train_log(s))
        check_complain(c, "dead_letters.log",
                       "is %s, expected %s, as the log that role train reads",
                       name_kind(s->dead_letters_log), name_kind(train_log(s)));
    if (trains && s->train_passes > 1 && train_log(s) == LOG_KIND_KAFKA)
        check_complain(c, "train.passes",
                       "is more than one, expected 1: a Kafka log has no end, "
                       "so it is gone through once");
    if (s->events_format != EVENT_FORMAT_JSON &&
        s->events_log != LOG_KIND_KAFKA)
        check_complain(c, "events.format",
                       "is for messages of a topic, expected json, or "
                       "events.log: kafka");
}

/* ---- Topics ---- */

/* Kafka's metrics take '.' for '_', so it warns of names that differ so. */
static bool
is_same_topic(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        if ((*a == '.' ? '_' : *a) != (*b == '.' ? '_' : *b))
            return false;
    }
    return *a == *b;
}

static void
check_topics(struct check *c)
{
    const struct settings *s = c->s;
    const struct {
        const char *key;
        const char *topic;
        bool is_used;
    } topics[] = {
        {"events.topic", s->events_topic, s->events_log == LOG_KIND_KAFKA},
        {"labels.topic", s->labels_topic, s->labels_log == LOG_KIND_KAFKA},
        {"dead_letters.topic", s->dead_letters_topic,
         s->dead_letters_log == LOG_KIND_KAFKA},
    };

    for (size_t i = 0; i < COUNT(topics); i++) {
        if (!topics[i].is_used)
            continue;
        if (strcmp(topics[i].topic, ".") == 0 ||
            strcmp(topics[i].topic, "..") == 0)
            check_complain(c, topics[i].key,
                           "is '%s', which Kafka keeps for itself, expected "
                           "another name",
                           topics[i].topic);
        for (size_t j = 0; j < i; j++) {
            if (topics[j].is_used &&
                is_same_topic(topics[j].topic, topics[i].topic))
                check_complain(c, topics[i].key,
                               "is the same as %s, expected another topic "
                               "(Kafka takes '.' for '_')",
                               topics[j].key);
        }
    }
}

/* ---- Properties ---- */

/* At a property's own place; never doubtful: librdkafka judges the others. */
print_like(4, 5) static void refuse_property(struct check *c,
                                             const char *section,
                                             const char *name,
                                             const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)snprintf(c->key, sizeof(c->key), "%s.%s", section, name);
    settings_file_complain(c->s->file, c->problems, c->key, "%s", text);
}

static void
check_properties(struct check *c, const char *section,
                 const struct setting_properties *p, bool is_for_producer)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->items[i].name;
        struct kafka_property property = {name, p->items[i].value};
        struct error err;

        for (size_t j = 0; j < COUNT(refusals); j++) {
            if (strcmp(refusals[j].name, name) == 0)
                refuse_property(c, section, name, "cannot be set: %s",
                                refusals[j].why);
        }
        if (kafka_property_check(&property, &err) != STATUS_OK)
            refuse_property(c, section, name, "%s", err.text);
        if (is_for_producer &&
            (strcmp(name, "max.in.flight") == 0 ||
             strcmp(name, "max.in.flight.requests.per.connection") == 0) &&
            strtol(p->items[i].value, NULL, 10) > 5)
            refuse_property(c, section, name,
                            "is more than an idempotent producer keeps in "
                            "order, expected at most 5");
    }
}

static void
check_brokers(struct check *c)
{
    const struct settings *s = c->s;
    bool has_kafka = s->events_log == LOG_KIND_KAFKA ||
                     s->labels_log == LOG_KIND_KAFKA ||
                     s->dead_letters_log == LOG_KIND_KAFKA;
    const struct setting_property *brokers =
        setting_properties_find(&s->kafka, "bootstrap.servers");

    if (brokers == NULL)
        brokers = setting_properties_find(&s->kafka, "metadata.broker.list");
    if (has_kafka && (brokers == NULL || *brokers->value == '\0'))
        check_complain(c, "kafka.bootstrap.servers",
                       "is missing, expected the brokers, such as "
                       "kafka-1:9092,kafka-2:9092, where a log is kafka");
}

void
check_kafka(struct check *c)
{
    const struct settings *s = c->s;

    if (!check_is_doubtful(c, "roles"))
        check_kinds(c);
    check_topics(c);
    check_brokers(c);
    check_properties(c, "kafka", &s->kafka, true);
    check_properties(c, "kafka.consumer", &s->kafka_consumer, false);
    check_properties(c, "kafka.producer", &s->kafka_producer, true);
}
