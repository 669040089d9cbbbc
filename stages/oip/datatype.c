/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The datatypes of the Open Inference Protocol, and their elements as bytes.
 */
#include "stages/oip/datatype.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

struct datatype {
    const char *name;
    size_t bytes;
    double min; /* of integers; min = max: it is none */
    double max;
};

/* The largest double that fits into 64 bits, signed and not. */
#define INT64_DOUBLE_MAX  9223372036854774784.0
#define UINT64_DOUBLE_MAX 18446744073709549568.0

static const struct datatype datatypes[] = {
    [OIP_BOOL] = {"BOOL", 1, 0, 0},
    [OIP_UINT8] = {"UINT8", 1, 0, UINT8_MAX},
    [OIP_UINT16] = {"UINT16", 2, 0, UINT16_MAX},
    [OIP_UINT32] = {"UINT32", 4, 0, UINT32_MAX},
    [OIP_UINT64] = {"UINT64", 8, 0, UINT64_DOUBLE_MAX},
    [OIP_INT8] = {"INT8", 1, INT8_MIN, INT8_MAX},
    [OIP_INT16] = {"INT16", 2, INT16_MIN, INT16_MAX},
    [OIP_INT32] = {"INT32", 4, INT32_MIN, INT32_MAX},
    [OIP_INT64] = {"INT64", 8, -9223372036854775808.0, INT64_DOUBLE_MAX},
    [OIP_FP16] = {"FP16", 2, 0, 0},
    [OIP_FP32] = {"FP32", 4, 0, 0},
    [OIP_FP64] = {"FP64", 8, 0, 0},
    [OIP_BYTES] = {"BYTES", 0, 0, 0},
};

_Static_assert(COUNT(datatypes) == OIP_DATATYPES, "a row for each");

bool
oip_datatype_parse(enum oip_datatype *out, const char *name, size_t len)
{
    assert(out != NULL && name != NULL);
    for (size_t i = 0; i < COUNT(datatypes); i++) {
        if (strlen(datatypes[i].name) != len ||
            memcmp(datatypes[i].name, name, len) != 0)
            continue;
        *out = (enum oip_datatype)i;
        return true;
    }
    return false;
}

const char *
oip_datatype_name(enum oip_datatype type)
{
    assert(type < OIP_DATATYPES);
    return datatypes[type].name;
}

size_t
oip_datatype_bytes(enum oip_datatype type)
{
    assert(type < OIP_DATATYPES);
    return datatypes[type].bytes;
}

bool
oip_datatype_is_number(enum oip_datatype type)
{
    assert(type < OIP_DATATYPES);
    return type != OIP_BYTES && type != OIP_BOOL;
}

bool
oip_datatype_is_integer(enum oip_datatype type, double *min, double *max)
{
    assert(type < OIP_DATATYPES);
    *min = datatypes[type].min;
    *max = datatypes[type].max;
    return *min < *max;
}

/* ---- Bytes ---- */

static uint64_t
read_bits(const void *at, size_t bytes)
{
    const unsigned char *p = at;
    uint64_t bits = 0;

    for (size_t i = bytes; i > 0; i--)
        bits = bits << 8 | p[i - 1];
    return bits;
}

static void
write_bits(void *at, size_t bytes, uint64_t bits)
{
    unsigned char *p = at;

    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)(bits >> (8 * i));
}

/* An integer of so many bytes with its sign spread over all bits. */
static int64_t
extend_sign(uint64_t bits, size_t bytes)
{
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);

    return (int64_t)((bits ^ sign) - sign);
}

/* ---- Floats ---- */

/* IEEE 754 binary16: a sign, 5 bits of exponent (bias 15), 10 of fraction. */
static double
half_to_double(uint64_t bits)
{
    unsigned exponent = (unsigned)(bits >> 10 & 0x1f);
    double fraction = (double)(bits & 0x3ff);
    double value;

    if (exponent == 0x1f)
        value = fraction == 0 ? (double)INFINITY : (double)NAN;
    else if (exponent == 0)
        value = ldexp(fraction, -24);
    else
        value = ldexp(fraction + 1024, (int)exponent - 25);
    return (bits & 0x8000) != 0 ? -value : value;
}

/* Rounds to the nearest, ties to even, as the processor does by default. */
static uint64_t
double_to_half(double value)
{
    uint64_t sign = signbit(value) ? 0x8000 : 0;
    double size = fabs(value);
    int exponent;
    double steps;

    if (isnan(value))
        return sign | 0x7e00;
    if (size >= 65520) /* rounds to what is beyond the largest, 65504 */
        return sign | 0x7c00;
    if (size < ldexp(1, -14))
        return sign | (uint64_t)nearbyint(ldexp(size, 24));
    (void)frexp(size, &exponent); /* size = 0.1... times 2 to it */
    steps = nearbyint(ldexp(size, 11 - exponent)); /* 1024 to 2048 */
    return sign |
           (((uint64_t)(exponent + 14) << 10) + ((uint64_t)steps - 1024));
}

static double
float_read(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return (double)value;
}

static uint32_t
float_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

double
oip_number_read(enum oip_datatype type, const void *at)
{
    uint64_t bits;
    double value;

    assert(type < OIP_BYTES && at != NULL);
    bits = read_bits(at, datatypes[type].bytes);
    if (type >= OIP_INT8 && type <= OIP_INT64)
        return (double)extend_sign(bits, datatypes[type].bytes);
    if (type == OIP_FP16)
        return half_to_double(bits);
    if (type == OIP_FP32)
        return float_read((uint32_t)bits);
    if (type != OIP_FP64)
        return (double)bits;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* A double of the greatest size may be too large for a float: then C leaves
 * open what the conversion gives. */
static float
narrow(double value)
{
    if (fabs(value) > (double)3.4028234663852886e38f)
        return value > 0 ? INFINITY : -INFINITY;
    return (float)value;
}

void
oip_number_write(enum oip_datatype type, void *at, double value)
{
    const struct datatype *d = &datatypes[type];
    uint64_t bits;

    assert(type < OIP_BYTES && at != NULL);
    assert(d->min == d->max || (value >= d->min && value <= d->max));
    if (type == OIP_BOOL)
        bits = value != 0;
    else if (type == OIP_FP16)
        bits = double_to_half(value);
    else if (type == OIP_FP32)
        bits = float_bits(narrow(value));
    else if (type == OIP_FP64)
        memcpy(&bits, &value, sizeof(bits));
    else
        bits = value < 0 ? (uint64_t)(int64_t)value : (uint64_t)value;
    write_bits(at, d->bytes, bits);
}

size_t
oip_length_read(const void *at)
{
    assert(at != NULL);
    return (size_t)read_bits(at, OIP_LENGTH_BYTES);
}

void
oip_length_write(void *at, size_t length)
{
    assert(at != NULL && length <= UINT32_MAX);
    write_bits(at, OIP_LENGTH_BYTES, length);
}

void
oip_int64_write(void *at, long long value)
{
    assert(at != NULL);
    write_bits(at, sizeof(uint64_t), (uint64_t)value);
}

long long
oip_int64_read(const void *at)
{
    assert(at != NULL);
    return (long long)read_bits(at, sizeof(uint64_t));
}
