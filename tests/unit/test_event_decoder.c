/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every line of the table in stages/event/decoder.h.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

enum {
    USER,
    TAGS,
    PRICE,
    EMB,
    AGE,
    FLAG,
    FIRST,
    SKUS,
    SIZED,
    FEATURES,
};

enum {
    CLICK,
    STARS,
    COLOR,
    DWELL,
    LIKED,
    TASKS,
};

static const double ages[] = {18, 30, 65};
static const char *const colors[] = {"red", "green", "7"};

static const struct event_feature features[FEATURES] = {
    [USER] = {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "u.id"},
    [TAGS] = {.name = "tags",
              .kind = FEATURE_BAG,
              .path = "tags",
              .ids_max = 3,
              .separator = '|'},
    [PRICE] = {.name = "price",
               .kind = FEATURE_NUMBER,
               .path = "price",
               .has_range = true,
               .range_min = -10,
               .range_max = 1e300},
    [EMB] = {.name = "emb", .kind = FEATURE_VECTOR, .path = "emb", .width = 3},
    [AGE] = {.name = "age",
             .kind = FEATURE_NUMBER,
             .path = "u.age",
             .boundaries = ages,
             .boundary_count = 3},
    [FLAG] = {.name = "flag", .kind = FEATURE_CATEGORICAL, .path = "u.flag"},
    [FIRST] = {.name = "first",
               .kind = FEATURE_CATEGORICAL,
               .path = "items[1].\"s.ku\""},
    [SKUS] = {.name = "skus", .kind = FEATURE_BAG, .path = "items[].\"s.ku\""},
    [SIZED] = {.name = "sized",
               .kind = FEATURE_NUMBER,
               .path = "price",
               .has_log = true},
};

static const struct event_task tasks[TASKS] = {
    [CLICK] = {.name = "click",
               .kind = TASK_BINARY,
               .path = "click",
               .teacher_path = "t.click"},
    [STARS] = {.name = "stars",
               .kind = TASK_CLASS,
               .path = "stars",
               .classes = 3,
               .teacher_path = "t.stars",
               .teacher_output = TEACHER_PROBABILITY},
    [COLOR] = {.name = "color",
               .kind = TASK_CLASS,
               .path = "color",
               .classes = 3,
               .class_names = colors},
    [DWELL] = {.name = "dwell", .kind = TASK_REGRESSION, .path = "dwell"},
    [LIKED] = {.name = "liked",
               .kind = TASK_BINARY,
               .path = "rating",
               .has_threshold = true,
               .threshold = 8,
               .teacher_path = "t.liked",
               .teacher_output = TEACHER_PROBABILITY},
};

static const struct event_spec spec = {
    .features = features,
    .feature_count = FEATURES,
    .tasks = tasks,
    .task_count = TASKS,
    .id_path = "event_id",
    .time_path = "ts",
    .weight_path = "w",
    .sample_rate_path = "sr",
    .record_bytes_max = 4096,
};

/* One decoder and one row for each test. */
static struct decoder *d;
static struct columns *c;
static struct event_meta meta;
static struct error err;

static void
begin(void)
{
    CHECK_INT(decoder_new(&d, &spec, &err), STATUS_OK);
    CHECK_INT(columns_new(&c, &spec, 4, &err), STATUS_OK);
}

static void
end(void)
{
    columns_free(&c);
    decoder_free(&d);
}

/* Decodes into row 0, from a block of exactly the text's size. */
static enum status
decode_bytes(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    enum status st;

    memcpy(copy, bytes, len);
    columns_clear(c);
    st = decoder_decode(d, copy, len, c, 0, &meta, &err);
    CHECK_INT(c->row_count, st == STATUS_OK);
    free(copy);
    return st;
}

static void
decode(const char *text)
{
    CHECK_INT(decode_bytes(text, strlen(text)), STATUS_OK);
    if (c->row_count == 0)
        (void)printf("  %s: %s\n", text, err.text);
}

static void
check_refused(const char *text, enum status want, const char *reason)
{
    CHECK_INT(decode_bytes(text, strlen(text)), want);
    CHECK_HAS(err.text, reason);
}

static uint64_t
id_of(size_t f, const char *value)
{
    return feature_id(features[f].name, value, strlen(value));
}

