/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids against vectors made by another implementation of XXH64, times, specs
 * that make no sense, the memory of a batch, and the contract.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/contract.h"
#include "stages/event/decoder.h"
#include "stages/event/event_time.h"
#include "stages/event/feature_id.h"

#include "daemon/base/json.h"
#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

static struct error err;

static void
test_feature_id_matches_the_published_vectors(void)
{
    static const struct {
        const char *name;
        const char *value;
        uint64_t id;
    } vectors[] = {
        {"user", "user-7", UINT64_C(109631615599490)},
        {"user", "42", UINT64_C(8628201105325641)},
        {"item", "42", UINT64_C(7253068909465991)},
        {"city", "caf\xC3\xA9", UINT64_C(8395238520478183)},
        {"flag", "true", UINT64_C(3256303921674321)},
    };
    char longest[FEATURE_ID_BYTES_MAX];

    for (size_t i = 0; i < COUNT(vectors); i++)
        CHECK(feature_id(vectors[i].name, vectors[i].value,
                         strlen(vectors[i].value)) == vectors[i].id);
    memset(longest, 'x', sizeof(longest));
    CHECK(feature_id("url", longest, sizeof(longest)) ==
          UINT64_C(4940951097912174));
}

static void
check_time(const char *text, int64_t want)
{
    int64_t got = -1;

    CHECK(event_time_text(text, strlen(text), TIME_AUTO, &got) == (want >= 0));
    CHECK_INT(got, want);
    if (check_failed_now)
        (void)printf("  for %s\n", text);
}

static void
test_event_time_reads_rfc_3339(void)
{
    check_time("2013-03-14T07:11:58Z", INT64_C(1363245118000));
    check_time("2013-03-14t07:11:58.5z", INT64_C(1363245118500));
    check_time("2013-03-14 07:11:58.123999", INT64_C(1363245118123));
    check_time("2013-03-14T09:11:58+02:00", INT64_C(1363245118000));
    check_time("2013-03-14T01:41:58-05:30", INT64_C(1363245118000));
    check_time("2024-02-29T00:00:00Z", INT64_C(1709164800000));
    check_time("2016-12-31T23:59:60Z", INT64_C(1483228799000));
    check_time("9999-12-31T23:59:59.999Z", INT64_C(253402300799999));
    check_time("1363245118", INT64_C(1363245118000));
    check_time("1970-01-01T00:00:00Z", -1);
    check_time("1969-12-31T23:59:59Z", -1);
    check_time("2023-02-29T00:00:00Z", -1);
    check_time("2013-13-01T00:00:00Z", -1);
    check_time("2013-03-14T24:00:00Z", -1);
    check_time("2013-03-14T07:11Z", -1);
    check_time("2013-03-14T07:11:58.Z", -1);
    check_time("2013-03-14T07:11:58+0200", -1);
    check_time("2013-03-14T07:11:58Zx", -1);
    check_time("2013-03-14", -1);
    check_time("2013", INT64_C(2013000));
    check_time("", -1);
    check_time("yesterday", -1);
}

static void
test_event_time_tells_units_by_magnitude(void)
{
    int64_t got = 0;

    CHECK(event_time_number(1363245118, TIME_AUTO, &got));
    CHECK_INT(got, INT64_C(1363245118000));
    CHECK(event_time_number(1363245118123, TIME_AUTO, &got));
    CHECK_INT(got, INT64_C(1363245118123));
    CHECK(event_time_number(1363245118123456, TIME_AUTO, &got));
    CHECK_INT(got, INT64_C(1363245118123));
    CHECK(event_time_number(1363245118123456789.0, TIME_AUTO, &got));
    CHECK_INT(got, INT64_C(1363245118123));
    CHECK(event_time_number(1363245118.12, TIME_AUTO, &got));
    CHECK_INT(got, INT64_C(1363245118120));
    CHECK(event_time_number(5, TIME_MILLISECONDS, &got));
    CHECK_INT(got, 5);
    CHECK(event_time_number(1e15, TIME_MICROSECONDS, &got));
    CHECK_INT(got, INT64_C(1000000000000));
    CHECK(!event_time_number(0, TIME_AUTO, &got));
    CHECK(!event_time_number(-1, TIME_AUTO, &got));
    CHECK(!event_time_number(1e12, TIME_SECONDS, &got));
    CHECK(!event_time_number(1e300, TIME_AUTO, &got));
    CHECK(!event_time_number((double)NAN, TIME_AUTO, &got));
    CHECK(!event_time_number((double)INFINITY, TIME_AUTO, &got));
}

