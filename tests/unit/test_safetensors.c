/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safetensors plan and its hardened reader: one hostile header for every
 * rule, each with the words that the message owes.
 */
#include "stages/checkpoint/safetensors.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

static struct error err;

/* Parses a header of len bytes, its length in front and data_bytes of zeros
 * behind it. */
static enum status
parse(const char *header, size_t len, size_t data_bytes,
      struct safetensors **out, unsigned char **file)
{
    *file = calloc(1, 8 + len + data_bytes);
    for (size_t i = 0; i < 8; i++)
        (*file)[i] = (unsigned char)((uint64_t)len >> (8 * i));
    memcpy(*file + 8, header, len);
    return safetensors_parse(out, *file, 8 + len + data_bytes, "f", &err);
}

/* Expects that a header is refused with these words. */
static void
check_refused(const char *header, size_t data_bytes, const char *words)
{
    struct safetensors *s = NULL;
    unsigned char *file = NULL;

    error_clear(&err);
    CHECK_INT(parse(header, strlen(header), data_bytes, &s, &file),
              STATUS_BADDATA);
    CHECK(s == NULL);
    CHECK_HAS(err.text, words);
    safetensors_free(&s);
    free(file);
}

static void
check_taken(const char *header, size_t data_bytes, size_t count)
{
    struct safetensors *s = NULL;
    unsigned char *file = NULL;

    error_clear(&err);
    CHECK_INT(parse(header, strlen(header), data_bytes, &s, &file), STATUS_OK);
    CHECK_STR(err.text, "");
    if (s != NULL)
        CHECK_INT(safetensors_count(s), count);
    safetensors_free(&s);
    free(file);
}

#define T(members) "{\"t\":{" members "}}"
#define GOOD       "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

static void
test_reader_takes_what_is_legal(void)
{
    check_taken("{}", 0, 0);
    check_taken(T(GOOD), 8, 1);
    check_taken(T(GOOD) "      ", 8, 1);
    check_taken("{\"__metadata__\":{\"a\":\"1\"},\"t\":{" GOOD "}}", 8, 1);
    check_taken(T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]"), 4,
                1);
    check_taken(T("\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[0,0]"),
                0, 1);
    check_taken("{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]"
                "},\"a/\\u00e9\":{\"dtype\":\"U32\",\"shape\":[1],"
                "\"data_offsets\":[0,4]}}",
                5, 2);
}

