/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers from logits: what a client reads of them, in JSON and in bytes.
 */
#include "stages/oip/datatype.h"
#include "stages/serve/response.h"

#include "daemon/base/json.h"
#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

/* Logits a row: 1 binary, 3 of classes, 1 regression. */
#define LOGITS 5
#define ROWS   3

static struct version_output outputs[] = {
    {"click", OUTPUT_PROBABILITY, TASK_BINARY, 0, 1},
    {"click_logit", OUTPUT_LOGIT, TASK_BINARY, 0, 1},
    {"mood", OUTPUT_PROBABILITY, TASK_CLASS, 1, 3},
    {"mood_logit", OUTPUT_LOGIT, TASK_CLASS, 1, 3},
    {"stars", OUTPUT_VALUE, TASK_REGRESSION, 4, 1},
};
static const char *names[COUNT(outputs)];
static float logits[ROWS * LOGITS] = {
    9,    9,   9,    9, 9,     /* of another request */
    0,    1,   2,    3, -2.5F, /* */
    -200, 500, -500, 0, 1e30F  /* */
};
static struct version version = {
    .number = 42,
    .number_text = "42",
    .outputs = outputs,
    .output_names = names,
    .output_count = COUNT(outputs),
    .logit_count = LOGITS,
    .logits = logits,
};
static struct request request;
static struct bytes answer;
static struct cJSON *root;
static size_t json_len;
static struct error err;

static void
ask(bool is_binary)
{
    static const char id[] = "\"a\\\"\\u00e9\"";
    static const struct json_limits limits = {.bytes_max = 1 << 16,
                                              .depth_max = 8};

    request = (struct request){.id = id + 1,
                               .id_len = sizeof(id) - 3,
                               .row_first = 1,
                               .row_count = 2,
                               .output_count = COUNT(outputs)};
    for (size_t i = 0; i < COUNT(outputs); i++)
        request.outputs[i] = (struct request_output){i, is_binary};
    bytes_init(&answer, 1 << 16);
    CHECK_INT(response_write(&answer, &json_len, "m", &version, &request, &err),
              STATUS_OK);
    CHECK_INT(json_parse(&root, answer.data, json_len, &limits, NULL, &err),
              STATUS_OK);
}

static void
forget(void)
{
    json_free(&root);
    bytes_fini(&answer);
}

static double
number(const char *path)
{
    double value = -12345;

    CHECK(json_number(json_find(root, path), &value));
    return value;
}

static void
test_answers_in_json(void)
{
    ask(false);
    CHECK_INT(json_len, answer.used);
    CHECK_STR(json_string(json_find(root, "model_name")), "m");
    CHECK_STR(json_string(json_find(root, "model_version")), "42");
    CHECK_STR(json_string(json_find(root, "id")), "a\"\xC3\xA9");
    CHECK_INT(json_count(json_find(root, "outputs")), COUNT(outputs));
    CHECK_STR(json_string(json_find(root, "outputs[2].name")), "mood");
    CHECK_STR(json_string(json_find(root, "outputs[2].datatype")), "FP32");
    CHECK_INT(number("outputs[2].shape[0]"), 2);
    CHECK_INT(number("outputs[2].shape[1]"), 3);
    CHECK_NEAR(number("outputs[0].data[0]"), 0.5, 0);
    CHECK_NEAR(number("outputs[0].data[1]"), 0, 1e-30);
    CHECK_NEAR(number("outputs[1].data[1]"), -200, 0);
    CHECK_NEAR(number("outputs[2].data[2]"), 0.66524096, 1e-7);
    CHECK_NEAR(number("outputs[2].data[3]"), 1, 0);
    CHECK_NEAR(number("outputs[2].data[4]"), 0, 0);
    CHECK_NEAR(number("outputs[3].data[5]"), 0, 0);
    CHECK_NEAR(number("outputs[4].data[0]"), -2.5, 0);
    CHECK_NEAR(number("outputs[4].data[1]"), 1e30, 1e23);
    forget();
}

static void
test_answers_in_bytes(void)
{
    const char *at;
    size_t bytes = 0;

    ask(true);
    for (size_t i = 0; i < COUNT(outputs); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path),
                       "outputs[%zu].parameters.binary_data_size", i);
        CHECK_INT(number(path), 2 * 4 * outputs[i].width);
        bytes += 2 * 4 * outputs[i].width;
    }
    CHECK_INT(answer.used, json_len + bytes);
    at = answer.data + json_len;
    CHECK_NEAR(oip_number_read(OIP_FP32, at), 0.5, 0);
    CHECK_NEAR(oip_number_read(OIP_FP32, at + 12), -200, 0);
    CHECK_NEAR(oip_number_read(OIP_FP32, at + 16 + 8), 0.66524096, 1e-7);
    CHECK_NEAR(oip_number_read(OIP_FP32, answer.data + answer.used - 8), -2.5,
               0);
    forget();
}

static void
test_what_is_not_finite_is_no_answer(void)
{
    for (int is_binary = 0; is_binary < 2; is_binary++) {
        ask(is_binary);
        logits[1 * LOGITS + 4] = INFINITY;
        bytes_clear(&answer);
        CHECK_INT(
            response_write(&answer, &json_len, "m", &version, &request, &err),
            STATUS_INTERNAL);
        CHECK_HAS(err.text, "not finite");
        logits[1 * LOGITS + 4] = -2.5F;
        /* Nor is a probability that would be a number all the same. */
        logits[1 * LOGITS] = NAN;
        request.output_count = 1;
        bytes_clear(&answer);
        CHECK_INT(
            response_write(&answer, &json_len, "m", &version, &request, &err),
            STATUS_INTERNAL);
        logits[1 * LOGITS] = 0;
        forget();
    }
}

static void
test_room_is_bounded(void)
{
    static const char error[] = "{\"error\":\"a \\\"b\\\"\\n\"}";

    ask(false);
    bytes_fini(&answer);
    bytes_init(&answer, 100);
    CHECK_INT(response_write(&answer, &json_len, "m", &version, &request, &err),
              STATUS_TOOBIG);
    bytes_clear(&answer);
    CHECK_INT(response_write_error(&answer, "a \"b\"\n", &err), STATUS_OK);
    CHECK_INT(answer.used, sizeof(error) - 1);
    CHECK(memcmp(answer.data, error, sizeof(error) - 1) == 0);
    forget();
}

int
main(void)
{
    for (size_t i = 0; i < COUNT(outputs); i++)
        names[i] = outputs[i].name;
    RUN(test_answers_in_json);
    RUN(test_answers_in_bytes);
    RUN(test_what_is_not_finite_is_no_answer);
    RUN(test_room_is_bounded);
    return check_report();
}
