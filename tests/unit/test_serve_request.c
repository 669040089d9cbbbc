/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests into columns: the same values give the same columns as in events,
 * in JSON and in bytes; what is wrong is said, and leaves no row behind.
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/oip/datatype.h"
#include "stages/serve/request.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define ROWS_MAX 4

static const double boundaries[] = {0.5, 10};
static const struct event_feature features[] = {
    {.name = "user", .kind = FEATURE_CATEGORICAL, .path = "user"},
    {.name = "tags",
     .kind = FEATURE_BAG,
     .path = "tags",
     .separator = '|',
     .ids_max = 3},
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
    {.name = "emb", .kind = FEATURE_VECTOR, .path = "emb", .width = 2},
};
static const struct event_task tasks[] = {{.name = "like"}};
static const struct event_spec spec = {.features = features,
                                       .feature_count = COUNT(features),
                                       .tasks = tasks,
                                       .task_count = 1};
static const char *const outputs[] = {"like", "like_logit"};

static struct error err;
static struct request_reader *reader;
static struct columns *columns;  /* of requests */
static struct columns *expected; /* of events */
static struct decoder *decoder;
static struct request request;

static void
begin(void)
{
    struct request_spec r = {.events = &spec,
                             .outputs = outputs,
                             .output_count = COUNT(outputs),
                             .body_bytes_max = 1 << 16};

    CHECK_INT(columns_new(&columns, &spec, ROWS_MAX, &err), STATUS_OK);
    CHECK_INT(columns_new(&expected, &spec, ROWS_MAX, &err), STATUS_OK);
    CHECK_INT(decoder_new(&decoder, &spec, &err), STATUS_OK);
    CHECK_INT(request_reader_new(&reader, &r, &err), STATUS_OK);
}

static void
end(void)
{
    request_reader_free(&reader);
    decoder_free(&decoder);
    columns_free(&expected);
    columns_free(&columns);
}

/* The text stands alone, so that a step beyond its end is seen. */
static enum status
read_bytes(const char *body, size_t len, size_t json_len)
{
    char *copy = malloc(len + 1);
    enum status st;

    memcpy(copy + 1, body, len);
    st = request_read(reader, copy + 1, len, json_len, columns, &request, &err);
    free(copy);
    return st;
}

static enum status
read_text(const char *json)
{
    return read_bytes(json, strlen(json), strlen(json));
}

static void
expect_event(const char *event)
{
    CHECK_INT(decoder_decode(decoder, event, strlen(event), expected,
                             expected->row_count, NULL, &err),
              STATUS_OK);
}

static void
compare(void)
{
    size_t rows = expected->row_count;

    CHECK_INT(columns->row_count, rows);
    for (size_t i = 0; i < COUNT(features); i++) {
        const struct column *a = &columns->features[i];
        const struct column *b = &expected->features[i];

        if (b->offsets != NULL) {
            CHECK(memcmp(a->offsets, b->offsets,
                         (rows + 1) * sizeof(*a->offsets)) == 0);
            CHECK(memcmp(a->ids, b->ids, b->offsets[rows] * sizeof(*a->ids)) ==
                  0);
        } else if (b->ids != NULL) {
            CHECK(memcmp(a->ids, b->ids, rows * sizeof(*a->ids)) == 0);
        } else {
            CHECK(memcmp(a->values, b->values,
                         rows * a->width * sizeof(*a->values)) == 0);
            CHECK(memcmp(a->present, b->present, rows) == 0);
        }
    }
}

#define INPUT(name, shape, type, data)                                         \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"" type          \
    "\",\"data\":" data "}"
#define REQUEST(inputs) "{\"inputs\":[" inputs "]}"

static void
test_values_mean_what_they_mean_in_events(void)
{
    begin();
    expect_event("{\"user\":\"u\\u00e9\",\"tags\":[\"a\",\"b\"],\"age\":0.5,"
                 "\"price\":2.5,\"emb\":[1,-0.1]}");
    expect_event("{\"user\":7,\"tags\":\"c|d|c|e\",\"age\":11,\"price\":10}");
    expect_event("{\"user\":\"\",\"tags\":[],\"emb\":[3,4]}");
    CHECK_INT(
        read_text(REQUEST(
            INPUT("user", "[3,1]", "BYTES", "[\"u\\u00e9\",\"7\",\"\"]") "," //
            INPUT("tags", "[3,2]", "BYTES",
                  "[[\"a\",\"b\"],[\"c|d|c|e\",\"\"],[\"\",null]]") "," //
            INPUT("age", "[3]", "FP64", "[0.5,11,null]") ","            //
            INPUT("price", "[3,1]", "FP64", "[[2.5],[10],[null]]") ","  //
            INPUT("emb", "[3,2]", "FP32", "[1,-0.1,null,1,3,4]"))),
        STATUS_OK);
    CHECK_INT(request.row_first, 0);
    CHECK_INT(request.row_count, 3);
    CHECK_INT(request.output_count, 2);
    compare();
    end();
}

