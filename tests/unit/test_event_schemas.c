/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder and the reader of manifests agree with the examples beside the
 * schemas, which tests/support/validate_schemas.py holds against the schemas
 * themselves; the writers write some of them. Runs in the root of the
 * repository.
 */
#include "stages/checkpoint/manifest.h"
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"

#include "daemon/base/json.h"

#include "tests/support/check.h"

#include <dirent.h>
#include <stdlib.h>

#define EXAMPLES "schemas/examples/"

static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "user_id"},
    {.name = "shown", .kind = FEATURE_BAG, .path = "impression"},
    {.name = "emb",
     .kind = FEATURE_VECTOR,
     .path = "context.embedding",
     .width = 3},
};

static const struct event_task tasks[] = {
    {.name = "click", .kind = TASK_BINARY, .path = "event_value"},
};

static const struct event_spec spec = {.features = features,
                                       .feature_count = 3,
                                       .tasks = tasks,
                                       .task_count = 1,
                                       .time_path = "timestamp"};

/* The status that a reader has for some bytes. */
typedef enum status (*read_fn)(const char *bytes, size_t len,
                               struct error *err);

static enum status
decode(const char *bytes, size_t len, struct error *err)
{
    struct decoder *d = NULL;
    struct columns *c = NULL;
    enum status st;

    CHECK_INT(decoder_new(&d, &spec, err), STATUS_OK);
    CHECK_INT(columns_new(&c, &spec, 1, err), STATUS_OK);
    st = decoder_decode(d, bytes, len, c, 0, NULL, err);
    columns_free(&c);
    decoder_free(&d);
    return st;
}

static enum status
parse(const char *bytes, size_t len, struct error *err)
{
    struct json_limits limits = {.bytes_max = 1 << 20, .depth_max = 32};

    return json_check(bytes, len, &limits, NULL, err);
}

static enum status
read_manifest(const char *bytes, size_t len, struct error *err)
{
    struct manifest m;
    enum status st = manifest_parse(&m, bytes, len, "manifest", err);

    manifest_fini(&m);
    return st;
}

static void
check_file(const char *path, read_fn read, enum status want)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    struct error err;
    enum status st;
    size_t len;

    CHECK(f != NULL);
    if (f == NULL)
        return;
    len = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    error_clear(&err);
    st = read(bytes, len, &err);
    CHECK_INT(st, want);
    if (st != want)
        (void)printf("  %s: %s\n", path, err.text);
}

/* Every example of a folder ends with the same status; at least `least`. */
static void
check_folder(const char *folder, read_fn read, enum status want, int least)
{
    char path[512];
    DIR *d = opendir(folder);
    int count = 0;

    CHECK(d != NULL);
    for (struct dirent *e = NULL; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        check_file(path, read, want);
        count++;
    }
    CHECK(count >= least);
    if (d != NULL)
        (void)closedir(d);
}

static void
test_decoder_accepts_the_good_examples(void)
{
    check_folder(EXAMPLES "event/ok", decode, STATUS_OK, 5);
    check_folder(EXAMPLES "label/ok", decode, STATUS_OK, 4);
}

static void
test_decoder_refuses_the_bad_examples(void)
{
    check_folder(EXAMPLES "event/bad", decode, STATUS_MALFORMED, 15);
    check_folder(EXAMPLES "label/bad", decode, STATUS_MALFORMED, 10);
}

static void
test_dead_letters_are_json_but_no_events(void)
{
    check_folder(EXAMPLES "dead_letter/ok", parse, STATUS_OK, 5);
    check_folder(EXAMPLES "dead_letter/ok", decode, STATUS_MALFORMED, 5);
}

static void
test_manifests_are_read_like_their_schema(void)
{
    check_folder(EXAMPLES "manifest/ok", read_manifest, STATUS_OK, 4);
    check_folder(EXAMPLES "manifest/bad", read_manifest, STATUS_BADDATA, 15);
}

/* ---- What we write is what the examples say ---- */

static const struct label_source kafka = {.topic = "interactions",
                                          .partition = 0,
                                          .offset = 5399,
                                          .generation = 1,
                                          .cluster = "MkU3OEVBNTcwNTJENDM2Qk",
                                          .topic_id = "w_Z2dkZtRhi0uQ4xlYc6Vw"};