static size_t
bag_count(size_t f)
{
    return c->features[f].offsets[1] - c->features[f].offsets[0];
}

static void
test_decoder_reads_a_whole_event(void)
{
    begin();
    decode("{\"u\":{\"id\":\"u-7\",\"age\":30,\"flag\":true},"
           "\"tags\":[\"a\",5,\"b\"],\"price\":3.5,\"emb\":[1,2.5,-3],"
           "\"items\":[{\"s.ku\":\"x\"},{\"s.ku\":\"y\"}],\"click\":1,"
           "\"stars\":2,\"color\":\"green\",\"dwell\":-1.25,\"rating\":8,"
           "\"event_id\":\"e1\",\"ts\":1363245118,\"w\":2,\"sr\":0.25,"
           "\"more\":{\"a\":[{}]}}");
    CHECK(c->features[USER].ids[0] == id_of(USER, "u-7"));
    CHECK(c->features[FLAG].ids[0] == id_of(FLAG, "true"));
    CHECK(c->features[AGE].ids[0] == id_of(AGE, "2"));
    CHECK_INT(bag_count(TAGS), 3);
    CHECK(c->features[TAGS].ids[0] == id_of(TAGS, "a"));
    CHECK(c->features[TAGS].ids[1] == id_of(TAGS, "5"));
    CHECK(c->features[TAGS].ids[2] == id_of(TAGS, "b"));
    CHECK_INT(bag_count(SKUS), 2);
    CHECK(c->features[SKUS].ids[0] == id_of(SKUS, "x"));
    CHECK(c->features[SKUS].ids[1] == id_of(SKUS, "y"));
    CHECK(c->features[FIRST].ids[0] == id_of(FIRST, "y"));
    CHECK(c->features[PRICE].values[0] == 3.5f);
    CHECK(c->features[PRICE].present[0] == 1);
    CHECK_NEAR(c->features[SIZED].values[0], log1p(3.5), 1e-6);
    CHECK(c->features[EMB].values[1] == 2.5f);
    CHECK(c->features[EMB].present[0] == 1);
    CHECK(c->tasks[CLICK].outcome[0] == 1.0f);
    CHECK(c->tasks[STARS].outcome[0] == 2.0f);
    CHECK(c->tasks[COLOR].outcome[0] == 1.0f);
    CHECK(c->tasks[DWELL].outcome[0] == -1.25f);
    CHECK(c->tasks[LIKED].outcome[0] == 1.0f);
    for (size_t t = 0; t < TASKS; t++) {
        CHECK_INT(c->tasks[t].has_outcome[0], 1);
        CHECK_INT(c->tasks[t].has_teacher[0], 0);
    }
    CHECK_STR(meta.id, "e1");
    CHECK_INT(meta.time_ms, INT64_C(1363245118000));
    CHECK_INT(c->time_ms[0], INT64_C(1363245118000));
    CHECK(c->weight[0] == 2.0f && c->sample_rate[0] == 0.25f);
    CHECK_INT(decoder_feature(d, USER)->present, 1);
    CHECK_INT(decoder_task(d, LIKED)->positives, 1);
    end();
}

static void
check_all_features_missing(void)
{
    for (size_t f = 0; f < FEATURES; f++) {
        const struct column *col = &c->features[f];

        CHECK(col->kind != FEATURE_CATEGORICAL || col->ids[0] == 0);
        CHECK(col->kind != FEATURE_BAG || bag_count(f) == 0);
        CHECK(col->values == NULL || col->values[0] == 0.0f);
        CHECK(col->present == NULL || col->present[0] == 0);
        CHECK_INT(decoder_feature(d, f)->missing, 1);
        CHECK_INT(decoder_feature(d, f)->wrong_type, 0);
    }
}

static void
check_all_tasks_masked(void)
{
    for (size_t t = 0; t < TASKS; t++) {
        CHECK_INT(c->tasks[t].has_outcome[0], 0);
        CHECK_INT(c->tasks[t].has_teacher[0], 0);
        CHECK_INT(decoder_task(d, t)->outcome_bad, 0);
        CHECK_INT(decoder_task(d, t)->teacher_bad, 0);
    }
}

