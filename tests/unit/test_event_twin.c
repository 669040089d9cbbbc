/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder agrees with its oracle, record after record: what it remembers
 * of one must not show in the next.
 */
#include "daemon/base/json.h"
#include "daemon/base/macros.h"

#include "tests/support/check.h"
#include "tests/support/draw_json.h"
#include "tests/support/scalar.h"
#include "tests/support/twin.h"

#include <stdlib.h>

#define RECORD_MAX 8192

static struct twin twin;
static struct event_meta meta;
static struct error err;

/* Reads a record with both, from a block of exactly its size. */
static enum status
decode_bytes(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    enum status st;

    memcpy(copy, bytes, len);
    twin_clear(&twin);
    st = twin_decode(&twin, copy, len, 0, &meta, &err);
    free(copy);
    return st;
}

static enum status
decode(const char *text)
{
    return decode_bytes(text, strlen(text));
}

/* Damages some bytes of a record. */
static size_t
damage(char *buf, size_t len, unsigned *state)
{
    static const char bytes[] = "{}[]\":,\\0e-.u1 ";

    for (size_t n = 1 + *state % 3; n > 0 && len > 0; n--) {
        *state = *state * 1664525u + 1013904223u;
        buf[(*state >> 8) % len] = bytes[(*state >> 4) % (sizeof(bytes) - 1)];
    }
    return (*state >> 28) == 0 ? len / 2 : len;
}

static void
test_decoder_agrees_on_drawn_records(void)
{
    static char buf[RECORD_MAX];
    size_t accepted = 0;
    size_t refused = 0;
    size_t labels = 0;

    twin_open(&twin, 1);
    for (unsigned seed = 0; seed < 20000; seed++) {
        unsigned state = seed;
        size_t len = draw_json(buf, 600, twin_words, twin_word_count, seed);

        if (seed % 2 == 1)
            len = damage(buf, len, &state);
        if (decode_bytes(buf, len) != STATUS_OK) {
            refused++;
            continue;
        }
        accepted++;
        labels += meta.is_label;
    }
    CHECK(accepted > 2000 && refused > 2000 && labels > 200);
    twin_close(&twin);
}

/* The same event cut off at every byte, and with every byte changed. */
static void
test_decoder_agrees_on_every_cut(void)
{
    static const char event[] =
        "{\"u\":{\"id\":\"u\\u00e97\",\"age\":-0.5e1},\"tags\":[\"a|b\",null],"
        "\"schema\":\"distilld.label/1\",\"soft_label\":{\"click\":[1]},"
        "\"source\":{\"partition\":1,\"offset\":2,\"generation\":3},"
        "\"event\":{\"caf\xC3\xA9\":{\"\\\"\":true},\"emb\":[1,2]}}";
    char buf[sizeof(event)];

    twin_open(&twin, 1);
    CHECK_INT(decode(event), STATUS_OK);
    CHECK(meta.is_label);
    for (size_t i = 0; i < sizeof(event) - 1; i++) {
        CHECK_INT(decode_bytes(event, i), STATUS_MALFORMED);
        for (int c = 0; c < 256; c++) {
            memcpy(buf, event, sizeof(event));
            buf[i] = (char)c;
            (void)decode(buf);
        }
    }
    twin_close(&twin);
}

static void
test_decoder_finds_twins_in_records_that_look_like_the_last(void)
{
    static const char *const texts[] = {
        "{\"a\":1,\"b\":2}",
        "{\"a\":1,\"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"a\":1,\"b\":2,\"b\":3}",
        "{\"a\":1}",
        "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "{\"b\":1,\"a\":2,\"c\":3}",
        "{\"b\":1,\"c\":3}",
        "{\"b\":1,\"c\":3,\"c\":3}",
        "{\"b\":1,\"a\":2,\"c\":3,\"c\":3}",
        "{\"u\":{\"a\":1},\"b\":2}",
        "{\"u\":{\"a\":1,\"b\":2},\"b\":3}",
        "{\"u\":{\"a\":1,\"b\":2,\"a\":2},\"b\":3}",
        "{\"u\":[{\"a\":1},{\"a\":1}],\"b\":3}",
        "{\"u\":[{\"a\":1},{\"a\":1},{\"a\":1}],\"u\":3}",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "{ \"a\" : 1 , \"b\" : 2 ,\"a\" : 1 }",
        "{\"\\u0061\":1,\"b\":2}",
        "{\"\\u0061\":1,\"b\":2,\"a\":3}"};
    static const bool is_good[] = {1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0,
                                   0, 1, 1, 0, 1, 0, 1, 0, 1, 0};

    twin_open(&twin, 1);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(texts); i++) {
            for (size_t k = 0; k < COUNT(texts); k++) {
                (void)decode(texts[k]);
                CHECK_INT(decode(texts[i]),
                          is_good[i] ? STATUS_OK : STATUS_MALFORMED);
            }
        }
    }
    twin_close(&twin);
}

