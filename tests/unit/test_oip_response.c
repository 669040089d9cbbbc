/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of model servers, good and hostile. Each body lies at the end of its
 * memory, so that a sanitizer sees what reads behind it.
 */
#include "stages/oip/response.h"

#include "tests/support/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 8

struct answer {
    struct oip_output outputs[2];
    float values[2][VALUES];
    struct oip_response response;
    struct error err;
    bool is_not_finite;
};

enum form { FORM_OIP, FORM_TFS };

static struct oip_reader *reader;

/* Reads a body for two rows of one output "y", or of "y" and "z". */
static enum status
read_bytes(struct answer *a, enum form form, size_t outputs, const char *bytes,
           size_t len, size_t head)
{
    char *body = malloc(len > 0 ? len : 1);
    enum status st;

    memcpy(body, bytes, len);
    memset(a, 0, sizeof(*a));
    a->outputs[0] = (struct oip_output){
        .name = outputs == 0 ? "" : "y", .values = a->values[0], .max = VALUES};
    a->outputs[1] =
        (struct oip_output){.name = "z", .values = a->values[1], .max = VALUES};
    a->response =
        (struct oip_response){.id = "b-1",
                              .model = "m",
                              .row_count = 2,
                              .outputs = a->outputs,
                              .output_count = outputs == 0 ? 1 : outputs};
    if (form == FORM_OIP)
        st = oip_response_read(reader, &a->response, body, len, head, &a->err);
    else
        st = tfs_response_read(reader, &a->response, body, len,
                               &a->is_not_finite, &a->err);
    free(body);
    return st;
}

static enum status
read_text(struct answer *a, enum form form, size_t outputs, const char *text)
{
    return read_bytes(a, form, outputs, text, strlen(text), SIZE_MAX);
}

#define HEAD "{\"model_name\":\"m\",\"model_version\":\"7\",\"id\":\"b-1\","
#define Y(shape, data)                                                         \
    "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":" shape ",\"data\":" data \
    "}"
#define OUT(outputs) HEAD "\"outputs\":[" outputs "]}"

static void
test_json(void)
{
    struct answer a;

    CHECK_INT(read_text(&a, FORM_OIP, 1, OUT(Y("[2,1]", "[1.5,-2e1]"))),
              STATUS_OK);
    CHECK_STR(a.response.version, "7");
    CHECK_INT(a.outputs[0].width, 1);
    CHECK(a.values[0][0] == 1.5f && a.values[0][1] == -20.0f);
    /* Nested, in another order of members, with things nobody asked for. */
    CHECK_INT(
        read_text(&a, FORM_OIP, 2,
                  "{\"parameters\":null,\"outputs\":["
                  "{\"data\":[[1,2],[3,4]],\"shape\":[2,2],"
                  "\"datatype\":\"INT64\",\"name\":\"z\","
                  "\"parameters\":null},"
                  "{\"name\":\"other\",\"datatype\":\"BYTES\","
                  "\"shape\":[9],\"data\":[\"a\"]}," Y("[2]", "[5,6]") "]}"),
        STATUS_OK);
    CHECK_STR(a.response.version, "");
    CHECK_INT(a.outputs[0].width, 1);
    CHECK_INT(a.outputs[1].width, 2);
    CHECK(a.values[0][1] == 6 && a.values[1][2] == 3);
    /* The only output, whatever its name; a version that is a number. */
    CHECK_INT(read_text(&a, FORM_OIP, 0,
                        "{\"model_version\":12,\"outputs\":[" Y(
                            "[2,1]", "[null,1e39]") "]}"),
              STATUS_OK);
    CHECK_STR(a.response.version, "12");
    CHECK(isnan(a.values[0][0]) && isinf(a.values[0][1]));
}