static void
check_bytes(const char *path, const char *bytes, size_t len)
{
    static char want[65536];
    FILE *f = fopen(path, "rb");
    size_t n;

    CHECK(f != NULL);
    if (f == NULL)
        return;
    n = fread(want, 1, sizeof(want) - 1, f);
    want[n] = '\0';
    (void)fclose(f);
    CHECK_INT(len, n);
    CHECK(len == n && memcmp(bytes, want, n) == 0);
}

static void
test_a_label_of_kafka_is_written_like_its_example(void)
{
    static const struct event_task two[] = {
        {.name = "click", .kind = TASK_BINARY},
        {.name = "kind", .kind = TASK_CLASS, .classes = 3}};
    static const float logits[] = {1.73f, -1, 0.5f, 2};
    static const char event[] =
        "{\"user_id\":\"u-7\",\"item_id\":\"i-31\",\"event_value\":1}";
    struct label label = {.source = kafka,
                          .teacher_name = "ranker",
                          .teacher_version = "7",
                          .tasks = two,
                          .task_count = 2,
                          .logits = logits,
                          .event = event,
                          .event_bytes = sizeof(event) - 1};
    struct error err;
    char buf[2048];
    size_t len = 0;

    CHECK_INT(label_write(&label, buf, sizeof(buf), &len, &err), STATUS_OK);
    check_bytes(EXAMPLES "label/ok/kafka.json", buf, len);
}

static void
test_labels_with_a_choice_are_written_like_their_examples(void)
{
    static const struct event_task one = {.name = "click", .kind = TASK_BINARY};
    static const char event[] =
        "{\"user_id\":\"u-7\",\"item_id\":\"i-31\",\"event_value\":1}";
    static const char first[] = "{\"user_id\":\"u-7\",\"item_id\":\"i-2\"}";
    static const char second[] = "{\"user_id\":\"u-7\",\"item_id\":\"i-9\"}";
    static const float logits[] = {1.73f, -0.5f, -1.25f};
    const struct label_imagined imagined[] = {
        {&logits[1], first, sizeof(first) - 1},
        {&logits[2], second, sizeof(second) - 1}};
    struct label_choice choice = {"uncertainty", 0.05, false};
    struct label label = {
        .source = {.topic = "clicks.ndjson", .offset = 5399, .generation = 1},
        .tasks = &one,
        .task_count = 1,
        .choice = &choice,
        .event = event,
        .event_bytes = sizeof(event) - 1};
    struct error err;
    char buf[2048];
    size_t len = 0;

    CHECK_INT(label_write(&label, buf, sizeof(buf), &len, &err), STATUS_OK);
    check_bytes(EXAMPLES "label/ok/not_asked.json", buf, len);
    choice = (struct label_choice){"rate", 0.5, true};
    label.teacher_name = "ranker";
    label.teacher_version = "7";
    label.logits = logits;
    label.imagined = imagined;
    label.imagined_count = 2;
    CHECK_INT(label_write(&label, buf, sizeof(buf), &len, &err), STATUS_OK);
    check_bytes(EXAMPLES "label/ok/imagined.json", buf, len);
}

static void
test_a_dead_letter_of_kafka_is_written_like_its_example(void)
{
    static const char trace[] =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    static const struct record_header headers[] = {
        {"traceparent", trace, sizeof(trace) - 1},
        {"raw", "\xFF\x01", 2},
        {"null", NULL, RECORD_HEADER_NULL},
        {"\xFE", "", 0}};
    struct dead_letter letter = {.source = kafka,
                                 .reason = "byte 13: bad UTF-8",
                                 .stage = "annotate",
                                 .key = "u-7",
                                 .key_bytes = 3,
                                 .headers = headers,
                                 .header_count = 4,
                                 .payload = "{\"user_id\":",
                                 .payload_bytes = 11,
                                 .payload_max = 4096};
    struct error err;
    char buf[2048];
    size_t len = 0;

    CHECK_INT(dead_letter_write(&letter, buf, sizeof(buf), &len, &err),
              STATUS_OK);
    check_bytes(EXAMPLES "dead_letter/ok/message.json", buf, len);
}

int
main(void)
{
    RUN(test_decoder_accepts_the_good_examples);
    RUN(test_decoder_refuses_the_bad_examples);
    RUN(test_dead_letters_are_json_but_no_events);
    RUN(test_manifests_are_read_like_their_schema);
    RUN(test_a_label_of_kafka_is_written_like_its_example);
    RUN(test_labels_with_a_choice_are_written_like_their_examples);
    RUN(test_a_dead_letter_of_kafka_is_written_like_its_example);
    return check_report();
}
