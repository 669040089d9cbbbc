/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode FILE: events a second from NDJSON in memory to columns, with the
 * features of the events that run.py makes.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"

#include "daemon/base/macros.h"

#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct decode {
    struct decoder *decoder;
    struct columns *columns;
    char *text;
    size_t bytes;
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

static void *
open_decode(const char *name, const char *file)
{
    struct decode *d = bench_alloc(1, sizeof(*d));
    struct error err;

    (void)name;
    read_all(d, file);
    if (decoder_new(&d->decoder, &spec, &err) != STATUS_OK ||
        columns_new(&d->columns, &spec, 1024, &err) != STATUS_OK)
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
    return (double)count / (bench_now_us() - start) * 1e6;
}

const struct bench decode_bench = {"decode", open_decode, sample_decode};
