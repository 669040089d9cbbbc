/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label records come back as they were written; dead letters keep their
 * payload.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/event/label.h"
#include "stages/event/label_frame.h"

#include "daemon/base/json.h"
#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "user"},
    {.name = "tags", .kind = FEATURE_BAG, .path = "tags"},
};

static const struct event_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .path = "click"},
    {.name = "gen\"re", .kind = TASK_CLASS, .classes = 5},
    {.name = "dwell", .kind = TASK_REGRESSION},
};

#define LOGITS 7

static const struct event_spec spec = {.features = features,
                                       .feature_count = COUNT(features),
                                       .tasks = tasks,
                                       .task_count = COUNT(tasks)};

static struct error err;

static struct label
sample_label(const char *event, const float *logits)
{
    return (struct label){.source = {.topic = "clicks",
                                     .partition = 0,
                                     .offset = 123,
                                     .generation = 1},
                          .teacher_name = "big",
                          .teacher_version = "42",
                          .tasks = tasks,
                          .task_count = COUNT(tasks),
                          .logits = logits,
                          .event = event,
                          .event_bytes = strlen(event)};
}

static void
test_label_has_exactly_the_documented_bytes(void)
{
    static const float logits[LOGITS] = {0.1f, -1, 0, 1, 2.5f, 1e-20f, NAN};
    struct label label =
        sample_label(" \n{\"user\":\"u\",\r\n \"click\":1}\n", logits);
    char buf[1024];
    size_t len = 0;

    CHECK_INT(label_write(&label, buf, sizeof(buf) - 1, &len, &err), STATUS_OK);
    buf[len] = '\0';
    CHECK_STR(buf, "{\"schema\":\"distilld.label/1\",\"source\":{\"topic\":"
                   "\"clicks\",\"partition\":0,\"offset\":123,\"generation\":"
                   "1},\"teacher\":{\"name\":\"big\",\"version\":\"42\"},"
                   "\"soft_label\":{\"click\":[0.100000001],\"gen\\\"re\":"
                   "[-1,0,1,2.5,9.99999968e-21]},\"event\":{\"user\":\"u\",   "
                   "\"click\":1}}\n");
    label.logits = NULL;
    label.teacher_name = NULL;
    CHECK_INT(label_write(&label, buf, sizeof(buf) - 1, &len, &err), STATUS_OK);
    buf[len] = '\0';
    CHECK_HAS(buf, "\"generation\":1},\"soft_label\":{},\"event\":{");
}

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Any finite float there is, by its bits. */
static float
random_float(uint64_t *state)
{
    float value;

    do {
        uint32_t bits = (uint32_t)(next_random(state) >> 32);

        memcpy(&value, &bits, sizeof(value));
    } while (!isfinite(value));
    return value;
}

/* One random event through label_write and back, beside itself. */
static void
check_round_trip(struct decoder *d, struct columns *c, uint64_t *state)
{
    float logits[LOGITS];
    struct event_meta meta;
    char event[256];
    char buf[2048];
    struct label label;
    size_t len = 0;
    size_t at = 0;

    for (size_t i = 0; i < LOGITS; i++)
        logits[i] = random_float(state);
    (void)snprintf(event, sizeof(event),
                   "{\"user\":%llu,\"tags\":[\"a%u\",%u],\"click\":%u}",
                   (unsigned long long)next_random(state),
                   (unsigned)next_random(state), (unsigned)next_random(state),
                   (unsigned)next_random(state) & 1u);
    label = sample_label(event, logits);
    label.source.offset = (int64_t)(next_random(state) >> 11);
    label.source.partition = (int32_t)(next_random(state) >> 33);
    CHECK_INT(label_write(&label, buf,
                          label_bytes_max(tasks, COUNT(tasks), strlen(event)),
                          &len, &err),
              STATUS_OK);
    columns_clear(c);
    CHECK_INT(decoder_decode(d, event, strlen(event), c, 0, NULL, &err),
              STATUS_OK);
    CHECK_INT(decoder_decode(d, buf, len, c, 1, &meta, &err), STATUS_OK);
    CHECK(meta.is_label && meta.offset == label.source.offset);
    CHECK_INT(meta.partition, label.source.partition);
    CHECK(c->features[0].ids[0] == c->features[0].ids[1]);
    CHECK(memcmp(c->features[1].ids, c->features[1].ids + 2, 16) == 0);
    CHECK(c->tasks[0].outcome[0] == c->tasks[0].outcome[1]);
    for (size_t t = 0; t < COUNT(tasks); t++) {
        size_t width = c->tasks[t].width;

        CHECK_INT(c->tasks[t].has_teacher[1], 1);
        CHECK(memcmp(c->tasks[t].teacher + width, logits + at,
                     width * sizeof(float)) == 0);
        at += width;
    }
}