static void
test_hostile_json(void)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "<html>nginx</html>",
        "{\"error\":\"no\"}",
        OUT(""),
        OUT(Y("[2,1]", "[1,2]") "," Y("[2,1]", "[1,2]")),
        OUT(Y("[2,1]", "[1,2]")) "x",
        OUT(Y("[2,1]", "[1]")),
        OUT(Y("[2,1]", "[1,2,3]")),
        OUT(Y("[3,1]", "[1,2,3]")),
        OUT(Y("[1,2]", "[1,2]")),
        OUT(Y("[2,0]", "[]")),
        OUT(Y("[]", "[1,2]")),
        OUT(Y("[2,5]", "[1,2,3,4,5,6,7,8,9,10]")),
        OUT(Y("[2,4294967296,4294967296]", "[1]")),
        OUT(Y("[2,9007199254740991]", "[1]")),
        OUT(Y("[2,-1]", "[1,2]")),
        OUT(Y("[2,1.5]", "[1,2,3]")),
        OUT(Y("[1,1,1,1,1,1,1,1,2]", "[1,2]")),
        OUT(Y("[2,1]", "[\"1\",\"2\"]")),
        OUT(Y("[2,1]", "{}")),
        OUT(Y("[2,1]", "[1,NaN]")),
        OUT(Y("[2,1]", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]],2]")),
        OUT("{\"name\":\"y\",\"datatype\":\"BYTES\",\"shape\":[2],"
            "\"data\":[1,2]}"),
        OUT("{\"name\":\"y\",\"datatype\":\"FP33\",\"shape\":[2],"
            "\"data\":[1,2]}"),
        OUT("{\"name\":\"y\",\"shape\":[2],\"data\":[1,2]}"),
        OUT("{\"name\":\"y\",\"datatype\":\"FP32\",\"data\":[1,2]}"),
        OUT("{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[2]}"),
        OUT("{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[2],"
            "\"data\":[1,2]}"),
        OUT("{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[2],"
            "\"parameters\":{\"binary_data_size\":8}}"),
        "{\"id\":\"b-2\",\"outputs\":[" Y("[2,1]", "[1,2]") "]}",
        "{\"id\":7,\"outputs\":[" Y("[2,1]", "[1,2]") "]}",
        "{\"model_name\":\"n\",\"outputs\":[" Y("[2,1]", "[1,2]") "]}",
        "{\"model_version\":[],\"outputs\":[" Y("[2,1]", "[1,2]") "]}",
        "{\"outputs\":{}}",
        "{\"outputs\":[1]}",
    };
    struct answer a;

    for (size_t i = 0; i < COUNT(bodies); i++) {
        if (read_text(&a, FORM_OIP, 1, bodies[i]) != STATUS_MALFORMED) {
            CHECK_STR(bodies[i], "refused");
            continue;
        }
        CHECK(a.err.text[0] != '\0');
    }
    CHECK_INT(read_text(&a, FORM_OIP, 2, OUT(Y("[2,1]", "[1,2]"))),
              STATUS_MALFORMED);
    CHECK_STR(a.err.text, "there is no output 'z'");
    /* Cut at every byte. */
    for (size_t i = 0; i < sizeof(OUT(Y("[2,1]", "[1,2]"))) - 1; i++)
        CHECK(read_bytes(&a, FORM_OIP, 1, OUT(Y("[2,1]", "[1,2]")), i,
                         SIZE_MAX) == STATUS_MALFORMED);
}

#define BINARY(type, shape, size)                                              \
    "{\"name\":\"y\",\"datatype\":\"" type "\",\"shape\":" shape               \
    ",\"parameters\":{\"binary_data_size\":" size "}}"

/* Puts a head and bytes together. */
static enum status
read_parts(struct answer *a, const char *head, const char *bytes, size_t n)
{
    char body[1024];
    size_t len = strlen(head);

    memcpy(body, head, len);
    memcpy(body + len, bytes, n);
    return read_bytes(a, FORM_OIP, 1, body, len + n, len);
}

