/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OIP_DATATYPE_H
#define OIP_DATATYPE_H

#include "daemon/base/macros.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * stages/oip: the Open Inference Protocol (version 2) over HTTP and TF
 * Serving's REST form, as text and bytes. Both ends of a connection use it: the
 * teacher that is a server elsewhere, and distilld serve. Nothing here opens a
 * connection or knows what a tensor means.
 *
 * This file: the protocol's datatypes. On the wire they are little-endian,
 * row-major, without padding; an element of BYTES is its length in four bytes,
 * then its bytes.
 */

enum oip_datatype {
    OIP_BOOL,
    OIP_UINT8,
    OIP_UINT16,
    OIP_UINT32,
    OIP_UINT64,
    OIP_INT8,
    OIP_INT16,
    OIP_INT32,
    OIP_INT64,
    OIP_FP16,
    OIP_FP32,
    OIP_FP64,
    OIP_BYTES,
    OIP_DATATYPES, /* how many there are */
};

/* The bytes before each element of BYTES. */
#define OIP_LENGTH_BYTES 4

/* oip_datatype_parse reads a name, such as FP32, of len bytes; false: there is
 * no such datatype. Thread: any. */
must_check bool oip_datatype_parse(enum oip_datatype *out, const char *name,
                                   size_t len);

/* oip_datatype_name lends its name. Thread: any. */
const char *oip_datatype_name(enum oip_datatype type);

/* oip_datatype_bytes is an element's size; 0 for BYTES, whose elements have
 * each their own. Thread: any. */
size_t oip_datatype_bytes(enum oip_datatype type);

/* oip_datatype_is_number says that elements are numbers: all but BYTES and
 * BOOL. Thread: any. */
bool oip_datatype_is_number(enum oip_datatype type);

/* oip_datatype_is_integer says that they are whole numbers; the smallest and
 * largest are written to min and max, as doubles: of 64 bits the nearest
 * within. Thread: any. */
bool oip_datatype_is_integer(enum oip_datatype type, double *min, double *max);

/*
 * oip_number_read gives an element of a number's or BOOL's datatype, which
 * lies at `at`, as a double; 64-bit integers are rounded. NaN and infinities
 * come as they are. Thread: any.
 */
double oip_number_read(enum oip_datatype type, const void *at);

/*
 * oip_number_write writes a value as an element at `at`. A value beyond a
 * datatype's range, or NaN for an integer, is the caller's bug: asserted.
 * Fractions of integers are cut off. Of floats, too large becomes infinite.
 * Thread: any.
 */
void oip_number_write(enum oip_datatype type, void *at, double value);

/* oip_length_read and oip_length_write: the length before an element of BYTES,
 * and other integers of 32 bits. Thread: any. */
size_t oip_length_read(const void *at);
void oip_length_write(void *at, size_t length);

/* oip_int64_write writes all bits of an integer as INT64; the same bits are a
 * UINT64. oip_int64_read reads it. Thread: any. */
void oip_int64_write(void *at, long long value);
long long oip_int64_read(const void *at);

#endif