static void
test_decoder_takes_missing_and_null_as_missing(void)
{
    static const char *const texts[] = {
        "{}",
        "{\"u\":{\"id\":null,\"age\":null,\"flag\":null},\"tags\":null,"
        "\"price\":null,\"emb\":null,\"items\":null,\"click\":null,"
        "\"stars\":null,\"color\":null,\"dwell\":null,\"rating\":null,"
        "\"event_id\":null,\"ts\":null,\"w\":null,\"sr\":null,"
        "\"t\":{\"click\":null,\"stars\":null}}",
        "{\"u\":{\"id\":\"\",\"flag\":\"\"},\"tags\":\"\",\"event_id\":\"\"}",
        "{\"u\":7,\"items\":{},\"t\":[]}",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        begin();
        decode(texts[i]);
        check_all_features_missing();
        check_all_tasks_masked();
        CHECK(c->weight[0] == 1.0f && c->sample_rate[0] == 1.0f);
        CHECK_INT(c->time_ms[0], 0);
        CHECK_STR(meta.id, "");
        CHECK_INT(decoder_counters(d)->time_bad, 0);
        CHECK_INT(decoder_counters(d)->id_bad, 0);
        end();
    }
}

/* What one bad value of a feature does: missing, and one count. */
static void
check_feature(size_t f, const char *text, uint64_t wrong_type,
              uint64_t out_of_range, uint64_t too_long)
{
    const struct feature_counters *n;
    const struct column *col;

    begin();
    /* A good row before, so that nothing of it may be left. */
    decode("{\"u\":{\"id\":\"u\",\"age\":1,\"flag\":1},\"price\":1,"
           "\"emb\":[1,1,1],\"tags\":[1,2,3]}");
    decode(text);
    n = decoder_feature(d, f);
    col = &c->features[f];
    CHECK_INT(n->missing, 1);
    CHECK_INT(n->wrong_type, wrong_type);
    CHECK_INT(n->out_of_range, out_of_range);
    CHECK_INT(n->too_long, too_long);
    CHECK(col->kind != FEATURE_CATEGORICAL || col->ids[0] == ID_MISSING);
    CHECK(col->kind != FEATURE_BAG || bag_count(f) == 0);
    for (size_t k = 0; col->values != NULL && k < col->width; k++)
        CHECK(col->values[k] == 0.0f);
    CHECK(col->present == NULL || col->present[0] == 0);
    if (check_failed_now)
        (void)printf("  for %s\n", text);
    end();
}

static void
test_decoder_counts_features_that_cannot_be_used(void)
{
    char text[400];

    check_feature(USER, "{\"u\":{\"id\":{}}}", 1, 0, 0);
    check_feature(USER, "{\"u\":{\"id\":[1]}}", 1, 0, 0);
    check_feature(USER, "{\"u\":{\"id\":1.5}}", 1, 0, 0);
    check_feature(USER, "{\"u\":{\"id\":1e300}}", 1, 0, 0);
    check_feature(USER, "{\"u\":{\"id\":1e999}}", 1, 0, 0);
    (void)snprintf(text, sizeof(text), "{\"u\":{\"id\":\"%0257d\"}}", 0);
    check_feature(USER, text, 0, 0, 1);
    check_feature(PRICE, "{\"price\":\"1\"}", 1, 0, 0);
    check_feature(PRICE, "{\"price\":[1]}", 1, 0, 0);
    check_feature(PRICE, "{\"price\":1e999}", 0, 1, 0);
    check_feature(PRICE, "{\"price\":1e39}", 0, 1, 0);
    check_feature(PRICE, "{\"price\":-10.5}", 0, 1, 0);
    check_feature(SIZED, "{\"price\":-1e999}", 0, 1, 0);
    check_feature(EMB, "{\"emb\":[1,2]}", 1, 0, 0);
    check_feature(EMB, "{\"emb\":[1,2,3,4]}", 1, 0, 0);
    check_feature(EMB, "{\"emb\":[1,null,3]}", 1, 0, 0);
    check_feature(EMB, "{\"emb\":[1,\"2\",3]}", 1, 0, 0);
    check_feature(EMB, "{\"emb\":[1,2,1e39]}", 0, 1, 0);
    check_feature(EMB, "{\"emb\":1}", 1, 0, 0);
    check_feature(AGE, "{\"u\":{\"age\":\"30\"}}", 1, 0, 0);
    check_feature(AGE, "{\"u\":{\"age\":1e999}}", 0, 1, 0);
    check_feature(TAGS, "{\"tags\":{}}", 1, 0, 0);
    check_feature(TAGS, "{\"tags\":[1.5,null,\"\"]}", 1, 0, 0);
}

