/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld validate --connect`: whether what the configuration names is there.
 */
#include "stages/commands.h"
#include "stages/connect_http.h"
#include "stages/kafka_settings.h"
#include "stages/load.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/io/kafka_tail.h"

#include <inttypes.h>
#include <stdlib.h>

#define TIMEOUT_MS 5000

struct connect {
    const struct settings *settings;
    FILE *out;
    struct error first; /* the first thing that is not there, or OK */
};

static void
say_error(struct connect *c, const char *what, const struct error *err)
{
    (void)fprintf(c->out, "%s: %s\n", what, err->text);
    if (c->first.status == STATUS_OK)
        c->first = *err;
}

/* One topic. events: partitions that it must have at least; 0: any. */
static void
look_at_topic(struct connect *c, struct kafka_tail *client, const char *name,
              int32_t events, struct kafka_topic *topic)
{
    struct error err;

    if (kafka_topic_describe(kafka_tail_client(client), name, TIMEOUT_MS, topic,
                             &err) != STATUS_OK) {
        say_error(c, name, &err);
    } else if (topic->partition_count == 0 &&
               c->settings->create_topics_enabled) {
        (void)fprintf(c->out, "%s: does not exist yet, will be created\n",
                      name);
    } else if (topic->partition_count == 0) {
        (void)error_set(&err, STATUS_REFUSED,
                        "does not exist, and create_topics.enabled is false");
        say_error(c, name, &err);
    } else if (topic->partition_count < events) {
        (void)error_set(&err, STATUS_REFUSED,
                        "%" PRId32 " partitions, expected at least %" PRId32
                        ", as many as events have",
                        topic->partition_count, events);
        say_error(c, name, &err);
    } else {
        (void)fprintf(c->out, "%s: %" PRId32 " partitions\n", name,
                      topic->partition_count);
    }
}

static void
look_at_topics(struct connect *c)
{
    const struct settings *s = c->settings;
    struct kafka_settings kafka;
    struct kafka_tail *client = NULL;
    struct kafka_topic topic = {0};
    struct error err;
    int32_t events = 0;
    enum status st = kafka_settings_init(&kafka, s, &err);

    if (st == STATUS_OK)
        st = kafka_tail_open(&client, &kafka.consumer, s->events_topic, &err);
    if (st != STATUS_OK) {
        say_error(c, "kafka", &err);
        kafka_settings_fini(&kafka);
        return;
    }
    if (s->events_log == LOG_KIND_KAFKA) {
        look_at_topic(c, client, s->events_topic, 0, &topic);
        events = topic.partition_count;
    }
    if (s->labels_log == LOG_KIND_KAFKA)
        look_at_topic(c, client, s->labels_topic, events, &topic);
    if (s->dead_letters_log == LOG_KIND_KAFKA)
        look_at_topic(c, client, s->dead_letters_topic, 0, &topic);
    kafka_tail_close(&client);
    kafka_settings_fini(&kafka);
}

static void
look_at_teacher(struct connect *c, const struct teacher_settings *t)
{
    const struct settings *s = c->settings;
    struct loaded_model loaded = {0};
    struct event_shape *events = NULL;
    struct checkpoint *ck = NULL;
    struct error err;
    enum status st = event_shape_new(&events, s, &err);

    if (st == STATUS_OK)
        st = checkpoint_open(&ck, t->path, CHECKPOINT_VERIFY, &err);
    if (st == STATUS_OK)
        st = load_model(&loaded, ck, "", event_shape_spec(events),
                        s->teacher_batch, t->threads, t->name, &err);
    if (st == STATUS_OK)
        (void)fprintf(c->out, "%s: version %" PRIu64 " in %s\n", t->name,
                      checkpoint_manifest(ck)->version, checkpoint_path(ck));
    else
        say_error(c, t->name, &err);
    loaded_model_fini(&loaded);
    checkpoint_free(&ck);
    event_shape_free(&events);
}

enum status
connect_command(const struct settings *settings, FILE *out, struct error *err)
{
    struct connect c = {.settings = settings, .out = out};

    if (settings->events_log == LOG_KIND_KAFKA ||
        settings->labels_log == LOG_KIND_KAFKA ||
        settings->dead_letters_log == LOG_KIND_KAFKA)
        look_at_topics(&c);
    for (size_t i = 0; i < settings_teacher_count(settings) &&
                       settings_has_role(settings, ROLE_ANNOTATE);
         i++) {
        const struct teacher_settings *t = settings_teacher(settings, i);

        if (t->kind == TEACHER_KIND_HTTP &&
            connect_http_teacher(settings, t, out, err) != STATUS_OK)
            say_error(&c, t->name, err);
        if (t->kind == TEACHER_KIND_CHECKPOINT && t->path[0] != '\0')
            look_at_teacher(&c, t);
    }
    *err = c.first;
    return err->status;
}
