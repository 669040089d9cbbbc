/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two decoders that must agree.
 */
#include "tests/support/twin.h"

#include "stages/event/batch_columns.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <string.h>

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
    {.name = "two tags", .kind = FEATURE_VECTOR, .path = "tags", .width = 2},
    {.name = "tag", .kind = FEATURE_CATEGORICAL, .path = "tags[0]"},
    {.name = "all of a matrix",
     .kind = FEATURE_BAG,
     .path = "m[][].k",
     .ids_max = 5},
    {.name = "row", .kind = FEATURE_BAG, .path = "m[1][].k", .ids_max = 5},
    {.name = "cell", .kind = FEATURE_CATEGORICAL, .path = "m[1][0].k"},
    {.name = "one with a name of more than thirty-two bytes",
     .kind = FEATURE_CATEGORICAL,
     .path = "a_key_of_more_than_fifteen_bytes"},
    {.name = "e",
     .kind = FEATURE_CATEGORICAL,
     .path = "\"caf\xC3\xA9\".\"\\\"\""},
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
    {.name = "liked",
     .kind = TASK_BINARY,
     .path = "price",
     .has_threshold = true,
     .threshold = 3.5,
     .teacher_path = "emb[1]"},
    {.name = "stars",
     .kind = TASK_CLASS,
     .path = "u.age",
     .classes = 3,
     .teacher_path = "emb",
     .teacher_output = TEACHER_PROBABILITY},
};

/* The paths' keys and what else has a meaning. */
const char *const twin_words[] = {
    "u",
    "id",
    "tags",
    "i",
    "s",
    "price",
    "age",
    "emb",
    "m",
    "k",
    "click",
    "t",
    "kind",
    "dwell",
    "ts",
    "w",
    "sr",
    "schema",
    "source",
    "topic",
    "cluster",
    "topic_id",
    "offset",
    "partition",
    "generation",
    "teacher",
    "name",
    "version",
    "soft_label",
    "event",
    "liked",
    "stars",
    "a",
    "b",
    "distilld.label/1",
    "distilld.label/2",
    "2013-03-14T07:11:58.25+01:00",
    "a_key_of_more_than_fifteen_bytes",
    "caf\xC3\xA9",
    "\\\"",
    "another_key_of_the_same_length__",
};
const size_t twin_word_count = COUNT(twin_words);

const struct event_spec twin_spec = {.features = features,
                                     .feature_count = COUNT(features),
                                     .tasks = tasks,
                                     .task_count = COUNT(tasks),
                                     .id_path = "id",
                                     .time_path = "ts",
                                     .weight_path = "w",
                                     .sample_rate_path = "sr",
                                     .record_bytes_max = EVENT_BYTES};

static void
must(enum status st)
{
    assert(st == STATUS_OK);
}

static bool
is_same(const void *a, const void *b, size_t row, size_t count, size_t bytes)
{
    const char *x = a;
    const char *y = b;

    assert((a == NULL) == (b == NULL));
    return a == NULL || memcmp(x + row * count * bytes, y + row * count * bytes,
                               count * bytes) == 0;
}

/* Bit for bit, zeros with their signs. */
static void
compare_rows(const struct columns *got, const struct columns *want, size_t row)
{
    for (size_t i = 0; i < got->feature_count; i++) {
        const struct column *g = &got->features[i];
        const struct column *w = &want->features[i];
        size_t from = 0;
        size_t count = 1;

        assert(is_same(g->offsets, w->offsets, 0, row + 2, sizeof(uint32_t)));
        if (g->offsets != NULL) {
            from = g->offsets[row];
            count = g->offsets[row + 1] - from;
            assert(memcmp(g->ids + from, w->ids + from,
                          count * sizeof(uint64_t)) == 0);
        } else {
            assert(is_same(g->ids, w->ids, row, 1, sizeof(uint64_t)));
        }
        assert(is_same(g->values, w->values, row, g->width, sizeof(float)));
        assert(is_same(g->present, w->present, row, 1, 1));
    }
    for (size_t i = 0; i < got->task_count; i++) {
        const struct outcome_column *g = &got->tasks[i];
        const struct outcome_column *w = &want->tasks[i];

        assert(is_same(g->outcome, w->outcome, row, 1, sizeof(float)));
        assert(is_same(g->has_outcome, w->has_outcome, row, 1, 1));
        assert(is_same(g->teacher, w->teacher, row, g->width, sizeof(float)));
        assert(is_same(g->has_teacher, w->has_teacher, row, 1, 1));
    }
    assert(is_same(got->weight, want->weight, row, 1, sizeof(float)));
    assert(is_same(got->sample_rate, want->sample_rate, row, 1, sizeof(float)));
    assert(got->time_ms[row] == want->time_ms[row]);
}

static void
compare_meta(const struct event_meta *g, const struct event_meta *w)
{
    assert(strcmp(g->id, w->id) == 0);
    assert(g->time_ms == w->time_ms);
    assert(g->is_label == w->is_label);
    assert(strcmp(g->topic, w->topic) == 0);
    assert(g->partition == w->partition);
    assert(g->offset == w->offset);
    assert(g->generation == w->generation);
    assert(strcmp(g->cluster, w->cluster) == 0);
    assert(strcmp(g->topic_id, w->topic_id) == 0);
    assert(strcmp(g->teacher_name, w->teacher_name) == 0);
    assert(strcmp(g->teacher_version, w->teacher_version) == 0);
}

static void
compare_counters(const struct twin *t)
{
    assert(memcmp(decoder_counters(t->decoder), oracle_counters(t->oracle),
                  sizeof(struct decoder_counters)) == 0);
    for (size_t i = 0; i < COUNT(features); i++)
        assert(memcmp(decoder_feature(t->decoder, i),
                      oracle_feature(t->oracle, i),
                      sizeof(struct feature_counters)) == 0);
    for (size_t i = 0; i < COUNT(tasks); i++)
        assert(memcmp(decoder_task(t->decoder, i), oracle_task(t->oracle, i),
                      sizeof(struct task_counters)) == 0);
}

void
twin_open(struct twin *t, size_t row_max)
{
    struct error err;

    *t = (struct twin){.decoder = NULL};
    must(decoder_new(&t->decoder, &twin_spec, &err));
    must(oracle_new(&t->oracle, &twin_spec, &err));
    must(columns_new(&t->got, &twin_spec, row_max, &err));
    must(columns_new(&t->want, &twin_spec, row_max, &err));
}

void
twin_close(struct twin *t)
{
    columns_free(&t->want);
    columns_free(&t->got);
    oracle_free(&t->oracle);
    decoder_free(&t->decoder);
}

void
twin_clear(struct twin *t)
{
    columns_clear(t->got);
    columns_clear(t->want);
}

enum status
twin_decode(struct twin *t, const char *bytes, size_t len, size_t row,
            struct event_meta *meta, struct error *err)
{
    struct event_meta other;
    struct error why;
    enum status st =
        decoder_decode(t->decoder, bytes, len, t->got, row, meta, err);
    enum status want =
        oracle_decode(t->oracle, bytes, len, t->want, row, &other, &why);

    assert(st == want);
    assert(t->got->row_count == t->want->row_count);
    compare_counters(t);
    if (st != STATUS_OK)
        return st;
    compare_rows(t->got, t->want, row);
    compare_meta(meta, &other);
    return st;
}