static void
test_binary(void)
{
    static const char other[] =
        "{\"name\":\"o\",\"datatype\":\"BYTES\",\"shape\":[1],"
        "\"parameters\":{\"binary_data_size\":5}},";
    char head[512];
    struct answer a;

    CHECK_INT(read_parts(&a, OUT(BINARY("FP32", "[2,1]", "8")),
                         "\0\0\xc0\x3f\0\0\x80\x7f", 8),
              STATUS_OK);
    CHECK(a.values[0][0] == 1.5f && isinf(a.values[0][1]));
    CHECK_INT(
        read_parts(&a, OUT(BINARY("INT8", "[2,2]", "4")), "\1\2\3\xff", 4),
        STATUS_OK);
    CHECK_INT(a.outputs[0].width, 2);
    CHECK(a.values[0][3] == -1);
    /* Behind the bytes of an output that nobody wants. */
    (void)snprintf(head, sizeof(head), "%s%s%s%s", HEAD "\"outputs\":[", other,
                   BINARY("UINT8", "[2]", "2"), "]}");
    CHECK_INT(read_parts(&a, head, "\1\0\0\0x\7\x09", 7), STATUS_OK);
    CHECK(a.values[0][0] == 7 && a.values[0][1] == 9);
}

static void
test_hostile_binary(void)
{
    static const struct {
        const char *head;
        size_t bytes;
    } bodies[] = {
        {OUT(BINARY("FP32", "[2,1]", "8")), 7},
        {OUT(BINARY("FP32", "[2,1]", "8")), 9},
        {OUT(BINARY("FP32", "[2,1]", "4")), 4},
        {OUT(BINARY("FP32", "[2,1]", "9007199254740991")), 8},
        {OUT(BINARY("FP32", "[2,1]", "-8")), 8},
        {OUT(BINARY("FP64", "[2,1]", "8")), 8},
        {OUT(BINARY("BYTES", "[2,1]", "8")), 8},
        {OUT("{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[2],"
             "\"data\":[1,2],\"parameters\":{\"binary_data_size\":8}}"),
         8},
        {OUT(Y("[2,1]", "[1,2]")), 1},
    };
    struct answer a;
    char zeros[16] = {0};

    for (size_t i = 0; i < COUNT(bodies); i++) {
        if (read_parts(&a, bodies[i].head, zeros, bodies[i].bytes) !=
            STATUS_MALFORMED)
            CHECK_STR(bodies[i].head, "refused");
    }
    /* A head that is said to be longer than all there is. */
    CHECK_INT(read_bytes(&a, FORM_OIP, 1, "{}", 2, 3), STATUS_MALFORMED);
    CHECK_INT(read_bytes(&a, FORM_OIP, 1, "{}", 2, SIZE_MAX - 1),
              STATUS_MALFORMED);
    CHECK_INT(read_bytes(&a, FORM_OIP, 1, "{}", 2, 0), STATUS_MALFORMED);
}

static void
test_tf_serving(void)
{
    struct answer a;

    CHECK_INT(read_text(&a, FORM_TFS, 1, "{\"predictions\":[[1.73],[-0.22]]}"),
              STATUS_OK);
    CHECK(a.values[0][0] == 1.73f && a.values[0][1] == -0.22f);
    CHECK_INT(read_text(&a, FORM_TFS, 0, "{\"predictions\":[1,2]}"), STATUS_OK);
    CHECK_INT(a.outputs[0].width, 1);
    CHECK_INT(read_text(&a, FORM_TFS, 2,
                        "{\"predictions\":[{\"z\":[1,2],\"y\":3,\"q\":[]},"
                        "{\"y\":4,\"z\":[5,6]}]}"),
              STATUS_OK);
    CHECK(a.values[0][1] == 4 && a.values[1][3] == 6);
    CHECK_INT(read_text(&a, FORM_TFS, 1, "{ \"outputs\" : [[1,2],[3,4]]}"),
              STATUS_OK);
    CHECK_INT(a.outputs[0].width, 2);
    CHECK_INT(read_text(&a, FORM_TFS, 2,
                        "{\"outputs\":{\"y\":[[1],[2]],\"z\":[3,4]}}"),
              STATUS_OK);
    CHECK(a.values[0][1] == 2 && a.values[1][1] == 4);
}