static void
test_decoder_reads_ids_of_any_scalar_alike(void)
{
    char text[400];

    begin();
    decode("{\"u\":{\"id\":42}}");
    CHECK(c->features[USER].ids[0] == id_of(USER, "42"));
    decode("{\"u\":{\"id\":\"42\"}}");
    CHECK(c->features[USER].ids[0] == id_of(USER, "42"));
    decode("{\"u\":{\"id\":42.0}}");
    CHECK(c->features[USER].ids[0] == id_of(USER, "42"));
    decode("{\"u\":{\"id\":1234567890123456789}}");
    CHECK(c->features[USER].ids[0] == id_of(USER, "1234567890123456789"));
    decode("{\"u\":{\"id\":\"caf\\u00e9\"}}");
    CHECK(c->features[USER].ids[0] == id_of(USER, "caf\xC3\xA9"));
    (void)snprintf(text, sizeof(text), "{\"u\":{\"id\":\"%0256d\"}}", 0);
    decode(text);
    CHECK(c->features[USER].ids[0] != ID_MISSING);
    end();
}

static void
test_decoder_buckets_include_their_lower_boundary(void)
{
    static const struct {
        const char *text;
        const char *bucket;
    } cases[] = {
        {"{\"u\":{\"age\":-5}}", "0"}, {"{\"u\":{\"age\":17.9}}", "0"},
        {"{\"u\":{\"age\":18}}", "1"}, {"{\"u\":{\"age\":64}}", "2"},
        {"{\"u\":{\"age\":65}}", "3"}, {"{\"u\":{\"age\":1e300}}", "3"},
    };

    begin();
    for (size_t i = 0; i < COUNT(cases); i++) {
        decode(cases[i].text);
        CHECK(c->features[AGE].ids[0] == id_of(AGE, cases[i].bucket));
    }
    end();
}

static void
test_decoder_numbers_take_booleans_and_keep_their_sign_in_logs(void)
{
    begin();
    decode("{\"price\":true}");
    CHECK(c->features[PRICE].values[0] == 1.0f);
    decode("{\"price\":false}");
    CHECK(c->features[PRICE].values[0] == 0.0f);
    CHECK_INT(c->features[PRICE].present[0], 1);
    decode("{\"price\":-9}");
    CHECK_NEAR(c->features[SIZED].values[0], -log1p(9.0), 1e-6);
    end();
}

static void
test_decoder_bags_are_split_cut_and_joined(void)
{
    begin();
    decode("{\"tags\":\"a|b\"}");
    CHECK_INT(bag_count(TAGS), 2);
    CHECK(c->features[TAGS].ids[1] == id_of(TAGS, "b"));
    decode("{\"tags\":\"|a||\"}");
    CHECK_INT(bag_count(TAGS), 1);
    decode("{\"tags\":7}");
    CHECK_INT(bag_count(TAGS), 1);
    CHECK(c->features[TAGS].ids[0] == id_of(TAGS, "7"));
    CHECK_INT(decoder_feature(d, TAGS)->cut, 0);
    decode("{\"tags\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}");
    CHECK_INT(bag_count(TAGS), 3);
    CHECK(c->features[TAGS].ids[2] == id_of(TAGS, "c"));
    CHECK_INT(decoder_feature(d, TAGS)->cut, 1);
    decode("{\"tags\":[\"a\",null,{},\"\",\"a\"]}");
    CHECK_INT(bag_count(TAGS), 2);
    CHECK_INT(decoder_feature(d, TAGS)->wrong_type, 1);
    CHECK_INT(decoder_feature(d, TAGS)->missing, 0);
    decode("{\"tags\":[]}");
    CHECK_INT(bag_count(TAGS), 0);
    CHECK_INT(decoder_feature(d, TAGS)->missing, 0);
    decode("{\"items\":[{\"s.ku\":[1,2]},{},{\"s.ku\":3}]}");
    CHECK_INT(bag_count(SKUS), 3);
    CHECK_INT(decoder_feature(d, TAGS)->cut, 1);
    end();
}