static void
test_integers_and_booleans_are_hashed_as_their_text(void)
{
    begin();
    expect_event("{\"user\":\"-7\",\"tags\":[\"true\",\"false\"],\"age\":1,"
                 "\"price\":3,\"emb\":[1,0]}");
    expect_event("{\"user\":\"9223372036854775807\",\"tags\":[\"true\"],"
                 "\"age\":0,\"emb\":[0,1]}");
    CHECK_INT(
        read_text(REQUEST(
            INPUT("user", "[2]", "INT64", "[-7,9223372036854775807]") "," //
            INPUT("tags", "[2,2]", "BOOL", "[true,false,true,null]") ","  //
            INPUT("age", "[2]", "BOOL", "[true,false]") ","               //
            INPUT("price", "[2]", "INT8", "[3,-128]") ","                 //
            INPUT("emb", "[2,2]", "UINT16", "[1,0,0,1]"))),
        STATUS_OK);
    compare();
    end();
}

static void
test_ids_are_taken_as_they_are(void)
{
    const struct column *tags;

    begin();
    CHECK_INT(read_text(REQUEST(
                  INPUT("user:id", "[2,1]", "INT64", "[5,-1]") ","         //
                  INPUT("tags:id", "[2,3]", "UINT64", "[0,8,9,1,2,3]") "," //
                  INPUT("age:id", "[2]", "UINT64",
                        "[9007199254740991," //
                        "9007199254740992]"))),
              STATUS_OK);
    tags = &columns->features[1];
    CHECK_INT(columns->features[0].ids[0], 5);
    CHECK_INT(columns->features[0].ids[1], ID_MISSING);
    CHECK_INT(tags->offsets[1], 2);
    CHECK_INT(tags->offsets[2], 5);
    CHECK(tags->ids[0] == 8 && tags->ids[1] == 9 && tags->ids[4] == 3);
    CHECK(columns->features[2].ids[0] == FEATURE_ID_MASK);
    CHECK_INT(columns->features[2].ids[1], ID_MISSING);
    end();
}

static void
test_requests_go_behind_each_other(void)
{
    begin();
    expect_event("{\"user\":\"a\",\"tags\":[\"x\"]}");
    expect_event("{\"tags\":[\"y\",\"z\"]}");
    expect_event("{\"user\":\"b\",\"price\":4}");
    CHECK_INT(read_text(REQUEST(INPUT("user", "[1]", "BYTES", "[\"a\"]") "," //
                                INPUT("tags", "[1]", "BYTES", "[\"x\"]"))),
              STATUS_OK);
    CHECK_INT(read_text(REQUEST(INPUT("tags", "[1,2]", "BYTES",
                                      "[\"y\",\"z\"]") "," //
                                INPUT("price", "[1]", "FP32", "[true]"))),
              STATUS_MALFORMED);
    CHECK_INT(
        read_text(REQUEST(INPUT("tags", "[1,2]", "BYTES", "[\"y\",\"z\"]"))),
        STATUS_OK);
    CHECK_INT(request.row_first, 1);
    CHECK_INT(read_text(REQUEST(INPUT("user", "[1]", "BYTES", "[\"b\"]") "," //
                                INPUT("price", "[1]", "FP64", "[4]"))),
              STATUS_OK);
    compare();
    CHECK_INT(
        read_text(REQUEST(INPUT("user", "[2]", "BYTES", "[\"c\",\"d\"]"))),
        STATUS_AGAIN);
    CHECK_INT(
        read_text(REQUEST(INPUT("user", "[5]", "BYTES", "[\"c\",\"d\"]"))),
        STATUS_TOOBIG);
    CHECK_HAS(err.text, "batch-size must be <= 4");
    compare();
    end();
}