static void
test_label_round_trip_keeps_every_bit(void)
{
    uint64_t state = 88172645463325252u;
    struct decoder *d = NULL;
    struct columns *c = NULL;

    CHECK_INT(decoder_new(&d, &spec, &err), STATUS_OK);
    CHECK_INT(columns_new(&c, &spec, 2, &err), STATUS_OK);
    for (int i = 0; i < 2000; i++)
        check_round_trip(d, c, &state);
    columns_free(&c);
    decoder_free(&d);
}

static void
test_label_that_does_not_fit_is_too_big(void)
{
    static const float logits[LOGITS] = {1, 2, 3, 4, 5, 6, 7};
    struct label label = sample_label("{\"user\":\"u\"}", logits);
    char whole[1024];
    size_t need = 0;
    size_t len = 0;

    CHECK_INT(label_write(&label, whole, sizeof(whole), &need, &err),
              STATUS_OK);
    for (size_t capacity = 0; capacity <= need; capacity++) {
        char *buf = malloc(capacity + 1);
        enum status want = capacity < need ? STATUS_TOOBIG : STATUS_OK;

        CHECK_INT(label_write(&label, buf, capacity, &len, &err), want);
        free(buf);
    }
}

/* A label from the frame, beside label_write. */
static void
check_frame(const struct label_frame *f, const struct label *label)
{
    size_t room = label_frame_bytes_max(f, label);
    char *got = malloc(room);
    char want[4096];
    size_t want_len = 0;
    size_t len;

    CHECK_INT(label_write(label, want, sizeof(want), &want_len, &err),
              STATUS_OK);
    len = label_frame_write(f, label, got);
    CHECK(len <= room);
    CHECK_INT(len, want_len);
    CHECK(memcmp(got, want, len) == 0);
    free(got);
}

static void
test_label_from_a_frame_has_the_same_bytes(void)
{
    static const char *const events[] = {"{}", " {\"user\":\"u\"}",
                                         "\r\n{\n\"user\"\r:\"u\"\n\n}\t \n"};
    uint64_t state = 7;
    float logits[LOGITS];
    struct label_frame f;

    label_frame_init(&f);
    for (unsigned i = 0; i < 3000; i++) {
        struct label label = sample_label(events[i % COUNT(events)], logits);
        const struct label_imagined imagined[] = {
            {logits, "{\"user\":\"v\"}", 12}, {logits, "{}", 2}};
        const struct label_choice choice = {.by = "\x01 \"way\"",
                                            .rate = (1 + i % 100) / 100.0,
                                            .is_chosen = i & 32};

        label.imagined = imagined;
        for (size_t k = 0; k < LOGITS; k++)
            logits[k] = next_random(&state) % 16 == 0 ? (float)INFINITY
                                                      : random_float(&state);
        label.source.topic = i & 1 ? "clicks" : "\"partition\":0,\"offset\":0";
        label.source.cluster = i & 2 ? "MkU3OEVBNTcwNTJENDM2Qk" : NULL;
        label.source.topic_id = i & 4 ? "w_Z2dkZtRhi0uQ4xlYc6Vw" : NULL;
        label.source.generation = (uint32_t)next_random(&state);
        label.teacher_name = i & 8 ? "the \\ teacher" : NULL;
        label.teacher_version = i & 16 ? "\x01" : NULL;
        label.logits = i & 32 ? logits : NULL;
        label.choice = i & 64 ? &choice : NULL;
        label.imagined_count = i & 128 ? 1 + i % 2 : 0;
        CHECK_INT(label_frame_set(&f, &label, &err), STATUS_OK);
        for (unsigned j = 0; j < 4; j++) {
            label.source.partition = (int32_t)(next_random(&state) >> 33);
            label.source.offset =
                (int64_t)(next_random(&state) >> (11 + i % 40));
            check_frame(&f, &label);
        }
    }
    label_frame_fini(&f);
}

