/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of requests to a model server, byte by byte.
 */
#include "stages/oip/request.h"

#include "tests/support/check.h"

#include <stdint.h>
#include <string.h>

#define ROWS 2

/* user: one text; ids: two INT64; x: one FP32 of rank 1; flag: BOOL. */
static const struct oip_input inputs[] = {
    {"user", OIP_BYTES, 1},
    {"ids", OIP_INT64, 2},
    {"x", OIP_FP32, 0},
    {"flag", OIP_BOOL, 1},
};

struct cells {
    char bytes[ROWS][COUNT(inputs)][32];
    size_t len[ROWS][COUNT(inputs)];
};

static const char *
get_cells(const void *ctx, size_t row, size_t input, size_t *bytes)
{
    const struct cells *c = ctx;

    *bytes = c->len[row][input];
    return c->bytes[row][input];
}

static void
fill(struct cells *c)
{
    static const char *const users[ROWS] = {"u-7", "a\"\xc3\xa9\n"};
    static const double xs[ROWS] = {0.1, -2};

    memset(c, 0, sizeof(*c));
    for (size_t row = 0; row < ROWS; row++) {
        size_t n = strlen(users[row]);

        oip_length_write(c->bytes[row][0], n);
        memcpy(c->bytes[row][0] + OIP_LENGTH_BYTES, users[row], n);
        c->len[row][0] = OIP_LENGTH_BYTES + n;
        oip_int64_write(c->bytes[row][1], (long long)row + 1);
        oip_int64_write(c->bytes[row][1] + 8, INT64_MIN);
        c->len[row][1] = 16;
        oip_number_write(OIP_FP32, c->bytes[row][2], xs[row]);
        c->len[row][2] = 4;
        oip_number_write(OIP_BOOL, c->bytes[row][3], row == 1);
        c->len[row][3] = 1;
    }
}

static struct oip_request
request(const struct cells *c)
{
    static const char *const outputs[] = {"logits"};

    return (struct oip_request){.id = "b-1",
                                .inputs = inputs,
                                .input_count = COUNT(inputs),
                                .outputs = outputs,
                                .output_count = 1,
                                .signature = "",
                                .row_count = ROWS,
                                .cells = get_cells,
                                .ctx = c};
}

#define MIN64 "-9223372036854775808"

static void
check_text(const char *got, size_t len, const char *want)
{
    char text[2048];

    if (len >= sizeof(text))
        len = 0;
    memcpy(text, got, len);
    text[len] = '\0';
    CHECK_STR(text, want);
}

static void
test_json(void)
{
    struct cells c;
    struct oip_request q;
    char out[2048];

    fill(&c);
    q = request(&c);
    check_text(out, oip_request_json(&q, out, sizeof(out)),
               "{\"id\":\"b-1\",\"inputs\":["
               "{\"name\":\"user\",\"shape\":[2,1],\"datatype\":\"BYTES\","
               "\"data\":[\"u-7\",\"a\\\"\xc3\xa9\\n\"]},"
               "{\"name\":\"ids\",\"shape\":[2,2],\"datatype\":\"INT64\","
               "\"data\":[1," MIN64 ",2," MIN64 "]},"
               "{\"name\":\"x\",\"shape\":[2],\"datatype\":\"FP32\","
               "\"data\":[0.100000001,-2]},"
               "{\"name\":\"flag\",\"shape\":[2,1],\"datatype\":\"BOOL\","
               "\"data\":[false,true]}],\"outputs\":[{\"name\":\"logits\"}]}");
    q.id = "";
    q.output_count = 0;
    q.input_count = 1;
    q.row_count = 1;
    check_text(out, oip_request_json(&q, out, sizeof(out)),
               "{\"inputs\":[{\"name\":\"user\",\"shape\":[1,1],"
               "\"datatype\":\"BYTES\",\"data\":[\"u-7\"]}]}");
}

