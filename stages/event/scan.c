/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values and the brackets around them.
 */
#include "stages/event/scan_priv.h"

#include "daemon/base/text.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum status
scan_init(struct scan *s, size_t bytes_max, size_t depth_max, struct error *err)
{
    assert(s != NULL && depth_max <= JSON_DEPTH_MAX);
    *s = (struct scan){.depth_max = (unsigned)depth_max};
    s->seen = malloc(depth_max * JSON_MEMBERS_MAX * sizeof(*s->seen));
    s->tables = malloc(depth_max * SCAN_TABLE_SLOTS * sizeof(*s->tables));
    s->memo = calloc(SCAN_MEMO_MAX + 1, sizeof(*s->memo));
    s->scratch = malloc(bytes_max);
    if (s->memo != NULL && s->seen != NULL && s->tables != NULL &&
        s->scratch != NULL) {
        s->memo[0].owner = SCAN_UNKNOWN;
        s->memo[SCAN_MEMO_MAX].owner = SCAN_UNKNOWN;
        return STATUS_OK;
    }
    scan_fini(s);
    return error_set(err, STATUS_NOMEM, "no memory for records of %zu bytes",
                     bytes_max);
}

void
scan_fini(struct scan *s)
{
    free(s->scratch);
    free(s->memo);
    free(s->tables);
    free(s->seen);
    *s = (struct scan){.at = NULL};
}

void
scan_begin(struct scan *s, const char *bytes, size_t len)
{
    s->start = bytes;
    s->at = bytes;
    s->end = len > 0 ? bytes + len : bytes;
    s->problem = NULL;
    s->problem_key = NULL;
    s->depth = 0;
    s->deepest = 0;
    s->seen_count = 0;
    s->upcoming = s->memo;
}

enum status
scan_error(const struct scan *s, struct error *err)
{
    size_t place = (size_t)(s->at - s->start);
    size_t shown = s->problem_key_bytes < 40 ? s->problem_key_bytes : 40;

    assert(s->problem != NULL);
    if (s->problem_key == NULL)
        return error_set(err, STATUS_MALFORMED, "byte %zu: %s", place,
                         s->problem);
    return error_set(err, STATUS_MALFORMED, "byte %zu: %s \"%.*s\"", place,
                     s->problem, (int)text_utf8_prefix(s->problem_key, shown),
                     s->problem_key);
}

bool
scan_fail(struct scan *s, const char *at, const char *problem)
{
    s->at = at;
    s->problem = problem;
    return false;
}

void
scan_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' ||
                              *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Reads the four digits of \uXXXX, `at` on the u; -1 where they are not. */
static int
read_unit(const char *at, const char *end)
{
    int unit = 0;

    if (end - at < 5)
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

/* Gives the place behind the escape at `at`, NULL where it is none. */
static const char *
pass_escape(struct scan *s, const char *at)
{
    const char *why = NULL;
    int unit;

    if (s->end - at < 2) {
        (void)scan_fail(s, s->end, "string without an end, expected \"");
        return NULL;
    }
    if (at[1] != 'u') {
        if (memchr("\"\\/bfnrt", at[1], 8) != NULL)
            return at + 2;
        (void)scan_fail(s, at, "unknown escape, expected one of \"\\/bfnrtu");
        return NULL;
    }
    unit = read_unit(at + 1, s->end);
    if (unit < 0)
        why = "\\u without four hexadecimal digits";
    else if (unit == 0)
        why = "\\u0000, which is not accepted";
    else if (unit < 0xD800 || unit > 0xDFFF)
        return at + 6;
    else if (unit > 0xDBFF || s->end - at < 8 || at[6] != '\\' || at[7] != 'u')
        why = "lone surrogate, expected a pair";
    else
        unit = read_unit(at + 7, s->end);
    if (why == NULL && (unit < 0xDC00 || unit > 0xDFFF))
        why = "lone surrogate, expected a pair";
    if (why == NULL)
        return at + 12;
    (void)scan_fail(s, at, why);
    return NULL;
}

/* A string that does not end within its first 16 bytes, has escapes or more
 * than ASCII, or stands where the record ends. */
__attribute__((noinline)) static bool
read_string(struct scan *s, struct value *v)
{
    const char *text = s->at + 1;
    const char *at = text;

    v->is_escaped = false;
    for (;;) {
        size_t step;

        at = scan_plain(at, s->end);
        if (at == s->end)
            return scan_fail(s, at, "string without an end, expected \"");
        if (*at == '"')
            break;
        if (*at == '\\') {
            v->is_escaped = true;
            at = pass_escape(s, at);
            if (at == NULL)
                return false;
            continue;
        }
        if ((unsigned char)*at < 0x20)
            return scan_fail(s, at,
                             "raw control character in a string, expected an "
                             "escape");
        step = text_utf8_step(at, (size_t)(s->end - at));
        if (step == 0)
            return scan_fail(s, at, "bad UTF-8");
        at += step;
    }
    v->text = text;
    v->len = (size_t)(at - text);
    s->at = at + 1;
    return true;
}

bool
scan_string(struct scan *s, struct value *v)
{
    v->kind = VALUE_STRING;
#ifdef __SSE2__
    const char *text = s->at + 1;

    if (s->end - text >= STEP) {
        unsigned special = find_special(load(text));
        unsigned n = (unsigned)__builtin_ctz(special | 1u << STEP);

        if (n < STEP && text[n] == '"') {
            v->is_escaped = false;
            v->text = text;
            v->len = n;
            s->at = text + n + 1;
            return true;
        }
    }
#endif
    return read_string(s, v);
}

static char *
put_character(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xE0 | c >> 12);
        } else {
            *out++ = (char)(0xF0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        }
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *out++ = (char)(0x80 | (c & 0x3F));
    return out;
}