static void
test_label_source_is_read_from_the_front(void)
{
    struct label label = sample_label("{}", NULL);
    char topic[LABEL_TOPIC_MAX + 1];
    char buf[1024];
    int32_t partition = -1;
    int64_t offset = -1;
    uint32_t generation = 0;
    size_t len = 0;

    label.source = (struct label_source){.topic = "a.log",
                                         .partition = INT32_MAX,
                                         .offset = INT64_C(9007199254740991),
                                         .generation = UINT32_MAX};
    for (int known = 0; known < 4; known++) {
        label.source.cluster = known & 1 ? "MkU3OEVBNTcwNTJENDM2Qk" : NULL;
        label.source.topic_id = known & 2 ? "w_Z2dkZtRhi0uQ4xlYc6Vw" : NULL;
        CHECK_INT(label_write(&label, buf, sizeof(buf), &len, &err), STATUS_OK);
        CHECK_INT(record_source(buf, len, topic, &partition, &offset,
                                &generation, &err),
                  STATUS_OK);
        CHECK_STR(topic, "a.log");
        CHECK_INT(partition, INT32_MAX);
        CHECK_INT(offset, INT64_C(9007199254740991));
        CHECK_INT(generation, UINT32_MAX);
    }
}

static void
test_label_names_the_cluster_and_the_topic(void)
{
    struct label label = sample_label("{\"user\":\"u\"}", NULL);
    struct event_meta meta;
    struct decoder *d = NULL;
    struct columns *c = NULL;
    char buf[1024];
    size_t len = 0;

    label.source.cluster = "MkU3OEVBNTcwNTJENDM2Qk";
    label.source.topic_id = "w_Z2dkZtRhi0uQ4xlYc6Vw";
    CHECK_INT(label_write(&label, buf, sizeof(buf) - 1, &len, &err), STATUS_OK);
    buf[len] = '\0';
    CHECK_HAS(buf, ",\"generation\":1,\"cluster\":\"MkU3OEVBNTcwNTJENDM2Qk\","
                   "\"topic_id\":\"w_Z2dkZtRhi0uQ4xlYc6Vw\"},\"");
    CHECK_INT(decoder_new(&d, &spec, &err), STATUS_OK);
    CHECK_INT(columns_new(&c, &spec, 2, &err), STATUS_OK);
    CHECK_INT(decoder_decode(d, buf, len, c, 0, &meta, &err), STATUS_OK);
    CHECK_STR(meta.cluster, "MkU3OEVBNTcwNTJENDM2Qk");
    CHECK_STR(meta.topic_id, "w_Z2dkZtRhi0uQ4xlYc6Vw");
    label = sample_label("{\"user\":\"u\"}", NULL);
    CHECK_INT(label_write(&label, buf, sizeof(buf), &len, &err), STATUS_OK);
    CHECK_INT(decoder_decode(d, buf, len, c, 1, &meta, &err), STATUS_OK);
    CHECK_STR(meta.cluster, "");
    CHECK_STR(meta.topic_id, "");
    columns_free(&c);
    decoder_free(&d);
}

