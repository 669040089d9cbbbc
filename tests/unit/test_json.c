/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is JSON and what is not, lookups, paths, and the writer.
 */
#include "daemon/base/json.h"
#include "daemon/base/json_path.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/macros.h"
#include "daemon/base/text.h"

#include "tests/support/check.h"

#include <stdlib.h>

static const struct json_limits limits = {.bytes_max = 1 << 20,
                                          .depth_max = 32};

/* Copies into a block of exactly this size, so that ASan sees every byte read
 * too far. */
static char *
exact_copy(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    memcpy(copy, bytes, len);
    return copy;
}

static enum status
parse_bytes(const char *bytes, size_t len, struct error *err)
{
    char *copy = exact_copy(bytes, len);
    struct cJSON *root = NULL;
    enum status st = json_parse(&root, copy, len, &limits, NULL, err);

    CHECK((root != NULL) == (st == STATUS_OK));
    json_free(&root);
    free(copy);
    return st;
}

static void
test_json_accepts_what_rfc_8259_accepts(void)
{
    static const char *const good[] = {
        "{}",
        "[]",
        " \t\r\n{ \"a\" : [ 1 , -0.5e+3 , \"x\" , true , false , null ] } ",
        "0",
        "-0",
        "1E5",
        "12345678901234567890",
        "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
        "\"\\uD83D\\uDE00 \xF0\x9F\x98\x80\"",
        "{\"\":1}",
        "{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
    };
    struct error err;

    for (size_t i = 0; i < COUNT(good); i++) {
        CHECK_INT(parse_bytes(good[i], strlen(good[i]), &err), STATUS_OK);
        if (check_failed_now)
            (void)printf("  for %s: %s\n", good[i], err.text);
    }
}

