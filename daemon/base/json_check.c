/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner that decides what is JSON: one pass, no copy, no tree.
 */
#include "daemon/base/json.h"
#include "daemon/base/text.h"

#include <assert.h>
#include <string.h>

struct scan {
    const char *start;
    const char *at;
    const char *end;
    size_t depth_max;
    struct json_facts facts;
    const char *problem; /* NULL while all is well; the place is `at` */
};

/* Bytes that end the fast run through a string: controls, quote, backslash,
 * and everything outside of ASCII. */
static bool
is_plain(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static bool
fail(struct scan *s, const char *problem)
{
    s->problem = problem;
    return false;
}

static void
skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' ||
                              *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Reads the four digits of \uXXXX, `at` on the u; -1 where they are not. */
static int
read_unit(const struct scan *s, const char *at)
{
    int unit = 0;

    if (s->end - at < 5)
        return -1;
    for (int i = 1; i <= 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* `at` is on the backslash. */
static bool
check_escape(struct scan *s)
{
    const char *at = s->at + 1;
    int unit;

    if (at == s->end)
        return fail(s, "string without an end");
    if (*at != 'u') {
        if (memchr("\"\\/bfnrt", *at, 8) == NULL)
            return fail(s, "unknown escape");
        s->at += 2;
        return true;
    }
    unit = read_unit(s, at);
    if (unit < 0)
        return fail(s, "\\u without four hexadecimal digits");
    if (unit == 0)
        return fail(s, "\\u0000, which is not accepted");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return fail(s, "lone surrogate");
    s->at += 6;
    if (unit < 0xD800 || unit > 0xDBFF)
        return true;
    unit = -1;
    if (s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u')
        unit = read_unit(s, s->at + 1);
    if (unit < 0xDC00 || unit > 0xDFFF) {
        s->at -= 6;
        return fail(s, "lone surrogate");
    }
    s->at += 6;
    return true;
}

/* `at` is on the opening quote. */
static bool
check_string(struct scan *s)
{
    s->at++;
    for (;;) {
        size_t step;

        while (s->at < s->end && is_plain(*s->at))
            s->at++;
        if (s->at == s->end)
            return fail(s, "string without an end");
        if (*s->at == '"') {
            s->at++;
            return true;
        }
        if (*s->at == '\\') {
            if (!check_escape(s))
                return false;
            continue;
        }
        if ((unsigned char)*s->at < 0x20)
            return fail(s, "raw control character in a string");
        step = text_utf8_step(s->at, (size_t)(s->end - s->at));
        if (step == 0)
            return fail(s, "bad UTF-8");
        s->at += step;
    }
}

static const char *
skip_digits(const struct scan *s, const char *at)
{
    while (at < s->end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static bool
check_number(struct scan *s)
{
    const char *at = s->at + (*s->at == '-');
    const char *digits = at;

    at = skip_digits(s, at);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return fail(s, "bad number");
    if (at < s->end && *at == '.') {
        digits = at + 1;
        at = skip_digits(s, digits);
        if (at == digits)
            return fail(s, "bad number");
    }
    if (at < s->end && (*at == 'e' || *at == 'E')) {
        digits = at + 1;
        if (digits < s->end && (*digits == '+' || *digits == '-'))
            digits++;
        at = skip_digits(s, digits);
        if (at == digits)
            return fail(s, "bad number");
    }
    if (at - s->at > JSON_NUMBER_MAX)
        return fail(s, "number of more than 63 characters");
    s->at = at;
    return true;
}

static bool
check_word(struct scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, "unknown word, expected true, false or null");
    s->at += len;
    return true;
}

static bool check_value(struct scan *s, size_t depth);

/* One member's key and colon; `at` is on the quote. */
static bool
check_key(struct scan *s)
{
    if (s->at == s->end || *s->at != '"')
        return fail(s, "expected a key in quotes");
    if (!check_string(s))
        return false;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return fail(s, "expected :");
    s->at++;
    return true;
}

/* An object or a list; `at` is on its bracket. depth counts it. */
static bool
check_nested(struct scan *s, size_t depth)
{
    bool is_object = *s->at == '{';
    char close = is_object ? '}' : ']';

    if (depth > s->depth_max)
        return fail(s, "nested too deeply");
    if (depth > s->facts.depth)
        s->facts.depth = depth;
    s->at++;
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return true;
    }
    for (;;) {
        skip_space(s);
        if (is_object && !check_key(s))
            return false;
        if (!check_value(s, depth))
            return false;
        skip_space(s);
        if (s->at == s->end)
            return fail(s, is_object ? "object without an end"
                                     : "list without an end");
        if (*s->at == close) {
            s->at++;
            return true;
        }
        if (*s->at != ',')
            return fail(s, is_object ? "expected , or }" : "expected , or ]");
        s->at++;
    }
}

static bool
check_value(struct scan *s, size_t depth)
{
    skip_space(s);
    if (s->at == s->end)
        return fail(s, "text ends where a value is expected");
    switch (*s->at) {
    case '{':
    case '[':
        return check_nested(s, depth + 1);
    case '"':
        return check_string(s);
    case 't':
        return check_word(s, "true", 4);
    case 'f':
        return check_word(s, "false", 5);
    case 'n':
        return check_word(s, "null", 4);
    default:
        if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))
            return check_number(s);
        return fail(s, "expected a value");
    }
}

enum status
json_check(const char *bytes, size_t len, const struct json_limits *limits,
           struct json_facts *facts, struct error *err)
{
    struct scan s = {.start = bytes, .at = bytes};

    assert((bytes != NULL || len == 0) && limits != NULL && err != NULL);
    assert(limits->depth_max <= JSON_DEPTH_MAX);
    assert(limits->bytes_max < INT32_MAX);
    if (len > limits->bytes_max)
        return error_set(err, STATUS_TOOBIG, "%zu bytes, at most %zu allowed",
                         len, limits->bytes_max);
    s.end = len > 0 ? bytes + len : bytes;
    s.depth_max = limits->depth_max;
    skip_space(&s);
    if (s.at == s.end)
        return error_set(err, STATUS_MALFORMED, "empty record");
    if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        return error_set(err, STATUS_MALFORMED, "byte 0: byte order mark");
    if (check_value(&s, 0)) {
        skip_space(&s);
        if (s.at != s.end)
            (void)fail(&s, "more after the end of the value");
    }
    if (s.problem != NULL)
        return error_set(err, STATUS_MALFORMED, "byte %zu: %s",
                         (size_t)(s.at - s.start), s.problem);
    if (facts != NULL)
        *facts = s.facts;
    return STATUS_OK;
}