static void
test_label_source_refuses_everything_else(void)
{
#define HEAD "{\"schema\":\"distilld.label/1\",\"source\":{\"topic\":"
    static const char *const bad[] = {
        "",
        "{}",
        "{\"schema\":\"distilld.label/1\"}",
        HEAD "\"t\"}",
        HEAD "\"t\",\"partition\":1,\"offset\":2,\"generation\":3",
        HEAD "\"t\",\"partition\":-1,\"offset\":2,\"generation\":3},\"",
        HEAD "\"t\",\"partition\":1,\"offset\":9007199254740992,"
             "\"generation\":3},\"",
        HEAD "\"t\",\"partition\":2147483648,\"offset\":2,"
             "\"generation\":3},\"",
        HEAD "\"t\",\"partition\":,\"offset\":2,\"generation\":3},\"",
        HEAD "\"t",
        HEAD "\"t\",\"partition\":1,\"offset\":2,\"generation\":3,"
             "\"cluster\":\"",
        HEAD "\"t\",\"partition\":1,\"offset\":2,\"generation\":3,"
             "\"cluster\":\"a\\u0062\"},\"",
        HEAD "\"t\",\"partition\":1,\"offset\":2,\"generation\":3,"
             "\"topic_id\":\"0123456789012345678901234567890123456789\"},\"",
        HEAD "\"t\",\"partition\":1,\"offset\":2,\"generation\":3,"
             "\"topic_id\":\"a\",\"cluster\":\"b\"},\"",
    };
    int32_t partition;
    int64_t offset;
    uint32_t generation;

    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t len = strlen(bad[i]);
        char *copy = malloc(len + 1);

        memcpy(copy, bad[i], len);
        CHECK_INT(record_source(copy, len, NULL, &partition, &offset,
                                &generation, &err),
                  STATUS_MALFORMED);
        free(copy);
    }
}

/* Writes a dead letter and gives its tree, for json_free. */
static struct cJSON *
write_whole_letter(const struct dead_letter *letter)
{
    struct json_limits limits = {.bytes_max = 65536, .depth_max = 8};
    size_t capacity = dead_letter_bytes_max(letter->payload_max) +
                      dead_letter_extra_bytes(letter);
    char *buf = malloc(capacity);
    struct cJSON *root = NULL;
    size_t used = 0;

    CHECK_INT(dead_letter_write(letter, buf, capacity, &used, &err), STATUS_OK);
    CHECK(used > 0 && memchr(buf, '\n', used) == buf + used - 1);
    CHECK_INT(json_parse(&root, buf, used, &limits, NULL, &err), STATUS_OK);
    free(buf);
    return root;
}

