/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalars that the scanner has read, as numbers and as text.
 */
#include "stages/event/scan.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_DIGITS   19 /* always fit into the mantissa */
#define EXACT_MANTISSA (UINT64_C(1) << 53)
#define EXACT_POWER    22 /* the last power of ten that is a double */

static const double powers[EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The process keeps the C locale, so the point is a point. */
static double
read_slowly(const struct value *v)
{
    char text[JSON_NUMBER_MAX + 1];

    assert(v->len <= JSON_NUMBER_MAX);
    memcpy(text, v->text, v->len);
    text[v->len] = '\0';
    return strtod(text, NULL);
}

/* Mantissa and power of ten are both exact in most numbers, and then one
 * operation rounds once (Clinger, "How to read floating point numbers
 * accurately"). */
double
value_double(const struct value *v)
{
    double number;

    assert(v->kind == VALUE_NUMBER);
    if (v->digits > EXACT_DIGITS || v->mantissa > EXACT_MANTISSA ||
        v->exponent > EXACT_POWER || v->exponent < -EXACT_POWER)
        return read_slowly(v);
    number = (double)v->mantissa;
    if (v->exponent < 0)
        number /= powers[-v->exponent];
    else
        number *= powers[v->exponent];
    return v->is_negative ? -number : number;
}

bool
value_integer(const struct value *v, int64_t *out)
{
    double number;

    if (v->kind != VALUE_NUMBER)
        return false;
    number = value_double(v);
    if (!(fabs(number) <= JSON_INTEGER_MAX) || number != floor(number))
        return false;
    *out = (int64_t)number;
    return true;
}

static const char *
print_integer(int64_t integer, char *scratch, size_t *len)
{
    uint64_t rest = (uint64_t)(integer < 0 ? -integer : integer);
    size_t at = VALUE_TEXT_MAX;

    do {
        scratch[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (integer < 0)
        scratch[--at] = '-';
    *len = VALUE_TEXT_MAX - at;
    return scratch + at;
}

const char *
value_text(const struct value *v, char *scratch, size_t *len)
{
    int64_t integer;

    switch (v->kind) {
    case VALUE_STRING:
        assert(!v->is_escaped);
        *len = v->len;
        return v->text;
    case VALUE_TRUE:
        *len = 4;
        return "true";
    case VALUE_FALSE:
        *len = 5;
        return "false";
    case VALUE_NUMBER:
        if (v->is_plain && v->text[v->is_negative] != '0') {
            *len = v->len;
            return v->text;
        }
        return value_integer(v, &integer) ? print_integer(integer, scratch, len)
                                          : NULL;
    case VALUE_NULL:
    case VALUE_OBJECT:
    case VALUE_LIST:
        break;
    }
    return NULL;
}
