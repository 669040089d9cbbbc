/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: built by cJSON from text that json_check has passed, then searched
 * for duplicate keys.
 */
#include "daemon/base/json.h"

#include "daemon/base/json_path.h"
#include "daemon/base/text.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One level of the way from the root, for error texts. */
struct place {
    const struct place *parent;
    const struct cJSON *item;
};

/* How much of a key is shown: 40 bytes at most, whole characters. */
static int
shown_bytes(const char *key)
{
    return (int)text_utf8_prefix(key, strnlen(key, 40));
}

/* Writes the path of a place, keys cut at 40 bytes, " > " between them. */
static size_t
print_place(const struct place *p, char *buf, size_t capacity)
{
    size_t len = 0;
    int n;

    if (p == NULL)
        return 0;
    len = print_place(p->parent, buf, capacity);
    if (p->item->string == NULL || len + 1 >= capacity)
        return len;
    n = snprintf(buf + len, capacity - len, "%s%.*s", len > 0 ? " > " : "",
                 shown_bytes(p->item->string), p->item->string);
    if (n < 0)
        return len;
    len += (size_t)n;
    return len < capacity ? len : capacity - 1;
}

static enum status
refuse_object(const struct place *where, const char *what, const char *key,
              struct error *err)
{
    char path[256] = "";
    int shown = shown_bytes(key);

    (void)print_place(where, path, sizeof(path));
    return error_set(err, STATUS_MALFORMED, "%s%s%.*s%s in the object at %s",
                     what, key[0] != '\0' ? " \"" : "", shown, key,
                     key[0] != '\0' ? "\"" : "",
                     path[0] != '\0' ? path : "the top");
}

static bool
has_before(const struct cJSON *object, const struct cJSON *end)
{
    for (const struct cJSON *c = object->child; c != end; c = c->next) {
        if (strcmp(c->string, end->string) == 0)
            return true;
    }
    return false;
}

/* Members with a new value of a weak hash are certainly new; only the others
 * are compared with all before them. */
static enum status
check_keys(const struct place *where, struct error *err)
{
    uint64_t seen[4] = {0};
    size_t count = 0;

    for (const struct cJSON *c = where->item->child; c != NULL; c = c->next) {
        size_t len = strlen(c->string);
        unsigned h = (unsigned)len;
        uint64_t bit;

        if (len > 0)
            h = h * 31u + (unsigned char)c->string[0] * 7u +
                (unsigned char)c->string[len - 1] * 3u +
                (unsigned char)c->string[len / 2];
        bit = UINT64_C(1) << (h & 63u);
        if ((seen[h >> 6 & 3u] & bit) != 0 && has_before(where->item, c))
            return refuse_object(where, "duplicate key", c->string, err);
        seen[h >> 6 & 3u] |= bit;
        if (++count > JSON_MEMBERS_MAX)
            return refuse_object(where, "more than 1024 members", "", err);
    }
    return STATUS_OK;
}

static enum status
check_unique(const struct place *where, struct error *err)
{
    enum status st = STATUS_OK;

    if (cJSON_IsObject(where->item))
        st = check_keys(where, err);
    for (const struct cJSON *c = where->item->child;
         c != NULL && st == STATUS_OK; c = c->next) {
        struct place below = {.parent = where, .item = c};

        if (c->child != NULL)
            st = check_unique(&below, err);
    }
    return st;
}

/*
 * A double cannot hold every long integer. cJSON keeps the double alone, so
 * where a text has long numbers, each number item learns, in its otherwise
 * unused valueint, at which byte its digits are. The numbers of the tree come
 * in the order of the text, and each has a bracket somewhere behind it, where
 * every run of digits ends.
 */
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

enum status
json_parse(struct cJSON **out, const char *bytes, size_t len,
           const struct json_limits *limits, struct json_facts *facts,
           struct error *err)
{
    struct json_facts own;
    struct cJSON *root;
    struct place top = {.parent = NULL};
    enum status st;