static struct cJSON *
write_letter(const char *payload, size_t len, size_t payload_max)
{
    static const char sha256[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct dead_letter letter = {.source = {.topic = "clicks",
                                            .partition = 1,
                                            .offset = 2,
                                            .generation = 3},
                                 .reason = "byte 6: bad UTF-8",
                                 .payload = payload,
                                 .payload_bytes = len,
                                 .payload_max = payload_max,
                                 .sha256 = sha256};

    return write_whole_letter(&letter);
}

static void
test_dead_letter_keeps_text_as_text(void)
{
    struct cJSON *root = write_letter("{\"a\":\n\"caf\xC3\xA9\x01", 13, 100);
    int64_t offset = 0;

    CHECK_STR(json_string(json_find(root, "schema")), "distilld.dead_letter/1");
    CHECK_STR(json_string(json_find(root, "reason")), "byte 6: bad UTF-8");
    CHECK(json_integer(json_find(root, "source.offset"), &offset));
    CHECK_INT(offset, 2);
    CHECK_STR(json_string(json_find(root, "payload")),
              "{\"a\":\n\"caf\xC3\xA9\x01");
    CHECK(json_find(root, "payload_base64") == NULL);
    CHECK(json_find(root, "payload_sha256") == NULL);
    json_free(&root);
}

static void
test_dead_letter_keeps_other_bytes_in_base64(void)
{
    struct cJSON *root = write_letter("\xFF\x00\x10", 3, 100);

    CHECK_STR(json_string(json_find(root, "payload_base64")), "/wAQ");
    CHECK(json_find(root, "payload") == NULL);
    json_free(&root);
    root = write_letter("a\0b", 3, 100);
    CHECK_STR(json_string(json_find(root, "payload_base64")), "YQBi");
    json_free(&root);
    root = write_letter("", 0, 100);
    CHECK_STR(json_string(json_find(root, "payload")), "");
    json_free(&root);
}

static void
test_dead_letter_cuts_between_characters(void)
{
    struct cJSON *root = write_letter("abc\xC3\xA9x", 6, 4);
    int64_t bytes = 0;

    CHECK_STR(json_string(json_find(root, "payload")), "abc");
    CHECK(json_integer(json_find(root, "payload_bytes"), &bytes));
    CHECK_INT(bytes, 6);
    CHECK(json_string(json_find(root, "payload_sha256")) != NULL);
    json_free(&root);
    root = write_letter("abc\xC3\xC3\xC3\xC3", 7, 4);
    CHECK_STR(json_string(json_find(root, "payload_base64")), "YWJjww==");
    json_free(&root);
}

static void
test_dead_letter_keeps_key_and_headers(void)
{
    static const struct record_header headers[] = {
        {"traceparent", "00-1-2-01", 9},
        {"raw", "\xFF\x01", 2},
        {"null", NULL, RECORD_HEADER_NULL},
        {"raw", "", 0},
        {"\xFE", "x", 1},
    };
    struct dead_letter letter = {
        .source = {.topic = "clicks", .cluster = "c", .topic_id = "t"},
        .reason = "r",
        .payload = "x",
        .payload_bytes = 1,
        .payload_max = 1,
        .stage = "annotate",
        .key = "u-7",
        .key_bytes = 3,
        .headers = headers,
        .header_count = 5};
    struct cJSON *root = write_whole_letter(&letter);

    CHECK_STR(json_string(json_find(root, "source.cluster")), "c");
    CHECK_STR(json_string(json_find(root, "source.topic_id")), "t");
    CHECK_STR(json_string(json_find(root, "stage")), "annotate");
    CHECK_STR(json_string(json_find(root, "key")), "u-7");
    CHECK_INT(json_count(json_find(root, "headers")), 5);
    CHECK_STR(json_string(json_find(root, "headers[0].name")), "traceparent");
    CHECK_STR(json_string(json_find(root, "headers[0].value")), "00-1-2-01");
    CHECK_STR(json_string(json_find(root, "headers[1].value_base64")), "/wE=");
    CHECK(json_is_null(json_find(root, "headers[2].value")));
    CHECK_STR(json_string(json_find(root, "headers[3].value")), "");
    CHECK_STR(json_string(json_find(root, "headers[4].name_base64")), "/g==");
    json_free(&root);
    letter.key = "\0";
    letter.key_bytes = 1;
    letter.header_count = 0;
    root = write_whole_letter(&letter);
    CHECK_STR(json_string(json_find(root, "key_base64")), "AA==");
    CHECK(json_find(root, "headers") == NULL && json_find(root, "key") == NULL);
    json_free(&root);
}

/* The worst bytes that there are, everywhere. */
static void
test_dead_letter_always_fits_what_was_asked_for(void)
{
    char worst[64];
    struct record_header headers[3];
    struct dead_letter letter = {.source = {.topic = worst,
                                            .partition = INT32_MAX,
                                            .offset = 9007199254740991,
                                            .generation = UINT32_MAX,
                                            .cluster = worst,
                                            .topic_id = worst + 30},
                                 .reason = worst,
                                 .payload = worst,
                                 .payload_bytes = 63,
                                 .payload_max = 63,
                                 .stage = worst,
                                 .key = worst,
                                 .key_bytes = 63,
                                 .headers = headers,
                                 .header_count = 3};
    struct cJSON *root;

    memset(worst, 1, sizeof(worst) - 1);
    worst[sizeof(worst) - 1] = '\0';
    for (size_t i = 0; i < 3; i++)
        headers[i] = (struct record_header){worst, worst, 63};
    root = write_whole_letter(&letter);
    json_free(&root);
    for (size_t i = 0; i < 3; i++)
        headers[i] = (struct record_header){"\xFF", "\xFF", 1};
    root = write_whole_letter(&letter);
    json_free(&root);
}

static const char imagined_label[] =
    "{\"schema\":\"distilld.label/1\",\"imagined\":["
    "{\"soft_label\":{\"click\":[0.5],\"dwell\":[7]},"
    "\"event\":{\"user\":\"v\",\"tags\":[\"x\",\"y\"],\"click\":0}},"
    "{\"soft_label\":{},\"event\":{\"user\":\"w\"}},"
    "{\"event\":{\"user\":\"z\",\"tags\":[\"y\"]},"
    "\"soft_label\":{\"click\":-1}}],"
    "\"source\":{\"topic\":\"t\",\"partition\":1,\"offset\":2,"
    "\"generation\":3},\"sample\":{\"by\":\"rate\",\"rate\":0.25,"
    "\"chosen\":true},\"soft_label\":{\"click\":[2]},"
    "\"event\":{\"user\":\"u\",\"tags\":[\"x\"],\"click\":1}}";

/* Two decoders and two sets of columns: for labels, and what they imagine. */
struct pair {
    struct decoder *d[2];
    struct columns *c[2];
    struct event_meta meta;
    struct event_spec spec;
};

static void
pair_init(struct pair *p, double ask_weight_max)
{
    *p = (struct pair){.spec = spec};
    p->spec.ask_weight_max = ask_weight_max;
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(decoder_new(&p->d[i], &p->spec, &err), STATUS_OK);
        CHECK_INT(columns_new(&p->c[i], &p->spec, 4, &err), STATUS_OK);
    }
}

