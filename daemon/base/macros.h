/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

/*
 * The handful of macros that the whole program shares.
 */

/* Elements of an array (never of a pointer). */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The caller must look at the result. */
#define must_check __attribute__((warn_unused_result))

/* Checks arguments against a printf format. */
#define print_like(text, first) __attribute__((format(printf, text, first)))

#endif
