/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer's entry: whatever the bytes are, the decoder and the oracle agree
 * on what they are and on every value and counter; they refuse them with a
 * reason or fill a row whose every value is in bounds. An accepted event is
 * then written as a label, a refused one as a dead letter; the label must be
 * accepted too and give the same row. Some of the inputs are drawn from the
 * grammar of what the decoder looks for, and then damaged.
 */
#include "stages/event/label.h"

#include "daemon/base/json.h"

#include "tests/support/draw_json.h"
#include "tests/support/twin.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max,
                               unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);

static struct twin twin;

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
check_label(const char *event, size_t len)
{
    static const float logits[] = {1.5f, -2, 0.1f, INFINITY, 3, 4, 5, 6};
    struct label label = {
        .source = {.topic = "t", .partition = 1, .offset = 2, .generation = 3},
        .tasks = twin_spec.tasks,
        .task_count = twin_spec.task_count,
        .logits = logits,
        .event = event,
        .event_bytes = len};
    size_t capacity =
        label_bytes_max(twin_spec.tasks, twin_spec.task_count, len);
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
    assert(twin_decode(&twin, buf, used, 1, &meta, &err) == STATUS_OK);
    check_row(twin.got, 1);
    assert(meta.is_label && meta.offset == 2 && offset == 2);
    check_same(twin.got);
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

/* One in four is new, as large as fits; the others are a mutant of the old. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max,
                        unsigned seed)
{
    if (seed % 4 != 0 || size_max < 64)
        return LLVMFuzzerMutate(data, size, size_max);
    size = draw_json((char *)data, size_max, twin_words, twin_word_count, seed);
    return seed % 8 == 0 ? size : LLVMFuzzerMutate(data, size, size_max);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct event_meta meta;
    struct error err = {.status = STATUS_OK};
    enum status st;

    if (twin.decoder == NULL)
        twin_open(&twin, 2);
    twin_clear(&twin);
    st = twin_decode(&twin, bytes, size, 0, &meta, &err);
    if (st == STATUS_OK) {
        check_row(twin.got, 0);
        if (!meta.is_label)
            check_label(bytes, size);
        return 0;
    }
    assert(st == STATUS_MALFORMED || st == STATUS_TOOBIG);
    assert(err.text[0] != '\0');
    check_dead_letter(bytes, size, err.text);
    return 0;
}