/* A tensor's members in an order in which the data comes first. */
static void
test_members_come_in_any_order(void)
{
    begin();
    expect_event("{\"user\":\"a\"}");
    CHECK_INT(read_text("{\"outputs\":[{\"name\":\"like_logit\"}],\"x\":[{}],"
                        "\"inputs\":[{\"data\":[\"a\"],\"x\":1,"
                        "\"datatype\":\"BYTES\",\"shape\":[1,1],"
                        "\"parameters\":{\"y\":[1]},\"name\":\"user\"}],"
                        "\"id\":\"i\\n7\"}"),
              STATUS_OK);
    compare();
    CHECK_INT(request.id_len, 4);
    CHECK_INT(request.output_count, 1);
    CHECK_INT(request.outputs[0].index, 1);
    CHECK(!request.outputs[0].is_binary);
    end();
}

static size_t
put_text(char *at, const char *text)
{
    oip_length_write(at, strlen(text));
    memcpy(at + OIP_LENGTH_BYTES, text, strlen(text));
    return OIP_LENGTH_BYTES + strlen(text);
}

static size_t
put_numbers(char *at, enum oip_datatype type, const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        oip_number_write(type, at + i * oip_datatype_bytes(type), values[i]);
    return n * oip_datatype_bytes(type);
}

