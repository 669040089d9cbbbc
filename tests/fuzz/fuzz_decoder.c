/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer's entry: whatever the bytes are, the decoder refuses them with a
 * reason or fills a row whose every value is in bounds. An accepted event is
 * then written as a label and as a dead letter; the label must be accepted too
 * and give the same row.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/event/label.h"

#include "daemon/base/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EVENT_BYTES 4096

static const double boundaries[] = {0, 10};
static const char *const names[] = {"a", "b"};
static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "u.id"},
    {.name = "tags",
     .kind = FEATURE_BAG,
     .path = "tags",
     .ids_max = 4,
     .separator = '|'},
    {.name = "skus", .kind = FEATURE_BAG, .path = "i[].s", .ids_max = 4},
    {.name = "first", .kind = FEATURE_CATEGORICAL, .path = "i[0].s"},
    {.name = "price",
     .kind = FEATURE_NUMBER,
     .path = "price",
     .has_log = true,
     .has_range = true,
     .range_min = -5,
     .range_max = 1e40},
    {.name = "age",
     .kind = FEATURE_NUMBER,
     .path = "u.age",
     .boundaries = boundaries,
     .boundary_count = 2},
    {.name = "emb", .kind = FEATURE_VECTOR, .path = "emb", .width = 2},
};
static const struct event_task tasks[] = {
    {.name = "click",
     .kind = TASK_BINARY,
     .path = "click",
     .teacher_path = "t.click",
     .teacher_output = TEACHER_PROBABILITY},
    {.name = "kind",
     .kind = TASK_CLASS,
     .path = "kind",
     .classes = 2,
     .class_names = names,
     .teacher_path = "t.kind"},
    {.name = "dwell", .kind = TASK_REGRESSION, .path = "dwell"},
};
static const struct event_spec spec = {.features = features,
                                       .feature_count = 7,
                                       .tasks = tasks,
                                       .task_count = 3,
                                       .id_path = "id",
                                       .time_path = "ts",
                                       .weight_path = "w",
                                       .sample_rate_path = "sr",
                                       .record_bytes_max = EVENT_BYTES};

static void
check_row(const struct columns *c, size_t row)
{
    for (size_t i = 0; i < c->feature_count; i++) {
        const struct column *f = &c->features[i];

        if (f->offsets != NULL)
            assert(f->offsets[row + 1] - f->offsets[row] <= f->ids_max);
        for (size_t k = 0; f->values != NULL && k < f->width; k++)
            assert(isfinite(f->values[row * f->width + k]));
        if (f->kind == FEATURE_CATEGORICAL)
            assert(f->ids[row] <= FEATURE_ID_MASK);
    }
    for (size_t i = 0; i < c->task_count; i++) {
        const struct outcome_column *t = &c->tasks[i];

        assert(isfinite(t->outcome[row]));
        for (size_t k = 0; k < t->width; k++)
            assert(isfinite(t->teacher[row * t->width + k]));
    }
    assert(isfinite(c->weight[row]) && c->weight[row] >= 0.0f);
    assert(c->sample_rate[row] > 0.0f && c->sample_rate[row] <= 1.0f);
    assert(c->time_ms[row] >= 0);
}

static void
check_same(const struct columns *c)
{
    for (size_t i = 0; i < c->feature_count; i++) {
        const struct column *f = &c->features[i];

        if (f->kind == FEATURE_CATEGORICAL)
            assert(f->ids[0] == f->ids[1]);
        if (f->offsets != NULL)
            assert(f->offsets[2] == 2 * f->offsets[1]);
        for (size_t k = 0; f->values != NULL && k < f->width; k++)
            assert(f->values[k] == f->values[f->width + k]);
    }
    for (size_t i = 0; i < c->task_count; i++)
        assert(c->tasks[i].outcome[0] == c->tasks[i].outcome[1]);
    assert(c->time_ms[0] == c->time_ms[1]);
}

/* The accepted event in row 0 as a label record in row 1. */
static void
check_label(struct decoder *d, struct columns *c, const char *event, size_t len)
{
    static const float logits[] = {1.5f, -2, 0.1f, INFINITY};
    struct label label = {
        .source = {.topic = "t", .partition = 1, .offset = 2, .generation = 3},
        .tasks = tasks,
        .task_count = 3,
        .logits = logits,
        .event = event,
        .event_bytes = len};
    size_t capacity = label_bytes_max(tasks, 3, len);
    char *buf = malloc(capacity);
    int32_t partition;
    int64_t offset;
    uint32_t generation;
    struct event_meta meta;
    struct error err;
    size_t used;

    assert(label_write(&label, buf, capacity, &used, &err) == STATUS_OK);
    assert(memchr(buf, '\n', used) == buf + used - 1);
    assert(record_source(buf, used, NULL, &partition, &offset, &generation,
                         &err) == STATUS_OK);
    assert(decoder_decode(d, buf, used, c, 1, &meta, &err) == STATUS_OK);
    assert(meta.is_label && meta.offset == 2 && offset == 2);
    check_row(c, 1);
    check_same(c);
    free(buf);
}

static void
check_dead_letter(const char *payload, size_t len, const char *reason)
{
    static const char sha256[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct json_limits limits = {.bytes_max = 1 << 20, .depth_max = 4};
    struct dead_letter letter = {
        .source = {.topic = "t", .partition = 1, .offset = 2, .generation = 3},
        .reason = reason,
        .payload = payload,
        .payload_bytes = len,
        .payload_max = 64,
        .sha256 = sha256};
    size_t capacity = dead_letter_bytes_max(64);
    char *buf = malloc(capacity);
    struct error err;
    size_t used;

    assert(dead_letter_write(&letter, buf, capacity, &used, &err) == STATUS_OK);
    assert(json_check(buf, used, &limits, NULL, &err) == STATUS_OK);
    free(buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoder *d;
    static struct columns *c;
    const char *bytes = (const char *)data;
    struct event_meta meta;
    struct error err = {.status = STATUS_OK};
    enum status st;

    if (d == NULL) {
        st = decoder_new(&d, &spec, &err);
        assert(st == STATUS_OK);
        st = columns_new(&c, &spec, 2, &err);
        assert(st == STATUS_OK);
    }
    columns_clear(c);
    st = decoder_decode(d, bytes, size, c, 0, &meta, &err);
    if (st == STATUS_OK) {
        check_row(c, 0);
        if (!meta.is_label)
            check_label(d, c, bytes, size);
        return 0;
    }
    assert(st == STATUS_MALFORMED || st == STATUS_TOOBIG);
    assert(c->row_count == 0 && err.text[0] != '\0');
    check_dead_letter(bytes, size, err.text);
    return 0;
}