static void
test_json_refuses_what_is_not_json_and_says_where(void)
{
    static const struct {
        const char *text;
        const char *reason;
    } bad[] = {
        {"", "empty"},
        {"  \n", "empty"},
        {"\xEF\xBB\xBF{}", "byte order mark"},
        {"{", "byte 1: expected a key"},
        {"{\"a\"", "byte 4: expected :"},
        {"{\"a\":", "byte 5: text ends"},
        {"{\"a\":1", "byte 6: object without an end"},
        {"{\"a\":1,}", "byte 7: expected a key"},
        {"{a:1}", "byte 1: expected a key"},
        {"{'a':1}", "byte 1: expected a key"},
        {"{\"a\":1}}", "byte 7: more after"},
        {"{} {}", "byte 3: more after"},
        {"[1,]", "byte 3: expected a value"},
        {"[1 2]", "byte 3: expected , or ]"},
        {"[1", "byte 2: list without an end"},
        {"[NaN]", "byte 1: expected a value"},
        {"[nan]", "byte 1: unknown word"},
        {"[Infinity]", "byte 1: expected a value"},
        {"[-Infinity]", "byte 1: bad number"},
        {"[tru]", "byte 1: unknown word"},
        {"[01]", "byte 1: bad number"},
        {"[+1]", "byte 1: expected a value"},
        {"[1.]", "byte 1: bad number"},
        {"[.5]", "byte 1: expected a value"},
        {"[1e]", "byte 1: bad number"},
        {"[0x10]", "byte 2: expected , or ]"},
        {"[/*c*/1]", "byte 1: expected a value"},
        {"\"abc", "string without an end"},
        {"\"abc\\", "string without an end"},
        {"\"a\nb\"", "byte 2: raw control"},
        {"\"\\x\"", "byte 1: unknown escape"},
        {"\"\\u12G4\"", "byte 1: \\u without four"},
        {"\"\\u12", "byte 1: \\u without four"},
        {"\"\\u0000\"", "byte 1: \\u0000"},
        {"\"\\uDC00\"", "byte 1: lone surrogate"},
        {"\"\\uD800\"", "byte 1: lone surrogate"},
        {"\"\\uD800\\u0041\"", "byte 1: lone surrogate"},
        {"\"\x80\"", "byte 1: bad UTF-8"},
        {"\"\xC0\xAF\"", "byte 1: bad UTF-8"},
        {"\"\xED\xA0\x80\"", "byte 1: bad UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "byte 1: bad UTF-8"},
        {"\"\xC3\"", "byte 1: bad UTF-8"},
        {"{\"a\":1,\"a\":2}", "duplicate key \"a\" in the object at the top"},
        {"{\"a\":1,\"\\u0061\":2}", "duplicate key \"a\""},
        {"{\"x\":[{\"y\":{\"k\":1,\"z\":2,\"k\":3}}]}",
         "duplicate key \"k\" in the object at x > y"},
        {"[1111111111222222222233333333334444444444555555555566666666667777]",
         "byte 1: number of more than 63"},
    };
    struct error err;

    for (size_t i = 0; i < COUNT(bad); i++) {
        enum status st = parse_bytes(bad[i].text, strlen(bad[i].text), &err);

        CHECK_INT(st, STATUS_MALFORMED);
        if (st == STATUS_OK)
            (void)printf("  accepted: %s\n", bad[i].text);
        else
            CHECK_HAS(err.text, bad[i].reason);
    }
}

static void
test_json_refuses_a_raw_nul(void)
{
    struct error err;

    CHECK_INT(parse_bytes("{\"a\":\"b\0c\"}", 11, &err), STATUS_MALFORMED);
    CHECK_INT(parse_bytes("{}\0", 3, &err), STATUS_MALFORMED);
}

static void
test_json_limits_nesting_members_and_bytes(void)
{
    static char text[200000];
    struct error err;
    size_t len = 0;

    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    CHECK_INT(parse_bytes(text, 66, &err), STATUS_MALFORMED);
    CHECK_HAS(err.text, "byte 32: nested too deeply");
    CHECK_INT(parse_bytes(text + 1, 64, &err), STATUS_OK);
    memset(text, '[', sizeof(text));
    CHECK_INT(parse_bytes(text, sizeof(text), &err), STATUS_MALFORMED);
    for (int i = 0; i < 1025; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"%d\":0",
                                i == 0 ? "{" : ",", i);
    text[len++] = '}';
    CHECK_INT(parse_bytes(text, len, &err), STATUS_MALFORMED);
    CHECK_HAS(err.text, "more than 1024 members");
    CHECK_INT(json_check("[1234]", 6, &(struct json_limits){.bytes_max = 5},
                         NULL, &err),
              STATUS_TOOBIG);
    CHECK_HAS(err.text, "6 bytes, at most 5");
}

static void
test_json_finds_by_path(void)
{
    static const char text[] = "{\"a\":{\"b\":[10,{\"c d\":\"x\"},true]},"
                               "\"q\\\"\":1.5,\"n\":null}";
    struct cJSON *root = NULL;
    struct error err;
    double number = 0;
    int64_t integer = 0;
    bool flag = false;

    CHECK_INT(json_parse(&root, text, strlen(text), &limits, NULL, &err),
              STATUS_OK);
    CHECK(json_integer(json_find(root, "a.b[0]"), &integer) && integer == 10);
    CHECK_STR(json_string(json_find(root, "a.b[1].\"c d\"")), "x");
    CHECK(json_boolean(json_find(root, "a.b[2]"), &flag) && flag);
    CHECK(json_number(json_find(root, "\"q\\\"\""), &number) && number == 1.5);
    CHECK(!json_integer(json_find(root, "\"q\\\"\""), &integer));
    CHECK(json_is_null(json_find(root, "n")));
    CHECK(json_find(root, "a.b[3]") == NULL);
    CHECK(json_find(root, "a.x.y") == NULL);
    CHECK(json_find(root, "a.b[]") == NULL);
    CHECK(json_find(root, "a..b") == NULL);
    CHECK(json_string(json_find(root, "a")) == NULL);
    CHECK_INT(json_count(json_find(root, "a.b")), 3);
    CHECK_STR(json_key(json_next(json_first(root))), "q\"");
    json_free(&root);
    CHECK(root == NULL);
}

static void
test_json_path_names_the_wrong_character(void)
{
    static const struct {
        const char *text;
        const char *reason;
    } bad[] = {
        {"", "expected a key at character 1"},
        {"a.", "expected a key at character 3"},
        {".a", "expected a key at character 1"},
        {"a b", "expected . or [ at character 2"},
        {"a[x]", "expected a number below 1000000 and ] at character 3"},
        {"a[1", "at character 4"},
        {"a[1]b", "expected . or [ at character 5"},
        {"\"a", "quote without an end"},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", "more than 16 steps"},
    };
    char longer[300];
    struct json_path path;
    struct error err;

    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_INT(json_path_parse(&path, bad[i].text, &err), STATUS_CONFIG);
        CHECK_HAS(err.text, bad[i].reason);
    }
    memset(longer, 'k', sizeof(longer));
    longer[299] = '\0';
    CHECK_INT(json_path_parse(&path, longer, &err), STATUS_CONFIG);
    CHECK_INT(json_path_parse(&path, "items[].id[12].\"a.\\\\\"", &err),
              STATUS_OK);
    CHECK_INT(path.count, 5);
    CHECK_INT(path.steps[1].kind, JSON_STEP_EACH);
    CHECK_INT(path.steps[3].index, 12);
    CHECK_STR(json_path_key(&path, 4), "a.\\");
}