static void
check_spec(struct event_feature f, struct event_task t, const char *reason)
{
    struct event_spec spec = {
        .features = &f, .feature_count = 1, .tasks = &t, .task_count = 1};
    struct decoder *d = NULL;

    CHECK_INT(decoder_new(&d, &spec, &err),
              reason == NULL ? STATUS_OK : STATUS_CONFIG);
    if (reason != NULL)
        CHECK_HAS(err.text, reason);
    decoder_free(&d);
}

static void
test_decoder_new_names_what_makes_no_sense(void)
{
    static const double falling[] = {2, 1};
    static const struct event_task task = {.name = "t"};
    static const struct event_feature feature = {
        .name = "f", .kind = FEATURE_NUMBER, .path = "f"};
    struct event_feature f = feature;
    struct event_task t = task;

    check_spec(f, t, NULL);
    f.path = "a..b";
    check_spec(f, t, "feature f: path \"a..b\": expected a key at character 3");
    f.path = "a[]";
    check_spec(f, t, "feature f: path \"a[]\": [] is for bags only");
    f = feature;
    f.boundaries = falling;
    f.boundary_count = 2;
    check_spec(f, t, "feature f: boundaries must be finite and ascend");
    f.has_log = true;
    check_spec(f, t, "feature f: boundaries are for numbers without");
    f = feature;
    f.kind = FEATURE_VECTOR;
    check_spec(f, t, "feature f: a vector needs a width");
    f = feature;
    f.has_range = true;
    f.range_min = 1;
    check_spec(f, t, "feature f: range from 1 to 0 is empty");
    f = feature;
    f.separator = '|';
    check_spec(f, t, "feature f: only a bag has a separator");
    f = feature;
    f.name = "a\x1F"
             "b";
    check_spec(f, t, "feature 0: control character in its name");
    f.name = "";
    check_spec(f, t, "feature 0: expected a name");
    t.kind = TASK_CLASS;
    t.classes = 1;
    check_spec(feature, t, "task t: has 1 classes");
    t = task;
    t.path = "x[";
    check_spec(feature, t, "task t: path");
    t = task;
    t.kind = TASK_REGRESSION;
    t.teacher_output = TEACHER_PROBABILITY;
    check_spec(feature, t, "task t: a regression has no probability");
    t.teacher_output = TEACHER_LOGIT;
    t.has_threshold = true;
    check_spec(feature, t, "task t: only a binary task has a threshold");
}

static const double boundaries[] = {0.5, 10};
static const char *const names[] = {"a", "b\""};
static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "u.id"},
    {.name = "tags", .kind = FEATURE_BAG, .path = "t[].x", .separator = '|'},
    {.name = "age",
     .kind = FEATURE_NUMBER,
     .path = "age",
     .boundaries = boundaries,
     .boundary_count = 2},
    {.name = "price",
     .kind = FEATURE_NUMBER,
     .path = "price",
     .has_log = true,
     .has_range = true,
     .range_max = 9},
    {.name = "emb", .kind = FEATURE_VECTOR, .path = "emb", .width = 5},
};
static const struct event_task tasks[] = {
    {.name = "like", .path = "rating", .has_threshold = true, .threshold = 8},
    {.name = "kind", .kind = TASK_CLASS, .classes = 2, .class_names = names},
};
static const struct event_spec spec = {.features = features,
                                       .feature_count = COUNT(features),
                                       .tasks = tasks,
                                       .task_count = COUNT(tasks)};