static void
test_rules_1_to_3_bound_the_header(void)
{
    static const unsigned char small[7];
    static const unsigned char huge[16] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    static const unsigned char past[10] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    struct safetensors *s = NULL;

    CHECK_INT(safetensors_parse(&s, small, 7, "f", &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "7 bytes");
    CHECK_INT(safetensors_parse(&s, NULL, 0, "f", &err), STATUS_BADDATA);
    CHECK_INT(safetensors_parse(&s, huge, 16, "f", &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "at most");
    CHECK_INT(safetensors_parse(&s, past, 10, "f", &err), STATUS_BADDATA);
    CHECK_HAS(err.text, "only 2 are there");
    CHECK(s == NULL);
}

static void
test_rule_4_wants_a_brace_and_utf8(void)
{
    check_refused("", 0, "begin with {");
    check_refused(" {}", 0, "begin with {");
    check_refused("{\"\xc0\x80\":1}", 0, "not UTF-8 at byte 2");
    check_refused("{\"\xed\xa0\x80\":1}", 0, "not UTF-8");
    check_refused("{\"\xf4\x90\x80\x80\":1}", 0, "not UTF-8");
    check_refused("{\"\xe2\x82", 0, "not UTF-8");
}

static void
test_rule_5_wants_strict_json_without_duplicates(void)
{
    struct safetensors *s = NULL;
    unsigned char *file = NULL;

    check_refused("{", 0, "not JSON");
    check_refused("{\"t\":{" GOOD ",}}", 8, "not JSON");
    check_refused(T(GOOD) "{}", 8, "follows");
    check_refused(T(GOOD) "\n", 8, "follows");
    check_refused(T(GOOD) "}", 8, "unmatched");
    check_refused("{\"t\":{" GOOD "},\"t\":{" GOOD "}}", 8, "twice");
    check_refused("{\"t\":{" GOOD "},\"\\u0074\":{" GOOD "}}", 8, "twice");
    check_refused(T(GOOD ",\"dtype\":\"F32\""), 8, "nothing else");
    check_refused("{\"t\":[[[[]]]]}", 0, "nested too deeply");
    check_refused("{\"a\nb\":1}", 0, "control character");
    check_refused("{\"a\\u0000b\":1}", 0, "NUL");
    check_refused("{\"a", 0, "without an end");
    check_refused("{\"a\\\"}", 0, "without an end");
    check_refused("{\"t\":null}", 0, "only strings and whole numbers");
    CHECK_INT(parse("{\0}", 3, 0, &s, &file), STATUS_BADDATA);
    CHECK_HAS(err.text, "0x00");
    free(file);
}

static void
test_rule_6_wants_strings_in_the_metadata(void)
{
    check_refused("{\"__metadata__\":[]}", 0, "not an object");
    check_refused("{\"__metadata__\":{\"a\":1}}", 0, "not a string");
    check_refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "twice");
    check_refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice");
}

static void
test_rule_7_wants_exact_members(void)
{
    check_refused("{\"t\":[]}", 0, "needs dtype, shape, data_offsets");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[2]"), 8, "needs dtype");
    check_refused(T(GOOD ",\"x\":1"), 8, "nothing else");
    check_refused(T("\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]"), 8,
                  "not a string");
    check_refused(T("\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]"),
                  8, "dtype BF16");
    check_refused(T("\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]"), 8,
                  "not an array");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]"),
                  8, "0x2e");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[2e0],\"data_offsets\":[0,8]"),
                  8, "0x65");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]"),
                  8, "0x2d");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[02],\"data_offsets\":[0,8]"),
                  8, "leading 0");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[99999999999999999],"
                    "\"data_offsets\":[0,8]"),
                  8, "2^53");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[9007199254740993],"
                    "\"data_offsets\":[0,8]"),
                  8, "2^53");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[1,1,2],\"data_offsets\":"
                    "[0,8]"),
                  8, "more than 2 numbers");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]"), 8,
                  "needs 2 numbers");
    check_refused(
        T("\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]"), 8,
        "whole numbers");
}

static void
test_rule_8_refuses_shapes_that_overflow(void)
{
    check_refused(T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
                    "\"data_offsets\":[0,0]"),
                  0, "overflows");
}

static void
test_rules_9_to_11_leave_no_hole_and_no_overlap(void)
{
    check_refused(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"),
                  8, "expected to begin at 0");
    check_refused("{\"a\":{" GOOD "},\"b\":{" GOOD "}}", 8,
                  "expected to begin at 8");
    check_refused("{\"a\":{" GOOD "},\"b\":{\"dtype\":\"U8\",\"shape\":[1],"
                  "\"data_offsets\":[9,10]}}",
                  10, "expected to begin at 8");
    check_refused(T("\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,8]"), 8,
                  "its shape needs 0");
    check_refused("{\"a\":{" GOOD "},\"b\":{\"dtype\":\"U8\",\"shape\":[1],"
                  "\"data_offsets\":[8,7]}}",
                  8, "expected to begin at 8");
    check_refused(T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]"),
                  8, "its shape needs 4");
    check_refused(T(GOOD), 7, "the file's data at 7");
    check_refused(T(GOOD), 9, "the file's data at 9");
}

static void
test_long_names_are_refused(void)
{
    char header[400];
    char name[200];

    memset(name, 'n', sizeof(name));
    name[127] = '\0';
    (void)snprintf(header, sizeof(header), "{\"%s\":{" GOOD "}}", name);
    check_taken(header, 8, 1);
    name[127] = 'n';
    name[128] = '\0';
    (void)snprintf(header, sizeof(header), "{\"%s\":{" GOOD "}}", name);
    check_refused(header, 8, "name of 128 bytes");
}

