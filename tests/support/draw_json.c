/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawn top down from the grammar of RFC 8259.
 */
#include "tests/support/draw_json.h"

#include "daemon/base/macros.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct draw {
    char *buf;
    size_t used;
    size_t size_max;
    const char *const *words;
    size_t word_count;
    uint64_t state;
};

/* splitmix64; below n. */
static size_t
pick(struct draw *d, size_t n)
{
    uint64_t z = (d->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ (z >> 31)) % n);
}

static void
put(struct draw *d, const char *text)
{
    size_t len = strlen(text);

    if (len > d->size_max - d->used)
        len = d->size_max - d->used;
    memcpy(d->buf + d->used, text, len);
    d->used += len;
}

static void
put_space(struct draw *d)
{
    static const char *const spaces[] = {" ", "\n", "\t", "\r\n", "  "};

    if (pick(d, 12) == 0)
        put(d, spaces[pick(d, COUNT(spaces))]);
}

/* One byte of a string, ASCII perhaps as an escape. */
static void
put_byte(struct draw *d, char c)
{
    char text[8] = {c, '\0'};

    if (c == '"' || c == '\\')
        (void)snprintf(text, sizeof(text), "\\%c", c);
    if ((unsigned char)c < 0x80 && pick(d, 40) == 0)
        (void)snprintf(text, sizeof(text), "\\u%04x", (unsigned)c);
    put(d, text);
}

static void
put_string(struct draw *d)
{
    static const char *const odd[] = {"\\n",      "\\/",
                                      "\xC3\xA9", "\xF0\x9F\x98\x80",
                                      "\\u00e9",  "\\uD83D\\uDE00",
                                      "\\ud800",  "\\u0000",
                                      "\x01",     "\xFF",
                                      "|",        "0123456789abcdef"};
    const char *word = d->words[pick(d, d->word_count)];

    put(d, "\"");
    if (pick(d, 30) > 0) {
        for (const char *c = word; *c != '\0'; c++)
            put_byte(d, *c);
    }
    for (size_t n = pick(d, 8) == 0 ? 1 + pick(d, 20) : 0; n > 0; n--)
        put(d, pick(d, 20) == 0 ? odd[pick(d, COUNT(odd))] : "x|");
    put(d, "\"");
}

static void
put_digits(struct draw *d)
{
    size_t n = pick(d, 6) == 0 ? 1 + pick(d, 25) : 1 + pick(d, 4);

    for (; n > 0; n--) {
        char digit[2] = {(char)('0' + pick(d, 10)), '\0'};

        put(d, digit);
    }
}

static void
put_number(struct draw *d)
{
    static const char *const some[] = {"0",
                                       "1",
                                       "-0",
                                       "0.5",
                                       "1e999",
                                       "1e39",
                                       "3.5",
                                       "1e-400",
                                       "0e99999",
                                       "2",
                                       "1363245118",
                                       "9007199254740991",
                                       "9007199254740992",
                                       "-9007199254740993",
                                       "9007199254740993.0",
                                       "123456789012345678901234567890",
                                       "70e-1",
                                       "1.0",
                                       "2.2250738585072011e-308",
                                       "1e22",
                                       "1e23"};

    if (pick(d, 2) == 0) {
        put(d, some[pick(d, COUNT(some))]);
        return;
    }
    put(d, pick(d, 4) == 0 ? "-" : "");
    put(d, pick(d, 3) == 0 ? "0." : "");
    put_digits(d);
    if (pick(d, 4) == 0) {
        put(d, ".");
        put_digits(d);
    }
    if (pick(d, 6) == 0) {
        static const char *const signs[] = {"e", "E-", "e+", "E"};

        put(d, signs[pick(d, COUNT(signs))]);
        put_digits(d);
    }
}

static void put_value(struct draw *d, size_t depth);

static void
put_members(struct draw *d, size_t depth)
{
    size_t count = pick(d, 100) == 0 ? pick(d, 40) : pick(d, 6);

    for (size_t i = 0; i < count; i++) {
        put(d, i > 0 ? "," : "");
        put_space(d);
        put_string(d);
        put_space(d);
        put(d, ":");
        put_value(d, depth + 1);
        put_space(d);
    }
}

static void
put_list(struct draw *d, size_t depth)
{
    put(d, "[");
    for (size_t n = pick(d, 5); n > 0; n--) {
        put_value(d, depth + 1);
        put(d, n > 1 ? "," : "");
    }
    put(d, "]");
}

static void
put_value(struct draw *d, size_t depth)
{
    static const char *const names[] = {"true", "false", "null", "nul"};

    put_space(d);
    switch (pick(d, depth < 5 ? 10 : 6)) {
    case 0:
    case 1:
        put_string(d);
        break;
    case 2:
    case 3:
    case 4:
        put_number(d);
        break;
    case 5:
        put(d, names[pick(d, 60) == 0 ? 3 : pick(d, 3)]);
        break;
    case 6:
    case 7:
        put_list(d, depth);
        break;
    default:
        put(d, "{");
        put_members(d, depth);
        put(d, "}");
    }
    put_space(d);
}

/* The members of a label record in any order. */
static void
put_frame(struct draw *d)
{
    static const char *const parts[] = {
        "\"schema\":\"distilld.label/1\"",
        "\"source\":{\"generation\":1,\"partition\":0,\"offset\":7",
        "\"soft_label\":{\"click\":[0.5],\"kind\":[1,2],\"", "\"event\":{"};
    size_t first = pick(d, COUNT(parts));

    for (size_t i = 0; i < COUNT(parts); i++) {
        size_t part = (first + i) % COUNT(parts);

        put(d, i > 0 ? "," : "");
        put(d, parts[part]);
        if (part == 2) {
            put(d, d->words[pick(d, d->word_count)]);
            put(d, "\":");
            put_value(d, 3);
        }
        if (part == 3)
            put_members(d, 1);
        put(d, part >= 1 ? "}" : "");
    }
    if (pick(d, 2) == 0) {
        put(d, ",");
        put_string(d);
        put(d, ":");
        put_value(d, 3);
    }
}

size_t
draw_json(char *buf, size_t size_max, const char *const *words,
          size_t word_count, unsigned seed)
{
    struct draw d = {.buf = buf,
                     .size_max = size_max,
                     .words = words,
                     .word_count = word_count,
                     .state = seed};

    put_space(&d);
    put(&d, "{");
    if (pick(&d, 4) == 0)
        put_frame(&d);
    else
        put_members(&d, 0);
    put(&d, "}");
    put_space(&d);
    return d.used;
}
