/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of a tree come in the order of the text, and each has a bracket
 * somewhere behind it, where every run of digits ends.
 */
#include "tests/support/scalar.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <string.h>

struct digits {
    const char *bytes;
    size_t at;
};

static void
skip_to_number(struct digits *d)
{
    bool is_inside = false; /* of a string */

    for (;; d->at++) {
        char c = d->bytes[d->at];

        if (c == '"')
            is_inside = !is_inside;
        else if (is_inside && c == '\\')
            d->at++;
        else if (!is_inside && (c == '-' || (c >= '0' && c <= '9')))
            return;
    }
}

static void
note_digits(struct cJSON *item, struct digits *d)
{
    for (; item != NULL; item = item->next) {
        if (cJSON_IsNumber(item)) {
            skip_to_number(d);
            item->valueint = (int)d->at;
            d->at += strspn(d->bytes + d->at, "+-.eE0123456789");
        }
        note_digits(item->child, d);
    }
}

void
scalar_note_digits(struct cJSON *root, const char *bytes)
{
    if (root->child != NULL)
        note_digits(root, &(struct digits){.bytes = bytes});
}

/* The digits as they stand in the text, where they are an integer's. cJSON
 * leaves the limits of int where no digits were noted. */
static const char *
find_digits(const struct cJSON *value, const char *bytes, size_t *len)
{
    const char *digits = bytes + value->valueint;
    size_t sign = 0;

    if (value->valueint == INT_MAX || value->valueint < 0)
        return NULL;
    sign = digits[0] == '-';
    *len = sign + strspn(digits + sign, "0123456789");
    return strchr(".eE", digits[*len]) == NULL || digits[*len] == '\0' ? digits
                                                                       : NULL;
}

const char *
scalar_text(const struct cJSON *value, const char *bytes, char *scratch,
            size_t *len)
{
    int64_t integer;
    uint64_t rest;
    size_t at = SCALAR_TEXT_MAX;

    assert(value != NULL && scratch != NULL && len != NULL);
    if (cJSON_IsString(value)) {
        *len = strlen(value->valuestring);
        return value->valuestring;
    }
    if (cJSON_IsBool(value)) {
        *len = cJSON_IsTrue(value) ? 4 : 5;
        return cJSON_IsTrue(value) ? "true" : "false";
    }
    if (!json_integer(value, &integer))
        return cJSON_IsNumber(value) &&
                       fabs(value->valuedouble) > JSON_INTEGER_MAX
                   ? find_digits(value, bytes, len)
                   : NULL;
    rest = (uint64_t)(integer < 0 ? -integer : integer);
    do {
        scratch[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (integer < 0)
        scratch[--at] = '-';
    *len = SCALAR_TEXT_MAX - at;
    return scratch + at;
}
