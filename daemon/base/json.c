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

enum status
json_parse(struct cJSON **out, const char *bytes, size_t len,
           const struct json_limits *limits, struct json_facts *facts,
           struct error *err)
{
    struct cJSON *root;
    struct place top = {.parent = NULL};
    enum status st;

    assert(out != NULL);
    *out = NULL;
    st = json_check(bytes, len, limits, facts, err);
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
json_word(const struct cJSON *value, const char *const *words, int *out)
{
    const char *text = json_string(value);

    for (int i = 0; text != NULL && words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool
json_boolean(const struct cJSON *value, bool *out)
{
    if (value == NULL || !cJSON_IsBool(value))
        return false;
    *out = cJSON_IsTrue(value) != 0;
    return true;
}