/* Writes values through a plan, reads them back from a file. */
static void
test_planned_file_reads_back(void)
{
    static const struct tensor tensors[] = {
        {.name = "b", .type = TENSOR_U8, .rank = 1, .shape = {3}},
        {.name = "user/embedding",
         .type = TENSOR_F32,
         .rank = 2,
         .shape = {2, 3}},
        {.name = "quote\"\\", .type = TENSOR_U64, .rank = 1, .shape = {1}},
        {.name = "empty", .type = TENSOR_I64, .rank = 1, .shape = {0}},
    };
    static const struct safetensors_pair meta[] = {{"z", "last"},
                                                   {"format", "distilld"}};
    static const char *const data[] = {"xyz", "abcdefghijklmnopqrstuvwx",
                                       "12345678", ""};
    char path[] = "/tmp/distilld-safetensors-XXXXXX";
    struct safetensors_plan *plan = NULL;
    struct safetensors *s = NULL;
    int fd = mkstemp(path);

    CHECK_INT(safetensors_plan_new(&plan, tensors, 4, meta, 2, &err),
              STATUS_OK);
    CHECK_INT(plan->header_bytes % 8, 0);
    CHECK_INT(plan->file_bytes, plan->header_bytes + 35);
    CHECK_HAS(plan->header + 8,
              "{\"__metadata__\":{\"format\":\"distilld\",\"z\":\"last\"},"
              "\"empty\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":"
              "[0,0]},\"quote\\\"\\\\\":");
    CHECK_INT(plan->offsets[0], plan->header_bytes + 32);
    CHECK_INT(plan->offsets[2], plan->header_bytes);
    CHECK(pwrite(fd, plan->header, plan->header_bytes, 0) > 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(pwrite(fd, data[i], strlen(data[i]), (off_t)plan->offsets[i]) ==
              (ssize_t)strlen(data[i]));
    CHECK_INT(safetensors_open(&s, path, &err), STATUS_OK);
    for (size_t i = 0; s != NULL && i < 4; i++) {
        const struct tensor *t = safetensors_find(s, tensors[i].name);

        CHECK(t != NULL && memcmp(t->data, data[i], strlen(data[i])) == 0);
        CHECK(t != NULL && t->type == tensors[i].type);
        CHECK(t != NULL && t->shape[0] == tensors[i].shape[0]);
    }
    if (s != NULL) {
        CHECK_STR(safetensors_meta(s, "format"), "distilld");
        CHECK(safetensors_meta(s, "none") == NULL);
        CHECK(safetensors_find(s, "none") == NULL);
    }
    safetensors_free(&s);
    safetensors_plan_free(&plan);
    (void)close(fd);
    (void)unlink(path);
}

static void
test_plan_does_not_depend_on_the_order_given(void)
{
    struct tensor tensors[] = {
        {.name = "a", .type = TENSOR_F32, .rank = 1, .shape = {3}},
        {.name = "b", .type = TENSOR_F64, .rank = 1, .shape = {1}},
    };
    struct tensor turned[] = {tensors[1], tensors[0]};
    struct safetensors_plan *one = NULL;
    struct safetensors_plan *two = NULL;

    CHECK_INT(safetensors_plan_new(&one, tensors, 2, NULL, 0, &err), STATUS_OK);
    CHECK_INT(safetensors_plan_new(&two, turned, 2, NULL, 0, &err), STATUS_OK);
    CHECK_INT(one->header_bytes, two->header_bytes);
    CHECK(memcmp(one->header, two->header, one->header_bytes) == 0);
    CHECK_INT(one->offsets[0], two->offsets[1]);
    safetensors_plan_free(&one);
    safetensors_plan_free(&two);
    turned[0] = tensors[0];
    CHECK_INT(safetensors_plan_new(&one, turned, 2, NULL, 0, &err),
              STATUS_CONFIG);
    CHECK_HAS(err.text, "\"a\"");
}

static void
test_missing_file_is_named(void)
{
    struct safetensors *s = NULL;

    CHECK_INT(safetensors_open(&s, "/nonexistent/x", &err), STATUS_NOTFOUND);
    CHECK_HAS(err.text, "/nonexistent/x");
    CHECK_INT(safetensors_open(&s, "/dev/null", &err), STATUS_NOTFOUND);
}

int
main(void)
{
    RUN(test_reader_takes_what_is_legal);
    RUN(test_rules_1_to_3_bound_the_header);
    RUN(test_rule_4_wants_a_brace_and_utf8);
    RUN(test_rule_5_wants_strict_json_without_duplicates);
    RUN(test_rule_6_wants_strings_in_the_metadata);
    RUN(test_rule_7_wants_exact_members);
    RUN(test_rule_8_refuses_shapes_that_overflow);
    RUN(test_rules_9_to_11_leave_no_hole_and_no_overlap);
    RUN(test_long_names_are_refused);
    RUN(test_planned_file_reads_back);
    RUN(test_plan_does_not_depend_on_the_order_given);
    RUN(test_missing_file_is_named);
    return check_report();
}