static void
pair_fini(struct pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        decoder_free(&p->d[i]);
        columns_free(&p->c[i]);
    }
}

static size_t
pair_read(struct pair *p, const char *text, size_t most)
{
    struct columns *c = p->c[0];

    CHECK_INT(decoder_decode(p->d[0], text, strlen(text), c, c->row_count,
                             &p->meta, &err),
              STATUS_OK);
    if (p->meta.imagined == NULL)
        return 0;
    return decoder_imagine(p->d[1], p->meta.imagined, p->meta.imagined_bytes,
                           p->c[1], most, c, c->row_count - 1);
}

static void
test_imagined_events_are_rows_of_their_own(void)
{
    struct pair p;
    const struct column *user;
    const struct column *tags;

    pair_init(&p, 0.0);
    CHECK_INT(pair_read(&p, imagined_label, 9), 2);
    CHECK_INT(p.c[0]->row_count, 1);
    CHECK_INT(p.c[1]->row_count, 2);
    user = &p.c[1]->features[0];
    tags = &p.c[1]->features[1];
    CHECK(user->ids[0] != user->ids[1]);
    CHECK(user->ids[0] != p.c[0]->features[0].ids[0]);
    CHECK_INT(tags->offsets[1], 2);
    CHECK_INT(tags->offsets[2], 3);
    CHECK(tags->ids[0] == p.c[0]->features[1].ids[0]);
    CHECK(tags->ids[2] == tags->ids[1]);
    CHECK_NEAR(p.c[1]->tasks[0].teacher[0], 0.5, 0);
    CHECK_NEAR(p.c[1]->tasks[0].teacher[1], -1, 0);
    CHECK_INT(p.c[1]->tasks[2].has_teacher[0], 1);
    CHECK_INT(p.c[1]->tasks[2].has_teacher[1], 0);
    CHECK_INT(p.c[1]->tasks[0].has_outcome[0], 0);
    CHECK_INT(p.c[0]->tasks[0].has_outcome[0], 1);
    CHECK_INT(pair_read(&p, imagined_label, 1), 1);
    CHECK_INT(p.c[1]->row_count, 3);
    CHECK_INT(pair_read(&p, imagined_label, 9), 1); /* there is no more room */
    CHECK_INT(p.c[1]->row_count, 4);
    CHECK_INT(decoder_counters(p.d[0])->accepted, 3);
    pair_fini(&p);
}

