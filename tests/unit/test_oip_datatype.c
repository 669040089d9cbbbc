/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The datatypes of the Open Inference Protocol.
 */
#include "stages/oip/datatype.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static void
test_every_name_is_read_back(void)
{
    enum oip_datatype got;

    for (int i = 0; i < OIP_DATATYPES; i++) {
        const char *name = oip_datatype_name((enum oip_datatype)i);

        CHECK(oip_datatype_parse(&got, name, strlen(name)));
        CHECK_INT(got, i);
        CHECK(!oip_datatype_parse(&got, name, strlen(name) - 1));
    }
    CHECK(!oip_datatype_parse(&got, "fp32", 4));
    CHECK(!oip_datatype_parse(&got, "BF16", 4));
    CHECK(!oip_datatype_parse(&got, "", 0));
}

static void
test_bytes_are_little_endian(void)
{
    unsigned char at[9];

    memset(at, 0xAA, sizeof(at));
    oip_number_write(OIP_INT32, at, -2);
    CHECK(memcmp(at, "\xfe\xff\xff\xff\xaa", 5) == 0);
    oip_number_write(OIP_UINT16, at, 0x1234);
    CHECK(memcmp(at, "\x34\x12\xff", 3) == 0);
    oip_number_write(OIP_FP32, at, 1.5);
    CHECK(memcmp(at, "\x00\x00\xc0\x3f\xaa", 5) == 0);
    oip_length_write(at, 0x01020304);
    CHECK(memcmp(at, "\x04\x03\x02\x01\xaa", 5) == 0);
    CHECK_INT(oip_length_read(at), 0x01020304);
    oip_int64_write(at, -9223372036854775807LL);
    CHECK(memcmp(at, "\x01\x00\x00\x00\x00\x00\x00\x80\xaa", 9) == 0);
    CHECK(oip_int64_read(at) == -9223372036854775807LL);
}

static void
test_limits_go_there_and_back(void)
{
    unsigned char at[8];
    double min;
    double max;

    for (int i = 0; i < OIP_BYTES; i++) {
        enum oip_datatype type = (enum oip_datatype)i;

        CHECK(oip_datatype_bytes(type) > 0);
        if (!oip_datatype_is_integer(type, &min, &max)) {
            min = 0;
            max = 1;
        }
        oip_number_write(type, at, min);
        CHECK(oip_number_read(type, at) == min);
        oip_number_write(type, at, max);
        CHECK(oip_number_read(type, at) == max);
    }
    CHECK_INT(oip_datatype_bytes(OIP_BYTES), 0);
    CHECK(oip_datatype_is_number(OIP_FP16));
    CHECK(!oip_datatype_is_number(OIP_BOOL));
    CHECK(!oip_datatype_is_number(OIP_BYTES));
}

/* The compiler's own halves, where it has them, would do the same; these are
 * the ones that IEEE 754 names. */
static void
test_halves(void)
{
    static const struct {
        double value;
        unsigned bits;
    } known[] = {
        {0, 0x0000},         {1, 0x3c00},           {-2, 0xc000},
        {65504, 0x7bff},     {65519.9, 0x7bff},     {65520, 0x7c00},
        {0x1p-14, 0x0400},   {0x1p-24, 0x0001},     {0x1p-25, 0x0000},
        {0x1.8p-25, 0x0001}, {1 + 0x1p-11, 0x3c00}, {1 + 0x1.8p-10, 0x3c02},
        {2047.5, 0x6800},    {1.0 / 3, 0x3555},
    };
    unsigned char at[2];

    for (size_t i = 0; i < COUNT(known); i++) {
        oip_number_write(OIP_FP16, at, known[i].value);
        CHECK_INT(at[0] | at[1] << 8, known[i].bits);
    }
    oip_number_write(OIP_FP16, at, -(double)INFINITY);
    CHECK_INT(at[0] | at[1] << 8, 0xfc00);
    /* All of them but NaN come back as they were. */
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        unsigned char in[2] = {(unsigned char)bits, (unsigned char)(bits >> 8)};
        double value = oip_number_read(OIP_FP16, in);

        oip_number_write(OIP_FP16, at, value);
        if (isnan(value))
            CHECK(isnan(oip_number_read(OIP_FP16, at)));
        else
            CHECK(memcmp(at, in, 2) == 0);
    }
}

static void
test_too_large_for_a_float_is_infinite(void)
{
    unsigned char at[4];

    oip_number_write(OIP_FP32, at, 1e300);
    CHECK(isinf(oip_number_read(OIP_FP32, at)));
    oip_number_write(OIP_FP32, at, -1e300);
    CHECK(oip_number_read(OIP_FP32, at) < 0);
}

int
main(void)
{
    RUN(test_every_name_is_read_back);
    RUN(test_bytes_are_little_endian);
    RUN(test_limits_go_there_and_back);
    RUN(test_halves);
    RUN(test_too_large_for_a_float_is_infinite);
    return check_report();
}