static void
test_binary(void)
{
    static const char head[] =
        "{\"id\":\"b-1\",\"inputs\":["
        "{\"name\":\"user\",\"shape\":[2,1],\"datatype\":\"BYTES\","
        "\"parameters\":{\"binary_data_size\":16}},"
        "{\"name\":\"ids\",\"shape\":[2,2],\"datatype\":\"INT64\","
        "\"parameters\":{\"binary_data_size\":32}},"
        "{\"name\":\"x\",\"shape\":[2],\"datatype\":\"FP32\","
        "\"parameters\":{\"binary_data_size\":8}},"
        "{\"name\":\"flag\",\"shape\":[2,1],\"datatype\":\"BOOL\","
        "\"parameters\":{\"binary_data_size\":2}}],"
        "\"outputs\":[{\"name\":\"logits\","
        "\"parameters\":{\"binary_data\":true}}]}";
    struct cells c;
    struct oip_request q;
    char out[2048];
    size_t head_bytes;
    size_t n;

    fill(&c);
    q = request(&c);
    n = oip_request_binary(&q, out, sizeof(out), &head_bytes);
    CHECK_INT(n, head_bytes + 16 + 32 + 8 + 2);
    check_text(out, head_bytes, head);
    CHECK(memcmp(out + head_bytes, "\x03\0\0\0u-7\x05\0\0\0a\"", 13) == 0);
    CHECK(memcmp(out + head_bytes + 16, "\x01\0\0\0\0\0\0\0", 8) == 0);
    CHECK(memcmp(out + n - 2, "\0\x01", 2) == 0);
    q.output_count = 0;
    n = oip_request_binary(&q, out, sizeof(out), &head_bytes);
    CHECK(memmem(out, head_bytes, "\"binary_data_output\":true", 25) != NULL);
}

static void
test_tf_serving(void)
{
    struct cells c;
    struct oip_request q;
    char out[2048];

    fill(&c);
    q = request(&c);
    q.signature = "serving_default";
    check_text(out, tfs_request_rows(&q, out, sizeof(out)),
               "{\"signature_name\":\"serving_default\",\"instances\":["
               "{\"user\":[\"u-7\"],\"ids\":[1," MIN64 "],"
               "\"x\":0.100000001,\"flag\":[false]},"
               "{\"user\":[\"a\\\"\xc3\xa9\\n\"],\"ids\":[2," MIN64 "],"
               "\"x\":-2,\"flag\":[true]}]}");
    q.signature = "";
    q.input_count = 3;
    check_text(out, tfs_request_columns(&q, out, sizeof(out)),
               "{\"inputs\":{\"user\":[[\"u-7\"],[\"a\\\"\xc3\xa9\\n\"]],"
               "\"ids\":[[1," MIN64 "],[2," MIN64 "]],"
               "\"x\":[0.100000001,-2]}}");
}

/* Every room that is too small gives 0, and nothing behind it is touched. */
static void
test_what_does_not_fit(void)
{
    struct cells c;
    struct oip_request q;
    char out[2048];
    size_t head;
    size_t need[4];

    fill(&c);
    q = request(&c);
    need[0] = oip_request_json(&q, out, sizeof(out));
    need[1] = oip_request_binary(&q, out, sizeof(out), &head);
    need[2] = tfs_request_rows(&q, out, sizeof(out));
    need[3] = tfs_request_columns(&q, out, sizeof(out));
    for (size_t room = 0; room < need[1]; room++) {
        memset(out, 'x', sizeof(out));
        CHECK_INT(oip_request_binary(&q, out, room, &head), 0);
        CHECK(out[room] == 'x');
        if (room < need[0])
            CHECK_INT(oip_request_json(&q, out, room), 0);
        if (room < need[2])
            CHECK_INT(tfs_request_rows(&q, out, room), 0);
        if (room < need[3])
            CHECK_INT(tfs_request_columns(&q, out, room), 0);
        CHECK(out[room] == 'x');
    }
    CHECK_INT(oip_request_json(&q, out, need[0]), need[0]);
    CHECK_INT(oip_request_binary(&q, out, need[1], &head), need[1]);
}

int
main(void)
{
    RUN(test_json);
    RUN(test_binary);
    RUN(test_tf_serving);
    RUN(test_what_does_not_fit);
    return check_report();
}