char *
scan_resolve(char *out, const char *at, const char *end)
{
    static const char names[] = "bfnrt\"\\/";
    static const char values[] = "\b\f\n\r\t\"\\/";

    while (at < end) {
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((slash != NULL ? slash : end) - at);
        unsigned c;

        memcpy(out, at, plain);
        out += plain;
        at += plain;
        if (at == end)
            break;
        if (at[1] != 'u') {
            *out++ = values[strchr(names, at[1]) - names];
            at += 2;
            continue;
        }
        c = (unsigned)read_unit(at + 1, end);
        at += 6;
        if (c >= 0xD800 && c <= 0xDBFF) {
            c = 0x10000 + ((c - 0xD800) << 10) +
                ((unsigned)read_unit(at + 1, end) - 0xDC00);
            at += 6;
        }
        out = put_character(out, c);
    }
    return out;
}

void
scan_unescape(struct scan *s, struct value *v)
{
    assert(v->kind == VALUE_STRING);
    if (!v->is_escaped)
        return;
    v->len = (size_t)(scan_resolve(s->scratch, v->text, v->text + v->len) -
                      s->scratch);
    v->text = s->scratch;
    v->is_escaped = false;
}

#define DIGITS_STEP 8

/* How many of 8 bytes are digits until one is none. */
static inline unsigned
count_digits(uint64_t bytes)
{
    uint64_t digits = bytes ^ UINT64_C(0x3030303030303030);
    uint64_t others = (digits + UINT64_C(0x7676767676767676)) | digits;

    others &= UINT64_C(0x8080808080808080);
    return others != 0 ? (unsigned)__builtin_ctzll(others) / 8 : DIGITS_STEP;
}

/* The number that 8 digits are, the first in the lowest byte: pairs, then
 * fours, then all (Daniel Lemire, "Quickly parsing eight digits"). */
static inline uint64_t
join_digits(uint64_t bytes)
{
    bytes = (bytes & UINT64_C(0x0F0F0F0F0F0F0F0F)) * 2561 >> 8;
    bytes = (bytes & UINT64_C(0x00FF00FF00FF00FF)) * 6553601 >> 16;
    return (bytes & UINT64_C(0x0000FFFF0000FFFF)) * 42949672960001 >> 32;
}

/* Moves over digits and appends them to *mantissa. */
static inline const char *
read_digits(const char *at, const char *end, uint64_t *mantissa)
{
    static const uint64_t powers[] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    uint64_t m = *mantissa;

    while (end - at >= DIGITS_STEP) {
        uint64_t bytes;
        unsigned n;

        memcpy(&bytes, at, sizeof(bytes));
        bytes = le64toh(bytes);
        n = count_digits(bytes);
        /* Zeros in front: shifted twice, since 64 at once is undefined. */
        bytes = bytes << (4 * (DIGITS_STEP - n)) << (4 * (DIGITS_STEP - n));
        m = m * powers[n] + join_digits(bytes);
        at += n;
        if (n < DIGITS_STEP) {
            *mantissa = m;
            return at;
        }
    }
    for (; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';

        if (digit > 9)
            break;
        m = m * 10 + digit;
    }
    *mantissa = m;
    return at;
}