static void
test_the_rate_of_a_sample_becomes_a_weight(void)
{
    static const char *const samples[] = {"\"sample\":{\"rate\":0.25}",
                                          "\"sample\":{\"rate\":0.01}",
                                          "\"sample\":{\"rate\":0}",
                                          "\"sample\":{\"rate\":[0.25]}",
                                          "\"sample\":{\"rate\":\"0.5\"}",
                                          "\"sample\":[{\"rate\":0.25}]",
                                          "\"sample\":null",
                                          "\"sample\":{\"rate\":1.5}"};
    static const float wanted[] = {4, 8, 1, 1, 1, 1, 1, 1};
    struct pair p;
    char text[512];

    pair_init(&p, 8.0);
    for (size_t i = 0; i < COUNT(samples); i++) {
        (void)snprintf(
            text, sizeof(text),
            "{\"schema\":\"distilld.label/1\",\"source\":{\"topic\":"
            "\"t\",\"partition\":1,\"offset\":2,\"generation\":3},%s,"
            "\"soft_label\":{},\"event\":{}}",
            samples[i]);
        columns_clear(p.c[0]);
        (void)pair_read(&p, text, 0);
        CHECK_NEAR(p.c[0]->ask_weight[0], wanted[i], 0);
    }
    columns_clear(p.c[0]);
    CHECK_INT(pair_read(&p, imagined_label, 2), 2);
    CHECK_NEAR(p.c[1]->ask_weight[1], 4, 0);
    pair_fini(&p);
}

static void
test_a_list_of_no_imagined_events_costs_only_itself(void)
{
    static const char *const lists[] = {
        "null",
        "7",
        "{}",
        "[]",
        "[null]",
        "[{}]",
        "[{\"event\":{}}]",
        "[{\"soft_label\":{\"click\":1}}]",
        "[{\"soft_label\":{\"click\":1},\"event\":[]}]"};
    struct pair p;
    char text[512];

    pair_init(&p, 8.0);
    for (size_t i = 0; i < COUNT(lists); i++) {
        (void)snprintf(text, sizeof(text),
                       "{\"schema\":\"distilld.label/1\",\"source\":{\"topic\":"
                       "\"t\",\"partition\":1,\"offset\":2,\"generation\":3},"
                       "\"imagined\":%s,\"soft_label\":{},\"event\":{}}",
                       lists[i]);
        columns_clear(p.c[0]);
        CHECK_INT(pair_read(&p, text, 4), 0);
        CHECK_INT(p.c[0]->row_count, 1);
    }
    pair_fini(&p);
}

int
main(void)
{
    RUN(test_label_has_exactly_the_documented_bytes);
    RUN(test_label_round_trip_keeps_every_bit);
    RUN(test_label_that_does_not_fit_is_too_big);
    RUN(test_label_from_a_frame_has_the_same_bytes);
    RUN(test_label_source_is_read_from_the_front);
    RUN(test_label_names_the_cluster_and_the_topic);
    RUN(test_label_source_refuses_everything_else);
    RUN(test_dead_letter_keeps_text_as_text);
    RUN(test_dead_letter_keeps_other_bytes_in_base64);
    RUN(test_dead_letter_cuts_between_characters);
    RUN(test_dead_letter_keeps_key_and_headers);
    RUN(test_dead_letter_always_fits_what_was_asked_for);
    RUN(test_imagined_events_are_rows_of_their_own);
    RUN(test_the_rate_of_a_sample_becomes_a_weight);
    RUN(test_a_list_of_no_imagined_events_costs_only_itself);
    return check_report();
}