static void
test_hostile_tf_serving(void)
{
    static const char *const bodies[] = {
        "{}",
        "[]",
        "{\"error\":\"x\"}",
        "{\"predictions\":[]}",
        "{\"predictions\":[1]}",
        "{\"predictions\":[1,2,3]}",
        "{\"predictions\":[[1],[2,3]]}",
        "{\"predictions\":[[],[]]}",
        "{\"predictions\":[[1,2,3,4,5,6,7,8,9],[1]]}",
        "{\"predictions\":[\"a\",\"b\"]}",
        "{\"predictions\":[{\"y\":1},{\"z\":2}]}",
        "{\"predictions\":[{\"y\":1},2,3]}",
        "{\"predictions\":[1,2],\"outputs\":[1,2]}",
        "{\"predictions\":{\"y\":[1,2]}}",
        "{\"outputs\":{\"z\":[1,2]}}",
        "{\"outputs\":[1,2]}}",
        "{\"outputs\":[1,2",
    };
    struct answer a;

    for (size_t i = 0; i < COUNT(bodies); i++) {
        if (read_text(&a, FORM_TFS, 1, bodies[i]) != STATUS_MALFORMED)
            CHECK_STR(bodies[i], "refused");
        CHECK(!a.is_not_finite);
    }
    CHECK_INT(read_text(&a, FORM_TFS, 2, "{\"predictions\":[1,2]}"),
              STATUS_MALFORMED);
    CHECK_INT(
        read_text(&a, FORM_TFS, 0, "{\"outputs\":{\"a\":[1,2],\"b\":[1,2]}}"),
        STATUS_MALFORMED);
    CHECK_INT(read_text(&a, FORM_TFS, 1, "{\"predictions\":[[1],[NaN]]}"),
              STATUS_MALFORMED);
    CHECK(a.is_not_finite);
    CHECK_INT(read_text(&a, FORM_TFS, 1, "{\"predictions\":[[-Infinity],[1]]}"),
              STATUS_MALFORMED);
    CHECK(a.is_not_finite);
}

static void
test_longer_than_the_maximum(void)
{
    struct answer a;
    char *body = calloc(1, 65537);

    CHECK_INT(read_bytes(&a, FORM_OIP, 1, body, 65537, SIZE_MAX),
              STATUS_TOOBIG);
    CHECK_INT(read_bytes(&a, FORM_TFS, 1, body, 65537, SIZE_MAX),
              STATUS_TOOBIG);
    free(body);
}

static void
check_error(const char *body, const char *want)
{
    char text[64];

    oip_error_text(body, strlen(body), text, sizeof(text));
    CHECK_STR(text, want);
}

static void
test_error_texts(void)
{
    char text[16];

    check_error("{\"error\":\"inference request batch-size must be <= 4\"}",
                "inference request batch-size must be <= 4");
    check_error("{\"detail\":\"no\\nJSON\"}", "no JSON");
    check_error("{\"detail\":[{\"msg\":\"bad\",\"loc\":[]}]}", "bad");
    check_error("Internal Server Error", "Internal Server Error");
    check_error("{\"error\":5}", "{\"error\":5}");
    check_error("", "");
    check_error("\xff\x01ok", "? ok");
    oip_error_text("0123456789abcdefghij", 20, text, sizeof(text));
    CHECK(strlen(text) < sizeof(text));
}

int
main(void)
{
    struct error err;

    if (oip_reader_new(&reader, 65536, &err) != STATUS_OK)
        return 1;
    RUN(test_json);
    RUN(test_hostile_json);
    RUN(test_binary);
    RUN(test_hostile_binary);
    RUN(test_tf_serving);
    RUN(test_hostile_tf_serving);
    RUN(test_longer_than_the_maximum);
    RUN(test_error_texts);
    oip_reader_free(&reader);
    return check_report();
}