static void
check_outcome(size_t t, const char *text, float want)
{
    begin();
    decode(text);
    CHECK_INT(c->tasks[t].has_outcome[0], !isnan(want));
    CHECK_INT(decoder_task(d, t)->outcome_bad, isnan(want));
    CHECK_NEAR(c->tasks[t].outcome[0], isnan(want) ? 0.0f : want, 0.0);
    if (check_failed_now)
        (void)printf("  for %s\n", text);
    end();
}

static void
test_decoder_masks_outcomes_that_cannot_be_used(void)
{
    check_outcome(CLICK, "{\"click\":0}", 0);
    check_outcome(CLICK, "{\"click\":true}", 1);
    check_outcome(CLICK, "{\"click\":0.5}", NAN);
    check_outcome(CLICK, "{\"click\":2}", NAN);
    check_outcome(CLICK, "{\"click\":\"1\"}", NAN);
    check_outcome(CLICK, "{\"click\":1e999}", NAN);
    check_outcome(STARS, "{\"stars\":0}", 0);
    check_outcome(STARS, "{\"stars\":3}", NAN);
    check_outcome(STARS, "{\"stars\":-1}", NAN);
    check_outcome(STARS, "{\"stars\":1.5}", NAN);
    check_outcome(STARS, "{\"stars\":\"1\"}", NAN);
    check_outcome(COLOR, "{\"color\":\"red\"}", 0);
    check_outcome(COLOR, "{\"color\":7}", 2);
    check_outcome(COLOR, "{\"color\":\"blue\"}", NAN);
    check_outcome(COLOR, "{\"color\":{}}", NAN);
    check_outcome(DWELL, "{\"dwell\":1e6}", 1e6f);
    check_outcome(DWELL, "{\"dwell\":1e39}", NAN);
    check_outcome(DWELL, "{\"dwell\":1e999}", NAN);
    check_outcome(DWELL, "{\"dwell\":\"x\"}", NAN);
    check_outcome(LIKED, "{\"rating\":7.99}", 0);
    check_outcome(LIKED, "{\"rating\":true}", NAN);
    check_outcome(LIKED, "{\"rating\":1e999}", NAN);
}

static void
check_teacher(size_t t, const char *text, float first)
{
    begin();
    decode(text);
    CHECK_INT(c->tasks[t].has_teacher[0], !isnan(first));
    CHECK_INT(decoder_task(d, t)->teacher_bad, isnan(first));
    CHECK_NEAR(c->tasks[t].teacher[0], isnan(first) ? 0.0f : first, 1e-5);
    if (check_failed_now)
        (void)printf("  for %s\n", text);
    end();
}

static void
test_decoder_reads_soft_labels_inside_events(void)
{
    check_teacher(CLICK, "{\"t\":{\"click\":-1.5}}", -1.5f);
    check_teacher(CLICK, "{\"t\":{\"click\":[2]}}", 2.0f);
    check_teacher(CLICK, "{\"t\":{\"click\":[2,3]}}", NAN);
    check_teacher(CLICK, "{\"t\":{\"click\":[]}}", NAN);
    check_teacher(CLICK, "{\"t\":{\"click\":\"2\"}}", NAN);
    check_teacher(CLICK, "{\"t\":{\"click\":1e39}}", NAN);
    check_teacher(LIKED, "{\"t\":{\"liked\":0.75}}", logf(3.0f));
    check_teacher(LIKED, "{\"t\":{\"liked\":1}}", 16.118095f);
    check_teacher(LIKED, "{\"t\":{\"liked\":0}}", -16.118095f);
    check_teacher(LIKED, "{\"t\":{\"liked\":1.01}}", NAN);
    check_teacher(STARS, "{\"t\":{\"stars\":[0.5,0.5,0]}}", logf(0.5f));
    check_teacher(STARS, "{\"t\":{\"stars\":[0.5,0.5]}}", NAN);
    check_teacher(STARS, "{\"t\":{\"stars\":0.5}}", NAN);
    check_teacher(STARS, "{\"t\":{\"stars\":[0.5,0.5,-0.1]}}", NAN);
}

