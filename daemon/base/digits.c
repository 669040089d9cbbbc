/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as text. A float between 1e-4 and 1e9 is a 24-bit integer m times
 * 2^e, and with 10^k for nine digits before the point still an integer of 64
 * bits, m * 10^k < 2^64, over a power of two: so the ninth digit is rounded
 * exactly, a half to even, as printf does.
 */
#include "daemon/base/digits.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PLACES 9 /* significant digits of a float */

static const uint64_t powers[] = {
    1,           10,           100,           1000,      10000,
    100000,      1000000,      10000000,      100000000, 1000000000,
    10000000000, 100000000000, 1000000000000,
};

static size_t
put_digits(char *out, uint64_t value)
{
    char text[DIGITS_MAX];
    size_t at = sizeof(text);

    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, text + at, sizeof(text) - at);
    return sizeof(text) - at;
}

size_t
digits_uint(char out[DIGITS_MAX], uint64_t value)
{
    return put_digits(out, value);
}

size_t
digits_int(char out[DIGITS_MAX], int64_t value)
{
    if (value >= 0)
        return put_digits(out, (uint64_t)value);
    out[0] = '-';
    return 1 + put_digits(out + 1, -(uint64_t)value);
}

/* value * 10^k, to the nearest integer, a half to even; value is normal and
 * above 0. */
static uint64_t
scale(float value, unsigned k)
{
    uint32_t bits;
    uint64_t product;
    unsigned exponent;
    unsigned shift;
    uint64_t rest;
    uint64_t half;

    memcpy(&bits, &value, sizeof(bits));
    exponent = bits >> 23; /* of a last place of 2^-150 */
    product = ((bits & 0x7fffff) | 0x800000) * powers[k];
    if (exponent >= 150)
        return product << (exponent - 150);
    shift = 150 - exponent;
    half = UINT64_C(1) << (shift - 1);
    rest = product & (2 * half - 1);
    product >>= shift;
    return product + (rest > half || (rest == half && (product & 1) != 0));
}

/* Nine digits, of which `before` are before the point, 0 or less: none. */
static size_t
put_fixed(char *out, uint64_t digits, int before)
{
    char text[DIGITS_MAX];
    size_t count = put_digits(text, digits);
    size_t len = 0;

    assert(count == PLACES);
    while (count > 1 && text[count - 1] == '0' && (int)count > before)
        count--;
    if (before <= 0) {
        memcpy(out, "0.0000", 6);
        len = 2 + (size_t)-before;
        memcpy(out + len, text, count);
        return len + count;
    }
    memcpy(out, text, (size_t)before);
    if ((int)count <= before)
        return (size_t)before;
    out[before] = '.';
    memcpy(out + before + 1, text + before, count - (size_t)before);
    return count + 1;
}

size_t
digits_float(char out[DIGITS_MAX], float value)
{
    float size = fabsf(value);
    size_t sign = signbit(value) != 0;
    double above = 10; /* powers of ten */
    double below = 1;
    uint64_t digits;
    int before = 1;

    assert(isfinite(value));
    if (!((double)size >= 1e-4 && size < 1e9f)) {
        char text[DIGITS_MAX + 8];
        int len = snprintf(text, sizeof(text), "%.9g", (double)value);

        assert(len > 0 && len <= DIGITS_MAX);
        memcpy(out, text, (size_t)len);
        return (size_t)len;
    }
    if (sign != 0)
        *out++ = '-';
    while ((double)size >= above) {
        above *= 10;
        before++;
    }
    while ((double)size < below) {
        below /= 10;
        before--;
    }
    digits = scale(size, (unsigned)(PLACES - before));
    if (digits == powers[PLACES]) {
        digits /= 10;
        before++;
    }
    return sign + put_fixed(out, digits, before);
}