static void
test_columns_have_room_for_every_row(void)
{
    struct columns *c = NULL;

    CHECK_INT(columns_new(&c, &spec, 33, &err), STATUS_OK);
    CHECK_INT(c->row_max, 33);
    CHECK_INT(c->features[1].ids_max, EVENT_IDS_MAX);
    CHECK_INT(c->features[2].kind, FEATURE_CATEGORICAL);
    CHECK_INT(c->tasks[1].width, 2);
    /* ASan and the arrays' neighbors tell when the room is not there. */
    for (size_t i = 0; i < 33; i++)
        c->features[2].ids[i] = i + 1;
    memset(c->features[1].ids, 1, 33 * EVENT_IDS_MAX * 8);
    memset(c->features[4].values, 2, sizeof(float) * 33 * 5);
    memset(c->features[4].present, 3, 33);
    memset(c->tasks[1].teacher, 4, sizeof(float) * 33 * 2);
    memset(c->time_ms, 5, sizeof(int64_t) * 33);
    CHECK_INT(c->features[1].offsets[0], 0);
    CHECK_INT(c->features[2].ids[32], 33);
    CHECK_INT(((uintptr_t)c->features[4].values) % 64, 0);
    columns_free(&c);
    CHECK(c == NULL);
}

static void
test_columns_refuse_sizes_beyond_reason(void)
{
    struct event_feature f = {
        .name = "b", .kind = FEATURE_BAG, .path = "b", .ids_max = 1u << 20};
    struct event_spec big = {.features = &f, .feature_count = 1};
    struct columns *c = NULL;

    CHECK_INT(columns_new(&c, &big, 4096, &err), STATUS_CONFIG);
    CHECK(c == NULL);
    f = (struct event_feature){.name = "v",
                               .kind = FEATURE_VECTOR,
                               .path = "v",
                               .width = SIZE_MAX / 8};
    CHECK_INT(columns_new(&c, &big, 4096, &err), STATUS_CONFIG);
}

static void
test_contract_describes_what_the_decoder_does(void)
{
    struct json_limits limits = {.bytes_max = 1 << 20, .depth_max = 8};
    size_t capacity = contract_bytes_max(&spec);
    char *buf = malloc(capacity);
    char *again = malloc(capacity);
    struct cJSON *root = NULL;
    double number = 0;
    size_t len = 0;
    size_t len_again = 0;

    CHECK_INT(contract_write(&spec, buf, capacity, &len, &err), STATUS_OK);
    CHECK_INT(contract_write(&spec, again, capacity, &len_again, &err),
              STATUS_OK);
    CHECK(len == len_again && memcmp(buf, again, len) == 0);
    CHECK_INT(contract_write(&spec, buf, len - 1, &len_again, &err),
              STATUS_TOOBIG);
    CHECK_INT(json_parse(&root, again, len, &limits, NULL, &err), STATUS_OK);
    CHECK_STR(json_string(json_find(root, "schema")), CONTRACT_SCHEMA);
    CHECK(json_number(json_find(root, "features[0].test_vectors[2].id"),
                      &number));
    CHECK(number == 109631615599490.0);
    CHECK_STR(json_string(json_find(root, "features[2].kind")), "categorical");
    CHECK_INT(json_count(json_find(root, "features[2].test_vectors")), 3);
    CHECK_INT(json_count(json_find(root, "features[3].range")), 2);
    CHECK(json_find(root, "features[3].test_vectors") == NULL);
    CHECK_STR(json_string(json_find(root, "tasks[1].class_names[1]")), "b\"");
    CHECK(json_number(json_find(root, "tasks[0].threshold"), &number));
    CHECK(number == 8.0);
    json_free(&root);
    free(again);
    free(buf);
}

static void
check_same(const struct event_spec *got)
{
    size_t capacity = contract_bytes_max(&spec);
    char *a = malloc(capacity);
    char *b = malloc(capacity);
    size_t a_len = 0;
    size_t b_len = 0;

    CHECK_INT(contract_write(&spec, a, capacity, &a_len, &err), STATUS_OK);
    CHECK_INT(contract_write(got, b, capacity, &b_len, &err), STATUS_OK);
    CHECK(a_len == b_len && memcmp(a, b, a_len) == 0);
    free(a);
    free(b);
}