/* Reads what is behind the e; NULL where no digits are. */
static const char *
read_exponent(const char *at, const char *end, int *exponent)
{
    bool is_negative = at < end && *at == '-';
    const char *digits;
    int value = 0;

    at += at < end && (*at == '+' || *at == '-');
    for (digits = at; at < end && *at >= '0' && *at <= '9'; at++)
        value = value < 100000 ? value * 10 + (*at - '0') : value;
    *exponent += is_negative ? -value : value;
    return at > digits ? at : NULL;
}

static bool
read_number(struct scan *s, struct value *v)
{
    const char *end = s->end;
    const char *at = s->at + (*s->at == '-');
    const char *digits = at;

    v->kind = VALUE_NUMBER;
    v->is_negative = *s->at == '-';
    v->is_plain = true;
    v->mantissa = 0;
    v->exponent = 0;
    at = read_digits(at, end, &v->mantissa);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return scan_fail(s, s->at,
                         "bad number, expected digits without a leading 0");
    v->digits = (unsigned)(at - digits);
    if (at < end && *at == '.') {
        digits = at + 1;
        at = read_digits(digits, end, &v->mantissa);
        if (at == digits)
            return scan_fail(s, s->at,
                             "bad number, expected digits behind the point");
        v->digits += (unsigned)(at - digits);
        v->exponent = (int)(digits - at);
        v->is_plain = false;
    }
    if (at < end && (*at | 0x20) == 'e') {
        at = read_exponent(at + 1, end, &v->exponent);
        if (at == NULL)
            return scan_fail(s, s->at,
                             "bad number, expected digits as the exponent");
        v->is_plain = false;
    }
    if (at - s->at > JSON_NUMBER_MAX)
        return scan_fail(s, s->at, "number of more than 63 characters");
    v->text = s->at;
    v->len = (size_t)(at - s->at);
    s->at = at;
    return true;
}

static bool
read_word(struct scan *s, struct value *v, enum value_kind kind)
{
    static const char *const words[] = {
        [VALUE_NULL] = "null", [VALUE_FALSE] = "false", [VALUE_TRUE] = "true"};
    size_t len = kind == VALUE_FALSE ? 5 : 4;

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, words[kind], len) != 0)
        return scan_fail(s, s->at,
                         "unknown word, expected true, false or null");
    v->kind = kind;
    s->at += len;
    return true;
}

bool
scan_value(struct scan *s, struct value *v)
{
    scan_pass_space(s);
    if (s->at == s->end)
        return scan_fail(s, s->at, "text ends where a value is expected");
    switch (*s->at) {
    case '"':
        return scan_string(s, v);
    case '{':
        v->kind = VALUE_OBJECT;
        return true;
    case '[':
        v->kind = VALUE_LIST;
        return true;
    case 't':
        return read_word(s, v, VALUE_TRUE);
    case 'f':
        return read_word(s, v, VALUE_FALSE);
    case 'n':
        return read_word(s, v, VALUE_NULL);
    default:
        if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))
            return read_number(s, v);
        return scan_fail(s, s->at, "expected a value");
    }
}

bool
scan_open(struct scan *s, struct scan_level *level)
{
    assert(s->at < s->end && (*s->at == '{' || *s->at == '['));
    level->first = s->seen_count;
    level->count = 0;
    level->owner = (uint32_t)(s->upcoming - s->memo);
    level->known = level->owner;
    level->filter = 0;
    if (s->depth == s->depth_max)
        return scan_fail(s, s->at, "nested too deeply");
    s->depth++;
    if (s->depth > s->deepest)
        s->deepest = s->depth;
    s->at++;
    return true;
}

bool
scan_element(struct scan *s, struct scan_level *level)
{
    scan_pass_space(s);
    if (s->at == s->end)
        return scan_fail(s, s->at, "list without an end, expected ]");
    if (*s->at == ']') {
        s->at++;
        s->depth--;
        return false;
    }
    if (level->count++ > 0) {
        if (*s->at != ',')
            return scan_fail(s, s->at, "expected , or ]");
        s->at++;
        scan_pass_space(s);
    }
    return true;
}

bool
scan_skip(struct scan *s)
{
    struct scan_level level;
    struct value v;

    if (!scan_value(s, &v))
        return false;
    if (v.kind < VALUE_OBJECT)
        return true;
    if (!scan_open(s, &level))
        return false;
    while (v.kind == VALUE_OBJECT ? scan_member(s, &level) != NULL
                                  : scan_element(s, &level)) {
        if (!scan_skip(s))
            return false;
    }
    return !scan_failed(s);
}