/* Keys that are too long to be compared at once, and then no JSON at all. */
static void
test_decoder_remembers_nothing_that_is_no_key(void)
{
    static const char filler[] = {0, 1, ' ', '"', ',', 127, -128, -1};
    char text[64];

    twin_open(&twin, 1);
    for (size_t i = 0; i < sizeof(filler); i++) {
        CHECK_INT(decode("{\"a_key_of_sixteen_or_more_bytes\":1,"
                         "\"\\u0062\":2,\"another_long_key\":3}"),
                  STATUS_OK);
        for (size_t len = 3; len < sizeof(text); len++) {
            memset(text, filler[i], sizeof(text));
            text[0] = '{';
            memcpy(text + len - 2, "1}", 2);
            CHECK_INT(decode_bytes(text, len), STATUS_MALFORMED);
        }
    }
    twin_close(&twin);
}

#define LARGE_BYTES 65536

/* An object of count members, the last key being that of member `last`. */
static size_t
write_members(char *buf, size_t count, size_t last, const char *key)
{
    size_t len = 1;

    buf[0] = '{';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(buf + len, LARGE_BYTES - len, "%s\"%s%zu\":%zu",
                                i > 0 ? "," : "", key, i + 1 < count ? i : last,
                                i);
    buf[len++] = '}';
    return len;
}

static void
test_decoder_finds_twins_in_large_objects(void)
{
    static const char *const keys[] = {"k", "a_key_of_sixteen_or_more_bytes_"};
    static const size_t counts[] = {2, 15, 16, 17, 18, 255, 256, 257, 258, 400};
    static char buf[LARGE_BYTES];

    twin_open(&twin, 1);
    for (size_t round = 0; round < 2; round++) {
        for (size_t n = 0; n < COUNT(counts) * COUNT(keys); n++) {
            const char *key = keys[n % COUNT(keys)];
            size_t count = counts[n / COUNT(keys)];
            size_t len = write_members(buf, count, count - 1, key);
            enum status want = len > 4096 ? STATUS_TOOBIG : STATUS_OK;

            CHECK_INT(decode_bytes(buf, len), want);
            for (size_t last = 0; last + 1 < count; last += 1 + count / 20) {
                len = write_members(buf, count, last, key);
                CHECK_INT(decode_bytes(buf, len), STATUS_MALFORMED);
                CHECK_HAS(err.text, "duplicate key");
            }
        }
    }
    twin_close(&twin);
}

static void
test_decoder_counts_members(void)
{
    static char buf[LARGE_BYTES];
    size_t len;

    twin_open(&twin, 1);
    for (size_t round = 0; round < 2; round++) {
        len = write_members(buf, 1024, 1023, "k");
        CHECK_INT(decode_bytes(buf, len), STATUS_TOOBIG);
        len = write_members(buf, 1025, 1024, "k");
        CHECK_INT(decode_bytes(buf, len), STATUS_MALFORMED);
        CHECK_HAS(err.text, "more than 1024 members");
    }
    twin_close(&twin);
}

