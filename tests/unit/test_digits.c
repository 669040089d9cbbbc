/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as text, beside printf.
 */
#include "daemon/base/digits.h"

#include "tests/support/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void
check_float(float value)
{
    char text[DIGITS_MAX + 1];
    char want[64];

    text[digits_float(text, value)] = '\0';
    (void)snprintf(want, sizeof(want), "%.9g", (double)value);
    CHECK_STR(text, want);
}

static void
check_integer(int64_t value)
{
    char text[DIGITS_MAX + 1];
    char want[64];

    text[digits_int(text, value)] = '\0';
    (void)snprintf(want, sizeof(want), "%" PRId64, value);
    CHECK_STR(text, want);
    text[digits_uint(text, (uint64_t)value)] = '\0';
    (void)snprintf(want, sizeof(want), "%" PRIu64, (uint64_t)value);
    CHECK_STR(text, want);
}

static float
from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void
test_integers(void)
{
    check_integer(INT64_MIN);
    check_integer(INT64_MAX);
    check_integer(-1);
    for (int64_t power = 1; power < INT64_C(1000000000000000000); power *= 10) {
        for (int64_t i = -1; i <= 1; i++) {
            check_integer(power + i);
            check_integer(-power + i);
        }
    }
}

/* Both sides of every power of ten and of two, where digits are gained or a
 * half is rounded. */
static void
test_floats_at_edges(void)
{
    check_float(0.0f);
    check_float(-0.0f);
    check_float(0.1f);
    for (double power = 1e-6; power < 1e12; power *= 10) {
        float value = (float)power;

        for (int i = 0; i < 200; i++)
            value = nextafterf(value, 0.0f);
        for (int i = 0; i < 400; i++) {
            check_float(value);
            check_float(-value);
            value = nextafterf(value, INFINITY);
        }
    }
    for (int e = -149; e < 128; e++)
        check_float(ldexpf(1.0f, e));
    for (uint32_t m = 1; m < 4096; m++)
        check_float((float)m / 4096.0f);
}

/* One in 4001 of all floats there are. */
static void
test_floats_of_all_sizes(void)
{
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 4001) {
        float value = from_bits((uint32_t)bits);

        if (isfinite(value))
            check_float(value);
    }
}

/* And one in 127 of those that logits are. */
static void
test_floats_near_one(void)
{
    uint32_t from = 0x38d1b717; /* 1e-4 */
    uint32_t to = 0x4e6e6b28;   /* 1e9 */

    for (uint32_t bits = from - 10; bits < to + 10; bits += 127)
        check_float(from_bits(bits));
}

int
main(void)
{
    RUN(test_integers);
    RUN(test_floats_at_edges);
    RUN(test_floats_of_all_sizes);
    RUN(test_floats_near_one);
    return check_report();
}
