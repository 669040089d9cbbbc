/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NDJSON in memory to columns, with the features of the events that run.py
 * makes or with eight ids:
 *
 *   decode FILE          events a second
 *   decode.event FILE    microseconds for one of them
 *   decode.label FILE    for a label record of one
 *   decode.event.8       for an event of 262 bytes with eight ids
 *   decode.label.8       for a label record of such an event
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/event/label.h"

#include "daemon/base/macros.h"

#include "tests/bench/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EIGHT_EVENTS 4000
#define EIGHT_BYTES  262

static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "user.id"},
    {.name = "item", .kind = FEATURE_CATEGORICAL, .path = "item.id"},
    {.name = "genres", .kind = FEATURE_BAG, .path = "item.genres"},
    {.name = "device", .kind = FEATURE_CATEGORICAL, .path = "context.device"},
    {.name = "hour", .kind = FEATURE_NUMBER, .path = "context.hour"},
    {.name = "price", .kind = FEATURE_NUMBER, .path = "item.price"},
    {.name = "mean", .kind = FEATURE_NUMBER, .path = "user.mean"},
};

static const struct event_task task = {
    .name = "click", .kind = TASK_BINARY, .path = "clicked"};

static const struct event_spec spec = {
    .features = features,
    .feature_count = COUNT(features),
    .tasks = &task,
    .task_count = 1,
    .id_path = "id",
    .time_path = "time",
};

/* Eight ids at two levels, as the model benchmarks have them. */
static const struct event_feature eight_features[] = {
    {.name = "f0", .kind = FEATURE_CATEGORICAL, .path = "user.id"},
    {.name = "f1", .kind = FEATURE_CATEGORICAL, .path = "user.country"},
    {.name = "f2", .kind = FEATURE_CATEGORICAL, .path = "user.segment"},
    {.name = "f3", .kind = FEATURE_CATEGORICAL, .path = "item.id"},
    {.name = "f4", .kind = FEATURE_CATEGORICAL, .path = "item.category"},
    {.name = "f5", .kind = FEATURE_CATEGORICAL, .path = "item.brand"},
    {.name = "f6", .kind = FEATURE_CATEGORICAL, .path = "context.device"},
    {.name = "f7", .kind = FEATURE_CATEGORICAL, .path = "context.place"},
};

static const struct event_spec eight_spec = {
    .features = eight_features,
    .feature_count = COUNT(eight_features),
    .tasks = &task,
    .task_count = 1,
    .id_path = "id",
    .time_path = "time",
};

struct decode {
    struct decoder *decoder;
    struct columns *columns;
    char *text;
    size_t bytes;
    bool is_rate; /* events a second, not microseconds */
};

static void
read_all(struct decode *d, const char *path)
{
    FILE *f = fopen(path, "rb");
    long n = -1;

    if (f != NULL && fseek(f, 0, SEEK_END) == 0)
        n = ftell(f);
    if (n <= 0)
        bench_fail("decode FILE: cannot read the file");
    rewind(f);
    d->text = bench_alloc((size_t)n, 1);
    d->bytes = fread(d->text, 1, (size_t)n, f);
    (void)fclose(f);
}

/* Events of exactly EIGHT_BYTES, padded by a member that nobody reads. */
static void
draw_eight(struct decode *d)
{
    uint64_t state = 1;

    d->text = bench_alloc(EIGHT_EVENTS, EIGHT_BYTES + 2);
    for (int i = 0; i < EIGHT_EVENTS; i++) {
        char *at = d->text + d->bytes;
        uint64_t r = bench_random(&state);
        int n = snprintf(
            at, EIGHT_BYTES + 1,
            "{\"id\":\"%08x\",\"time\":%" PRIu64 ",\"user\":{\"id\":\"u%u\","
            "\"country\":\"%s\",\"segment\":%u},\"item\":{\"id\":\"m%u\","
            "\"category\":\"c%u\",\"brand\":\"b%u\"},\"context\":{"
            "\"device\":\"%s\",\"place\":\"p%u\"},\"clicked\":%u,"
            "\"referrer\":\"",
            (unsigned)i, UINT64_C(1700000000000) + 250 * (unsigned)i,
            (unsigned)(r % 50000), r >> 60 & 1 ? "de" : "us",
            (unsigned)(r >> 20 & 31), (unsigned)(r >> 25 & 16383),
            (unsigned)(r >> 39 & 63), (unsigned)(r >> 45 & 1023),
            r >> 61 & 1 ? "phone" : "web", (unsigned)(r >> 55 & 15),
            (unsigned)(r >> 62 & 1));

        memset(at + n, 'x', (size_t)(EIGHT_BYTES - 2 - n));
        memcpy(at + EIGHT_BYTES - 2, "\"}\n", 3);
        d->bytes += EIGHT_BYTES + 1;
    }
}

/* Puts label records in the place of the events. */
static void
make_labels(struct decode *d)
{
    const char *end = d->text + d->bytes;
    struct label label = {
        .source = {.topic = "interactions", .partition = 3, .generation = 1},
        .teacher_name = "teacher",
        .teacher_version = "7",
        .tasks = &task,
        .task_count = 1};
    char *text = bench_alloc(d->bytes, 4);
    uint64_t state = 1;
    size_t bytes = 0;

    for (const char *p = d->text; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        float logit = (float)(bench_random(&state) % 1000003) / 2e5f - 2.5f;
        struct error err;
        size_t used;

        if (stop == NULL)
            break;
        label.source.offset++;
        label.logits = &logit;
        label.event = p;
        label.event_bytes = (size_t)(stop - p);
        if (label_write(&label, text + bytes, d->bytes * 4 - bytes, &used,
                        &err) != STATUS_OK)
            bench_fail(err.text);
        bytes += used;
        p = stop + 1;
    }
    free(d->text);
    d->text = text;
    d->bytes = bytes;
}

static void *
open_decode(const char *name, const char *file)
{
    struct decode *d = bench_alloc(1, sizeof(*d));
    const struct event_spec *s = &spec;
    struct error err;

    if (strstr(name, ".8") != NULL) {
        s = &eight_spec;
        draw_eight(d);
    } else {
        read_all(d, file);
    }
    if (strstr(name, ".label") != NULL)
        make_labels(d);
    d->is_rate = strcmp(name, "decode") == 0;
    if (decoder_new(&d->decoder, s, &err) != STATUS_OK ||
        columns_new(&d->columns, s, 1024, &err) != STATUS_OK)
        bench_fail(err.text);
    return d;
}

static double
sample_decode(void *self)
{
    struct decode *d = self;
    const char *end = d->text + d->bytes;
    struct event_meta meta;
    struct error err;
    size_t count = 0;
    double start = bench_now_us();
    double us;

    for (const char *p = d->text; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));

        if (stop == NULL)
            break;
        if (d->columns->row_count == d->columns->row_max)
            columns_clear(d->columns);
        if (decoder_decode(d->decoder, p, (size_t)(stop - p), d->columns,
                           d->columns->row_count, &meta, &err) != STATUS_OK)
            bench_fail(err.text);
        p = stop + 1;
        count++;
    }
    us = bench_now_us() - start;
    return d->is_rate ? (double)count / us * 1e6 : us / (double)count;
}

const struct bench decode_bench = {"decode", open_decode, sample_decode};