static void
test_decoder_reads_numbers_like_the_library(void)
{
    static const char *const mantissas[] = {
        "0",   "1",    "9007199254740991",     "9007199254740992",
        "9.0", "0.1",  "9007199254740993",     "12345678901234567890",
        "1.5", "0.30", "1797693134862315708",  "1844674407370955161.6",
        "7",   "100",  "0.000000000000000001", "4.9406564584124654"};
    char text[128];

    twin_open(&twin, 1);
    for (size_t i = 0; i < COUNT(mantissas); i++) {
        for (int e = -340; e <= 320; e++) {
            (void)snprintf(text, sizeof(text),
                           "{\"dwell\":%se%d,\"emb\":[-%sE%+d,1]}",
                           mantissas[i], e, mantissas[i], e);
            CHECK_INT(decode(text), STATUS_OK);
        }
    }
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(text, sizeof(text), "{\"price\":%u.%05u,\"ts\":%u}",
                       i % 1000, i, i * 31u);
        CHECK_INT(decode(text), STATUS_OK);
    }
    twin_close(&twin);
}

static void
test_feature_id_is_the_library_s_hash(void)
{
    static char value[FEATURE_ID_BYTES_MAX];
    char name[EVENT_NAME_MAX + 1];

    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (char)(i * 37 + 11);
    for (size_t n = 1; n <= EVENT_NAME_MAX; n++) {
        for (size_t i = 0; i < n; i++)
            name[i] = (char)('a' + (i * 7 + n) % 26);
        name[n] = '\0';
        for (size_t len = 0; len <= sizeof(value); len++) {
            char *exact = malloc(len > 0 ? len : 1);

            memcpy(exact, value, len);
            CHECK(feature_id(name, exact, len) == oracle_id(name, exact, len));
            free(exact);
        }
    }
}

static void
check_scalar(const char *text, const char *want)
{
    struct json_limits limits = {.bytes_max = 1 << 16, .depth_max = 8};
    char scratch[SCALAR_TEXT_MAX];
    char got[128] = "(none)";
    struct cJSON *root = NULL;
    const char *value;
    size_t len = strlen(text);

    CHECK_INT(json_parse(&root, text, len, &limits, NULL, &err), STATUS_OK);
    scalar_note_digits(root, text);
    value = scalar_text(json_find(root, "[1].v"), text, scratch, &len);
    if (value != NULL) {
        memcpy(got, value, len);
        got[len] = '\0';
    }
    CHECK_STR(got, want);
    json_free(&root);
}

static void
test_oracle_scalars_are_canonical_and_keep_long_integers(void)
{
    check_scalar("[0,{\"v\":7}]", "7");
    check_scalar("[0,{\"v\":7.0}]", "7");
    check_scalar("[0,{\"v\":70e-1}]", "7");
    check_scalar("[0,{\"v\":-0}]", "0");
    check_scalar("[0,{\"v\":-12}]", "-12");
    check_scalar("[0,{\"v\":\"7\"}]", "7");
    check_scalar("[0,{\"v\":true}]", "true");
    check_scalar("[0,{\"v\":9007199254740991}]", "9007199254740991");
    check_scalar("[0,{\"v\":9007199254740992}]", "9007199254740992");
    check_scalar("[0,{\"v\":9007199254740993}]", "9007199254740993");
    check_scalar("[-12345678901234567890,{\"w\\\"9\":[1,{\"1\":2}],"
                 "\"v\":-12345678901234567891}]",
                 "-12345678901234567891");
    check_scalar("[0,{\"v\":1e3}]", "1000");
    check_scalar("[0,{\"v\":1e20}]", "(none)");
    check_scalar("[0,{\"v\":12345678901234567890.5}]", "(none)");
    check_scalar("[12345678901234567,{\"v\":1e300}]", "(none)");
    check_scalar("[0,{\"v\":1e999}]", "(none)");
    check_scalar("[0,{\"v\":1.5}]", "(none)");
    check_scalar("[0,{\"v\":null}]", "(none)");
    check_scalar("[0,{\"v\":[1]}]", "(none)");
}

int
main(void)
{
    RUN(test_decoder_agrees_on_drawn_records);
    RUN(test_decoder_agrees_on_every_cut);
    RUN(test_decoder_finds_twins_in_records_that_look_like_the_last);
    RUN(test_decoder_remembers_nothing_that_is_no_key);
    RUN(test_decoder_finds_twins_in_large_objects);
    RUN(test_decoder_counts_members);
    RUN(test_decoder_reads_numbers_like_the_library);
    RUN(test_oracle_scalars_are_canonical_and_keep_long_integers);
    RUN(test_feature_id_is_the_library_s_hash);
    return check_report();
}