static void
test_decoder_repairs_weight_rate_time_and_id(void)
{
    char text[400];

    begin();
    decode("{\"w\":0,\"sr\":1}");
    CHECK(c->weight[0] == 0.0f && c->sample_rate[0] == 1.0f);
    CHECK_INT(decoder_counters(d)->weight_bad, 0);
    decode("{\"w\":-1,\"sr\":0,\"ts\":-5,\"event_id\":{}}");
    decode("{\"w\":\"2\",\"sr\":1.5,\"ts\":\"soon\",\"event_id\":1.5}");
    decode("{\"w\":1e39,\"sr\":1e-60,\"ts\":1e30,\"event_id\":[]}");
    CHECK(c->weight[0] == 1.0f && c->sample_rate[0] == 1.0f);
    CHECK_INT(c->time_ms[0], 0);
    CHECK_INT(decoder_counters(d)->weight_bad, 3);
    CHECK_INT(decoder_counters(d)->sample_rate_bad, 3);
    CHECK_INT(decoder_counters(d)->time_bad, 3);
    CHECK_INT(decoder_counters(d)->id_bad, 3);
    (void)snprintf(text, sizeof(text), "{\"event_id\":\"%0257d\"}", 0);
    decode(text);
    CHECK_STR(meta.id, "");
    CHECK_INT(decoder_counters(d)->id_bad, 4);
    decode("{\"event_id\":99,\"ts\":\"2013-03-14T07:11:58Z\"}");
    CHECK_STR(meta.id, "99");
    CHECK_INT(meta.time_ms, INT64_C(1363245118000));
    end();
}

static void
test_decoder_refuses_broken_records_and_names_the_place(void)
{
    char text[8192];

    begin();
    check_refused("", STATUS_MALFORMED, "empty");
    check_refused(" \n", STATUS_MALFORMED, "empty");
    check_refused("{\"u\":{\"id\":\"u", STATUS_MALFORMED, "byte 13: string");
    check_refused("{} x", STATUS_MALFORMED, "byte 3: more after");
    check_refused("\xEF\xBB\xBF{}", STATUS_MALFORMED, "byte order mark");
    check_refused("{\"a\":\"\xFF\"}", STATUS_MALFORMED, "byte 6: bad UTF-8");
    check_refused("{\"a\":\"\t\"}", STATUS_MALFORMED, "byte 6: raw control");
    check_refused("{\"a\":\"\\u0000\"}", STATUS_MALFORMED, "byte 6: \\u0000");
    check_refused("{\"a\":\"\\ud800\"}", STATUS_MALFORMED, "lone surrogate");
    check_refused("{\"price\":NaN}", STATUS_MALFORMED, "byte 9: expected a");
    check_refused("{\"price\":Infinity}", STATUS_MALFORMED, "byte 9");
    check_refused("{\"price\":01}", STATUS_MALFORMED, "byte 9: bad number");
    check_refused("{\"u\":{\"id\":1,\"id\":2}}", STATUS_MALFORMED,
                  "byte 13: duplicate key \"id\"");
    check_refused("[]", STATUS_MALFORMED, "not an object");
    check_refused("\"x\"", STATUS_MALFORMED, "not an object");
    check_refused("12345678901234567890", STATUS_MALFORMED, "not an object");
    check_refused("{\"schema\":\"distilld.label/2\"}", STATUS_MALFORMED,
                  "distilld.label/2");
    check_refused("{\"schema\":\"distilld.dead_letter/1\"}", STATUS_MALFORMED,
                  "distilld.dead_letter/1");
    (void)snprintf(text, sizeof(text), "{\"a\":%064d}", 0);
    text[5] = '1';
    check_refused(text, STATUS_MALFORMED, "number of more than 63");
    (void)snprintf(text, sizeof(text), "{\"a\":\"%04089d\"}", 0);
    check_refused(text, STATUS_TOOBIG, "4097 bytes, at most 4096 allowed");
    (void)snprintf(text, sizeof(text), "{\"a\":\"%04088d\"}", 0);
    decode(text);
    CHECK_INT(decode_bytes("{\"a\":\"b\0c\"}", 11), STATUS_MALFORMED);
    CHECK_INT(decoder_counters(d)->malformed, 20);
    CHECK_INT(decoder_counters(d)->too_big, 1);
    CHECK_INT(decoder_counters(d)->accepted, 1);
    end();
}

