/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Numbers as text, as printf writes them in the C locale, without its cost: for
 * what is written once an event. No terminator. Thread: any. Allocates:
 * nothing.
 */

#define DIGITS_MAX 24 /* no text is longer */

/* digits_uint writes what "%llu" does and gives its length. */
size_t digits_uint(char out[DIGITS_MAX], uint64_t value);

/* digits_int writes what "%lld" does. */
size_t digits_int(char out[DIGITS_MAX], int64_t value);

/* digits_float writes what "%.9g" does of a finite float: reading it gives the
 * same bits. */
size_t digits_float(char out[DIGITS_MAX], float value);

#endif
