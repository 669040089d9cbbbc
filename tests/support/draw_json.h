/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_DRAW_JSON_H
#define SUPPORT_DRAW_JSON_H

#include <stddef.h>

/*
 * Random JSON objects for tests: keys and strings mostly from given words,
 * some of their characters escaped, numbers of every form, spaces in odd
 * places, now and then a key twice or a label record's frame.
 */

/*
 * draw_json writes an object of at most size_max > 2 bytes into buf and
 * returns its length. Most are well-formed; one that does not fit is cut off.
 * The same seed draws the same. Thread: any.
 */
size_t draw_json(char *buf, size_t size_max, const char *const *words,
                 size_t word_count, unsigned seed);

#endif