/* The tensors of the body below, in their order, each of 2 rows. */
#define BINARY(users)                                                          \
    "{\"parameters\":{\"binary_data_output\":true},\"inputs\":["               \
    "{\"name\":\"user\",\"shape\":[2],\"datatype\":\"BYTES\","                 \
    "\"parameters\":{\"binary_data_size\":" users "}},"                        \
    "{\"name\":\"age\",\"shape\":[2],\"datatype\":\"INT16\",\"parameters\":"   \
    "{\"binary_data_size\":4}},"                                               \
    "{\"name\":\"price\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":"        \
    "[1,2]},"                                                                  \
    "{\"name\":\"emb\",\"shape\":[2,2],\"datatype\":\"FP16\",\"parameters\":"  \
    "{\"binary_data_size\":8}},"                                               \
    "{\"name\":\"tags:id\",\"shape\":[2,1],\"datatype\":\"INT64\","            \
    "\"parameters\":{\"binary_data_size\":16}}],"                              \
    "\"outputs\":[{\"name\":\"like\"},{\"name\":\"like_logit\","               \
    "\"parameters\":{\"binary_data\":false}}]}"

static size_t
make_body(char *body, const char *json)
{
    static const double ages[] = {-3, 10};
    static const double vectors[] = {0.5, -2, 65504, (double)NAN};
    size_t at = strlen(json);

    memcpy(body, json, at);
    at += put_text(body + at, "caf\xC3\xA9");
    at += put_text(body + at, "");
    at += put_numbers(body + at, OIP_INT16, ages, 2);
    at += put_numbers(body + at, OIP_FP16, vectors, 4);
    oip_int64_write(body + at, 77);
    oip_int64_write(body + at + 8, 0);
    return at + 16;
}

static void
test_bytes_are_read_as_json_is(void)
{
    static const char json[] = BINARY("13");
    char body[2048];
    size_t len = make_body(body, json);
    struct column *tags;

    begin();
    expect_event("{\"user\":\"caf\\u00e9\",\"age\":-3,\"price\":1,"
                 "\"emb\":[0.5,-2],\"tags\":[\"x\"]}");
    expect_event("{\"age\":10,\"price\":2}");
    tags = &expected->features[1];
    tags->ids[0] = 77;
    CHECK_INT(read_bytes(body, len, strlen(json)), STATUS_OK);
    compare();
    CHECK(request.outputs[0].is_binary && !request.outputs[1].is_binary);
    columns_clear(columns);
    for (size_t cut = 1; cut <= 41; cut++)
        CHECK_INT(read_bytes(body, len - cut, strlen(json)), STATUS_MALFORMED);
    CHECK_INT(read_bytes(body, len + 1, strlen(json)), STATUS_MALFORMED);
    CHECK_HAS(err.text, "1 bytes behind the JSON");
    CHECK_INT(columns->row_count, 0);
    end();
}

static void
test_lengths_in_bytes_are_not_believed(void)
{
    static const char json[] = BINARY("14");
    char body[2048];
    size_t len = make_body(body, json);
    static const char other[] = BINARY("3");
    static const char huge[] = BINARY("9007199254740991");

    begin();
    CHECK_INT(read_bytes(body, len, strlen(json)), STATUS_MALFORMED);
    CHECK_HAS(err.text, "input \"user\": binary_data_size 14, its shape and "
                        "datatype need 13");
    len = make_body(body, other);
    CHECK_INT(read_bytes(body, len, strlen(other)), STATUS_MALFORMED);
    CHECK_HAS(err.text, "input \"user\": value 0 ends beyond");
    len = make_body(body, huge);
    CHECK_INT(read_bytes(body, len, strlen(huge)), STATUS_MALFORMED);
    CHECK_HAS(err.text, "only 41 bytes follow");
    len = make_body(body, BINARY("13"));
    memset(body + sizeof(BINARY("13")) - 1, 0xFF, 4);
    CHECK_INT(read_bytes(body, len, strlen(BINARY("13"))), STATUS_MALFORMED);
    CHECK_HAS(err.text, "input \"user\": value 0 ends beyond");
    end();
}

static const struct {
    const char *json;
    const char *why;
} refusals[] = {
    {"", "byte 0: text ends"},
    {"[]", "expected a JSON object"},
    {"{}", "inputs: expected at least one"},
    {"{\"inputs\":[]}", "inputs: expected at least one"},
    {"{\"inputs\":{}}", "inputs: expected a list"},
    {"{\"inputs\":[1]}", "inputs: expected objects"},
    {"{\"inputs\":[{}]}", "expected a name, a datatype and a shape"},
    {"{\"id\":7}", "id: expected a string"},
    {"{\"parameters\":[]}", "parameters: expected an object"},
    {"{\"parameters\":{\"binary_data_output\":1}}", "expected true or false"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "[\"a\"]")) "x",
     "expected the end of the JSON text"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "[\"a\"")), "expected , or ]"},
    {REQUEST(INPUT("who", "[1]", "BYTES", "[\"a\"]")),
     "unexpected inference input \"who\""},
    {REQUEST(INPUT("emb:id", "[1]", "INT64", "[1]")),
     "unexpected inference input \"emb:id\""},
    {REQUEST(INPUT("user", "[1]", "STRING", "[\"a\"]")),
     "datatype \"STRING\", expected BOOL"},
    {REQUEST(INPUT("user", "[1]", "FP32", "[1]")),
     "input \"user\": datatype FP32, expected BYTES, an integer type or BOOL"},
    {REQUEST(INPUT("user:id", "[1]", "BYTES", "[\"1\"]")),
     "datatype BYTES, expected an integer type"},
    {REQUEST(INPUT("price", "[1]", "BYTES", "[\"1\"]")),
     "datatype BYTES, expected a float or integer type or BOOL"},
    {REQUEST(INPUT("user", "[2,2]", "BYTES", "[]")),
     "input \"user\": shape [2,2], expected [2,1]"},
    {REQUEST(INPUT("emb", "[2]", "FP32", "[]")),
     "input \"emb\": shape [2], expected [2,2]"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "[\"a\"]") "," INPUT(
         "tags", "[2,1]", "BYTES", "[\"a\",\"b\"]")),
     "input \"tags\": shape [2,1], expected [1,K]"},
    {REQUEST(INPUT("user", "[]", "BYTES", "[]")), "list of 1 or 2 sizes"},
    {REQUEST(INPUT("user", "[1,1,1]", "BYTES", "[]")), "list of 1 or 2 sizes"},
    {REQUEST(INPUT("user", "[-1]", "BYTES", "[]")), "list of 1 or 2 sizes"},
    {REQUEST(INPUT("user", "[1.5]", "BYTES", "[]")), "list of 1 or 2 sizes"},
    {REQUEST(INPUT("user", "1", "BYTES", "[]")), "list of 1 or 2 sizes"},
    {REQUEST(INPUT("user", "[0]", "BYTES", "[]")), "a batch of 0 rows"},
    {REQUEST(INPUT("user", "[4294967295]", "BYTES", "[]")), "batch-size must"},
    {REQUEST(INPUT("user", "[2]", "BYTES", "[\"a\"]")),
     "input \"user\": 1 values, its shape has 2"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "[\"a\",\"b\"]")),
     "input \"user\": more values, its shape has 1"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "\"a\"")), "data: expected a list"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "[7]")),
     "input \"user\": value 0 is not a string that fits into BYTES"},
    {REQUEST(INPUT("user", "[1]", "BYTES", "[{}]")), "is not a string"},
    {REQUEST(INPUT("user", "[1]", "INT8", "[128]")),
     "value 0 is not an integer that fits into INT8"},
    {REQUEST(INPUT("user", "[1]", "INT64", "[9223372036854775808]")),
     "an integer that fits into INT64"},
    {REQUEST(INPUT("user", "[1]", "UINT64", "[18446744073709551616]")),
     "an integer that fits into UINT64"},
    {REQUEST(INPUT("user", "[1]", "UINT8", "[-1]")), "fits into UINT8"},
    {REQUEST(INPUT("user", "[1]", "INT32", "[1.5]")), "is not an integer"},
    {REQUEST(INPUT("user", "[1]", "BOOL", "[1]")), "is not true or false"},
    {REQUEST(INPUT("price", "[1]", "FP32", "[NaN]")), "expected a value"},
    {REQUEST(INPUT("tags", "[1,2]", "BYTES", "[[\"a\"]]")),
     "input \"tags\": a row of 1 values, expected 2"},
    {REQUEST(INPUT("tags", "[1,2]", "BYTES", "[[[\"a\",\"b\"]]]")),
     "is not a string"},
    {REQUEST(INPUT("tags", "[2,2]", "BYTES", "[\"a\",[\"a\",\"b\"]]")),
     "data is nested otherwise"},
    {REQUEST(INPUT("user", "[1]", "BYTES",
                   "[\"a\"]") "," INPUT("user:id", "[1]", "INT64", "[1]")),
     "input \"user:id\": a second tensor for one feature"},
    {"{\"inputs\":[{\"name\":\"user\",\"shape\":[1],\"datatype\":\"BYTES\"}]}",
     "expected either data or the parameter binary_data_size"},
    {"{\"inputs\":[{\"name\":\"user\",\"shape\":[1],\"datatype\":\"BYTES\","
     "\"data\":[\"a\"],\"parameters\":{\"binary_data_size\":0}}]}",
     "expected either data or the parameter binary_data_size"},
    {"{\"inputs\":[{\"name\":\"user\",\"parameters\":"
     "{\"shared_memory_region\":\"r\"}}]}",
     "the extension for shared_memory_region is not served"},
    {"{\"outputs\":[{\"name\":\"dislike\"}]}",
     "unexpected inference output \"dislike\""},
    {"{\"outputs\":[{\"name\":\"like\"},{\"name\":\"like\"}]}",
     "output \"like\" is asked for twice"},
    {"{\"outputs\":[{}]}", "output: expected a name"},
    {"{\"inputs\":[],\"inputs\":[]}", "byte 13"},
};