static void
test_json_a_long_number_alone_reads_nothing_behind_it(void)
{
    struct error err;

    CHECK_INT(parse_bytes("12345678901234567890", 20, &err), STATUS_OK);
}

static void
put_sample(struct json_writer *w)
{
    json_open_object(w);
    json_put_key(w, "k\"");
    json_open_array(w);
    json_put_int(w, -7);
    json_put_uint(w, UINT64_MAX);
    json_put_float(w, 0.1f);
    json_put_double(w, 0.1);
    json_put_float(w, NAN);
    json_put_bool(w, true);
    json_put_null(w);
    json_open_object(w);
    json_close_object(w);
    json_close_array(w);
    json_put_key(w, "s");
    json_put_text(w, "a\n\x01\x0b\"\\\xC3\xA9", 8);
    json_put_key(w, "b");
    json_put_base64(w, "\xFF\x00\x10", 3);
    json_put_key(w, "r");
    json_put_raw(w, "[1]", 3);
    json_close_object(w);
}

static void
test_json_writer_writes_compact_and_indented(void)
{
    static const char compact[] =
        "{\"k\\\"\":[-7,18446744073709551615,0.100000001,"
        "0.10000000000000001,null,true,null,{}],"
        "\"s\":\"a\\n\\u0001\\u000b\\\"\\\\\xC3\xA9\",\"b\":\"/wAQ\","
        "\"r\":[1]}";
    char buf[512];
    struct json_writer w;
    struct error err;

    json_writer_init(&w, buf, sizeof(buf) - 1, 0);
    put_sample(&w);
    CHECK(!w.is_full);
    buf[w.len] = '\0';
    CHECK_STR(buf, compact);
    json_writer_init(&w, buf, sizeof(buf) - 1, 2);
    put_sample(&w);
    buf[w.len] = '\0';
    CHECK_HAS(buf, "{\n  \"k\\\"\": [\n    -7,\n");
    CHECK_HAS(buf, "\n  \"r\": [1]\n}");
    CHECK_INT(parse_bytes(buf, w.len, &err), STATUS_OK);
}

static void
test_json_writer_never_writes_past_its_buffer(void)
{
    char whole[512];
    struct json_writer w;
    size_t need;

    json_writer_init(&w, whole, sizeof(whole), 0);
    put_sample(&w);
    need = w.len;
    for (size_t capacity = 0; capacity <= need; capacity++) {
        char *buf = malloc(capacity + 1);

        buf[capacity] = '#';
        json_writer_init(&w, buf, capacity, 0);
        put_sample(&w);
        CHECK(w.is_full == (capacity < need));
        CHECK(w.len <= capacity && buf[capacity] == '#');
        free(buf);
    }
}

static void
test_text_knows_utf8_and_encodings(void)
{
    char out[16];

    CHECK_INT(text_utf8_prefix("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10),
              10);
    CHECK_INT(text_utf8_prefix("ab\xE2\x82", 4), 2);
    CHECK_INT(text_utf8_prefix("\xF5\x80\x80\x80", 4), 0);
    CHECK_INT(text_utf8_prefix("\xE0\x9F\xBF", 3), 0);
    CHECK_INT(text_utf8_prefix("\xF0\x8F\xBF\xBF", 4), 0);
    CHECK_INT(text_base64(out, "fooba", 5), 8);
    CHECK(memcmp(out, "Zm9vYmE=", 8) == 0);
    CHECK_INT(text_base64(out, "foob", 4), 8);
    CHECK(memcmp(out, "Zm9vYg==", 8) == 0);
    text_hex(out, "\x00\xAB\xFF", 3);
    CHECK_STR(out, "00abff");
}

int
main(void)
{
    RUN(test_json_accepts_what_rfc_8259_accepts);
    RUN(test_json_refuses_what_is_not_json_and_says_where);
    RUN(test_json_refuses_a_raw_nul);
    RUN(test_json_limits_nesting_members_and_bytes);
    RUN(test_json_finds_by_path);
    RUN(test_json_path_names_the_wrong_character);
    RUN(test_json_a_long_number_alone_reads_nothing_behind_it);
    RUN(test_json_writer_writes_compact_and_indented);
    RUN(test_json_writer_never_writes_past_its_buffer);
    RUN(test_text_knows_utf8_and_encodings);
    return check_report();
}
