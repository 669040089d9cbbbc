/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_SCALAR_H
#define SUPPORT_SCALAR_H

#include "daemon/base/json.h"

/*
 * The canonical text of scalars, from cJSON's tree: what value_text of
 * stages/event/scan.h gives from the bytes.
 */

/* Room for any scalar's text but a string's. */
#define SCALAR_TEXT_MAX (JSON_NUMBER_MAX + 1)

/*
 * scalar_note_digits prepares the tree that json_parse made of bytes. A double
 * cannot hold every long integer and cJSON keeps the double alone, so each
 * number learns, in its otherwise unused valueint, at which byte its digits
 * are.
 */
void scalar_note_digits(struct cJSON *root, const char *bytes);

/*
 * scalar_text gives the canonical text of a string (its characters), an
 * integer (decimal digits, "-" before a negative one, no exponent; 7, 7.0 and
 * 70e-1 are all "7", and -0 is "0"), or a boolean ("true", "false").
 * Integers beyond JSON_INTEGER_MAX keep every digit when written as plain
 * digits inside of an object or a list. NULL for everything else: null, lists,
 * objects, fractions, 1e300.
 *
 * bytes    as for scalar_note_digits, which came before
 * scratch  SCALAR_TEXT_MAX bytes, where the result may be put
 *
 * Lends, until the tree, the bytes or the scratch change; *len is written, and
 * the result is not NUL-terminated.
 */
const char *scalar_text(const struct cJSON *value, const char *bytes,
                        char *scratch, size_t *len);

#endif