static void
test_contract_is_read_back(void)
{
    size_t capacity = contract_bytes_max(&spec);
    char *text = malloc(capacity);
    struct contract_owned c;
    size_t len = 0;

    CHECK_INT(contract_write(&spec, text, capacity, &len, &err), STATUS_OK);
    CHECK_INT(contract_parse(&c, text, len, "x", &err), STATUS_OK);
    check_same(&c.spec);
    CHECK_INT(c.spec.features[2].kind, FEATURE_NUMBER);
    CHECK_INT(c.spec.features[2].boundary_count, 2);
    CHECK_INT(c.spec.features[1].ids_max, EVENT_IDS_MAX);
    contract_fini(&c);
    /* No beginning of it is a contract, and none is read beyond its end. */
    for (size_t n = 0; n < len; n++) {
        char *part = malloc(n + 1);

        memcpy(part + 1, text, n);
        CHECK_INT(contract_parse(&c, part + 1, n, "x", &err), STATUS_BADDATA);
        contract_fini(&c);
        free(part);
    }
    free(text);
}

#define RULE                                                                   \
    "{\"schema\":\"distilld.feature_contract/1\",\"id\":{\"hash\":"            \
    "\"xxh64\",\"mask\":9007199254740991},"

static const struct {
    const char *text;
    const char *why;
} bad_contracts[] = {
    {"{}", "x: feature_spec: schema: expected distilld.feature_contract/1"},
    {"{\"schema\":\"distilld.feature_contract/1\"}", "id: hash"},
    {RULE "\"tasks\":[]}", "features: expected a list"},
    {RULE "\"features\":[],\"tasks\":{}}", "tasks: expected a list"},
    {RULE "\"features\":[{}],\"tasks\":[]}", "features: name"},
    {RULE "\"features\":[{\"name\":\"a\",\"kind\":\"set\"}],\"tasks\":[]}",
     "a: kind: expected one of the known words"},
    {RULE "\"features\":[{\"name\":\"a\",\"kind\":\"bag\"}],\"tasks\":[]}",
     "a: path: expected a text"},
    {RULE "\"features\":[{\"name\":\"a\",\"kind\":\"vector\",\"path\":\"a\","
          "\"width\":0}],\"tasks\":[]}",
     "a: width: expected a whole number"},
    {RULE "\"features\":[{\"name\":\"a\",\"kind\":\"number\",\"path\":\"a\","
          "\"range\":[1]}],\"tasks\":[]}",
     "a: range: expected two numbers"},
    {RULE "\"features\":[{\"name\":\"a\",\"kind\":\"number\",\"path\":\"a\","
          "\"boundaries\":[1]}],\"tasks\":[]}",
     "a: boundaries: expected a categorical"},
    {RULE "\"features\":[{\"name\":\"a\",\"kind\":\"categorical\",\"path\":"
          "\"a\",\"test_vectors\":[{\"value\":\"0\",\"id\":5}]}],"
          "\"tasks\":[]}",
     "a: test_vectors: expected the ids that this program computes"},
    {RULE "\"features\":[],\"tasks\":[{\"name\":\"t\",\"kind\":\"class\","
          "\"classes\":2,\"class_names\":[\"a\"]}]}",
     "t: class_names: expected one name a class"},
};

static void
test_contracts_that_are_none(void)
{
    struct contract_owned c;

    for (size_t i = 0; i < COUNT(bad_contracts); i++) {
        const char *text = bad_contracts[i].text;

        CHECK_INT(contract_parse(&c, text, strlen(text), "x", &err),
                  STATUS_BADDATA);
        CHECK_HAS(err.text, bad_contracts[i].why);
        CHECK(c.features == NULL);
    }
}

int
main(void)
{
    RUN(test_feature_id_matches_the_published_vectors);
    RUN(test_event_time_reads_rfc_3339);
    RUN(test_event_time_tells_units_by_magnitude);
    RUN(test_decoder_new_names_what_makes_no_sense);
    RUN(test_columns_have_room_for_every_row);
    RUN(test_columns_refuse_sizes_beyond_reason);
    RUN(test_contract_describes_what_the_decoder_does);
    RUN(test_contract_is_read_back);
    RUN(test_contracts_that_are_none);
    return check_report();
}