static void
test_what_is_wrong_is_said(void)
{
    begin();
    for (size_t i = 0; i < COUNT(refusals); i++) {
        enum status st = read_text(refusals[i].json);

        CHECK(st == STATUS_MALFORMED || st == STATUS_TOOBIG);
        if (strstr(err.text, refusals[i].why) == NULL)
            (void)printf("request %zu: %s\n", i, refusals[i].json);
        CHECK_HAS(err.text, refusals[i].why);
        CHECK_INT(columns->row_count, 0);
    }
    end();
}

static void
test_rows_are_guessed_from_the_first_shape(void)
{
    static const char json[] = "{\"inputs\":[{\"shape\" : [ 64,2]}]}";

    CHECK_INT(request_peek_rows(json, strlen(json)), 64);
    CHECK_INT(request_peek_rows(json, 24), 1);
    CHECK_INT(request_peek_rows("", 0), 1);
    CHECK_INT(request_peek_rows("{\"shape\":[-1]}", 14), 1);
}

int
main(void)
{
    RUN(test_values_mean_what_they_mean_in_events);
    RUN(test_integers_and_booleans_are_hashed_as_their_text);
    RUN(test_ids_are_taken_as_they_are);
    RUN(test_requests_go_behind_each_other);
    RUN(test_members_come_in_any_order);
    RUN(test_bytes_are_read_as_json_is);
    RUN(test_lengths_in_bytes_are_not_believed);
    RUN(test_what_is_wrong_is_said);
    RUN(test_rows_are_guessed_from_the_first_shape);
    return check_report();
}