static void
test_decoder_limits_the_nesting_of_events_alike_in_labels(void)
{
    static const char head[] =
        "{\"schema\":\"distilld.label/1\",\"source\":{\"topic\":\"t\","
        "\"partition\":0,\"offset\":0,\"generation\":0},\"soft_label\":{},"
        "\"event\":";
    char event[128];
    char text[512];

    begin();
    for (size_t deep = 31; deep <= 32; deep++) {
        size_t n = 5;

        memcpy(event, "{\"a\":", 5);
        memset(event + n, '[', deep);
        memset(event + n + deep, ']', deep);
        memcpy(event + n + 2 * deep, "}", 2);
        (void)snprintf(text, sizeof(text), "%s%s}", head, event);
        if (deep == 31) {
            decode(event);
            decode(text);
        } else {
            check_refused(event, STATUS_MALFORMED, "nested 33 deep");
            check_refused(text, STATUS_MALFORMED, "nested too deeply");
        }
    }
    memset(text, '[', sizeof(text));
    CHECK_INT(decode_bytes(text, sizeof(text)), STATUS_MALFORMED);
    end();
}

#define SOURCE                                                                 \
    "\"source\":{\"topic\":\"t\",\"partition\":3,\"offset\":99,"               \
    "\"generation\":2}"

static void
test_decoder_refuses_label_records_with_a_broken_frame(void)
{
    static const char *const bad[] = {
        "{\"schema\":\"distilld.label/1\"}",
        "{\"schema\":\"distilld.label/1\"," SOURCE ",\"soft_label\":{}}",
        "{\"schema\":\"distilld.label/1\"," SOURCE ",\"event\":{}}",
        "{\"schema\":\"distilld.label/1\",\"soft_label\":{},\"event\":{}}",
        "{\"schema\":\"distilld.label/1\"," SOURCE
        ",\"soft_label\":[],\"event\":{}}",
        "{\"schema\":\"distilld.label/1\"," SOURCE
        ",\"soft_label\":{},\"event\":\"{}\"}",
        "{\"schema\":\"distilld.label/1\"," SOURCE
        ",\"soft_label\":{},\"event\":{},\"teacher\":1}",
        "{\"schema\":\"distilld.label/1\"," SOURCE
        ",\"soft_label\":{},\"event\":{},\"teacher\":{\"name\":1}}",
        "{\"schema\":\"distilld.label/1\",\"source\":{\"partition\":-1,"
        "\"offset\":1,\"generation\":1},\"soft_label\":{},\"event\":{}}",
        "{\"schema\":\"distilld.label/1\",\"source\":{\"partition\":1,"
        "\"offset\":1.5,\"generation\":1},\"soft_label\":{},\"event\":{}}",
        "{\"schema\":\"distilld.label/1\",\"source\":{\"partition\":1,"
        "\"offset\":1},\"soft_label\":{},\"event\":{}}",
    };

    begin();
    for (size_t i = 0; i < COUNT(bad); i++)
        check_refused(bad[i], STATUS_MALFORMED, "label record: ");
    end();
}

static void
test_decoder_reads_label_records(void)
{
    begin();
    decode("{\"schema\":\"distilld.label/1\"," SOURCE
           ",\"teacher\":{\"name\":\"big\",\"version\":\"7\"},"
           "\"soft_label\":{\"click\":[0.25],\"stars\":[-1,0,1],"
           "\"color\":[1,2],\"liked\":null,\"other\":[1]},"
           "\"event\":{\"u\":{\"id\":\"u-7\"},\"rating\":9,"
           "\"t\":{\"click\":9,\"liked\":0.5},"
           "\"schema\":\"distilld.label/1\"}}");
    CHECK(meta.is_label);
    CHECK_STR(meta.topic, "t");
    CHECK_INT(meta.partition, 3);
    CHECK_INT(meta.offset, 99);
    CHECK_INT(meta.generation, 2);
    CHECK_STR(meta.teacher_name, "big");
    CHECK_STR(meta.teacher_version, "7");
    CHECK(c->features[USER].ids[0] == id_of(USER, "u-7"));
    CHECK(c->tasks[LIKED].outcome[0] == 1.0f);
    CHECK(c->tasks[CLICK].teacher[0] == 0.25f);
    CHECK(c->tasks[STARS].teacher[2] == 1.0f);
    CHECK_INT(c->tasks[LIKED].has_teacher[0], 0);
    CHECK_INT(c->tasks[COLOR].has_teacher[0], 0);
    CHECK_INT(decoder_task(d, COLOR)->teacher_bad, 1);
    CHECK_INT(decoder_counters(d)->labels, 1);
    decode("{\"u\":{\"id\":\"u-7\"}}");
    CHECK(!meta.is_label);
    CHECK_STR(meta.teacher_name, "");
    CHECK_INT(c->tasks[CLICK].has_teacher[0], 0);
    end();
}