    assert(out != NULL);
    *out = NULL;
    st = json_check(bytes, len, limits, &own, err);
    if (st != STATUS_OK)
        return st;
    root = cJSON_ParseWithLengthOpts(bytes, len, NULL, 0);
    if (root == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for %zu bytes of JSON",
                         len);
    top.item = root;
    st = check_unique(&top, err);
    if (st != STATUS_OK) {
        cJSON_Delete(root);
        return st;
    }
    if (own.has_long_number && root->child != NULL)
        note_digits(root, &(struct digits){.bytes = bytes});
    if (facts != NULL)
        *facts = own;
    *out = root;
    return STATUS_OK;
}

void
json_free(struct cJSON **self)
{
    assert(self != NULL);
    cJSON_Delete(*self);
    *self = NULL;
}

const struct cJSON *
json_member(const struct cJSON *object, const char *key)
{
    assert(key != NULL);
    if (!json_is_object(object))
        return NULL;
    for (const struct cJSON *c = object->child; c != NULL; c = c->next) {
        if (strcmp(c->string, key) == 0)
            return c;
    }
    return NULL;
}

const struct cJSON *
json_find(const struct cJSON *root, const char *path)
{
    struct json_path steps;
    struct error err;

    if (json_path_parse(&steps, path, &err) != STATUS_OK)
        return NULL;
    for (size_t i = 0; i < steps.count && root != NULL; i++) {
        size_t left = steps.steps[i].index;

        switch (steps.steps[i].kind) {
        case JSON_STEP_KEY:
            root = json_member(root, json_path_key(&steps, i));
            break;
        case JSON_STEP_INDEX:
            root = json_is_array(root) ? root->child : NULL;
            while (root != NULL && left-- > 0)
                root = root->next;
            break;
        case JSON_STEP_EACH:
            return NULL;
        }
    }
    return root;
}

const struct cJSON *
json_first(const struct cJSON *parent)
{
    return parent != NULL ? parent->child : NULL;
}

const struct cJSON *
json_next(const struct cJSON *child)
{
    return child != NULL ? child->next : NULL;
}

const char *
json_key(const struct cJSON *member)
{
    return member != NULL ? member->string : NULL;
}

size_t
json_count(const struct cJSON *parent)
{
    size_t count = 0;

    for (const struct cJSON *c = json_first(parent); c != NULL; c = c->next)
        count++;
    return count;
}

bool
json_is_object(const struct cJSON *value)
{
    return value != NULL && cJSON_IsObject(value);
}

bool
json_is_array(const struct cJSON *value)
{
    return value != NULL && cJSON_IsArray(value);
}

bool
json_is_null(const struct cJSON *value)
{
    return value != NULL && cJSON_IsNull(value);
}

const char *
json_string(const struct cJSON *value)
{
    return value != NULL && cJSON_IsString(value) ? value->valuestring : NULL;
}

bool
json_number(const struct cJSON *value, double *out)
{
    if (value == NULL || !cJSON_IsNumber(value) ||
        !isfinite(value->valuedouble))
        return false;
    *out = value->valuedouble;
    return true;
}

bool
json_integer(const struct cJSON *value, int64_t *out)
{
    double number;

    if (!json_number(value, &number) || fabs(number) > JSON_INTEGER_MAX ||
        number != floor(number))
        return false;
    *out = (int64_t)number;
    return true;
}

bool
json_boolean(const struct cJSON *value, bool *out)
{
    if (value == NULL || !cJSON_IsBool(value))
        return false;
    *out = cJSON_IsTrue(value) != 0;
    return true;
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
json_scalar_text(const struct cJSON *value, const char *bytes, char *scratch,
                 size_t *len)
{
    int64_t integer;
    uint64_t rest;
    size_t at = JSON_SCALAR_MAX;

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
    *len = JSON_SCALAR_MAX - at;
    return scratch + at;
}