static uint64_t
teacher_of(const char *teacher)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "{\"schema\":\"distilld.label/1\"," SOURCE
                   "%s,\"soft_label\":{\"click\":[1]},\"event\":{}}",
                   teacher);
    decode(text);
    return c->teacher_id[0];
}

static void
test_decoder_tells_who_answered(void)
{
    uint64_t id;

    begin();
    id = teacher_of(",\"teacher\":{\"name\":\"big\",\"version\":\"7\"}");
    CHECK(id > 0 && id <= FEATURE_ID_MASK);
    CHECK(teacher_of(",\"teacher\":{\"version\":\"7\",\"name\":\"big\"}") ==
          id);
    CHECK(teacher_of(",\"teacher\":{\"name\":\"big\",\"version\":\"8\"}") !=
          id);
    CHECK(teacher_of(",\"teacher\":{\"name\":\"bigger\",\"version\":\"7\"}") !=
          id);
    CHECK(teacher_of(",\"teacher\":{\"name\":\"7\",\"version\":\"big\"}") !=
          id);
    CHECK_INT(teacher_of(""), 0);
    (void)teacher_of(",\"teacher\":{\"name\":\"big\"}");
    decode("{\"u\":{\"id\":\"u-7\"}}");
    CHECK_INT(c->teacher_id[0], 0);
    end();
}

static void
test_decoder_rows_follow_each_other_also_after_a_refusal(void)
{
    static const char *const texts[] = {
        "{\"tags\":[1,2],\"price\":1}",
        "{\"tags\":[1,2,3],\"price\":2,\"schema\":\"distilld.x\"}",
        "{\"price\":3}",
        "{\"tags\":[9],\"price\":4}",
    };
    const uint32_t *offsets;

    begin();
    for (size_t i = 0; i < COUNT(texts); i++)
        CHECK_INT(decoder_decode(d, texts[i], strlen(texts[i]), c, c->row_count,
                                 NULL, &err),
                  i == 1 ? STATUS_MALFORMED : STATUS_OK);
    offsets = c->features[TAGS].offsets;
    CHECK_INT(c->row_count, 3);
    CHECK_INT(offsets[0], 0);
    CHECK_INT(offsets[1], 2);
    CHECK_INT(offsets[2], 2);
    CHECK_INT(offsets[3], 3);
    CHECK(c->features[TAGS].ids[2] == id_of(TAGS, "9"));
    CHECK(c->features[PRICE].values[1] == 3.0f);
    end();
}

int
main(void)
{
    RUN(test_decoder_reads_a_whole_event);
    RUN(test_decoder_takes_missing_and_null_as_missing);
    RUN(test_decoder_counts_features_that_cannot_be_used);
    RUN(test_decoder_reads_ids_of_any_scalar_alike);
    RUN(test_decoder_buckets_include_their_lower_boundary);
    RUN(test_decoder_numbers_take_booleans_and_keep_their_sign_in_logs);
    RUN(test_decoder_bags_are_split_cut_and_joined);
    RUN(test_decoder_masks_outcomes_that_cannot_be_used);
    RUN(test_decoder_reads_soft_labels_inside_events);
    RUN(test_decoder_repairs_weight_rate_time_and_id);
    RUN(test_decoder_refuses_broken_records_and_names_the_place);
    RUN(test_decoder_limits_the_nesting_of_events_alike_in_labels);
    RUN(test_decoder_refuses_label_records_with_a_broken_frame);
    RUN(test_decoder_reads_label_records);
    RUN(test_decoder_tells_who_answered);
    RUN(test_decoder_rows_follow_each_other_also_after_a_refusal);
    return check_report();
}
