/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader. Checks are in the order of the format's reference; cJSON only
 * sees headers that its lenient sides cannot bend (number forms, control
 * characters, depth, number of nodes), and is then asked for exact members.
 */
#include "stages/checkpoint/safetensors.h"

#include "daemon/base/object.h"
#include "daemon/base/text.h"
#include "daemon/io/file.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAFETENSORS_MAGIC 0x5afe7e50u
#define LENGTH_BYTES      8
#define DEPTH_MAX         3 /* header, tensor, shape */
#define COMMAS_MAX        ((size_t)10 * SAFETENSORS_TENSORS_MAX)
#define DIGITS_MAX        16
#define EXACT_MAX         9007199254740992.0 /* 2^53 */

struct safetensors {
    unsigned magic;
    struct file_map map; /* of safetensors_open */
    const unsigned char *data;
    size_t bytes;
    size_t header_bytes; /* without the length */
    char *name;          /* for messages */
    cJSON *header;
    const cJSON *meta; /* of header; may be NULL */
    struct tensor *tensors;
    size_t count;
    uint64_t (*offsets)[2]; /* (count) begin and end, from the header's end */
};

print_like(3, 4) static enum status
    refuse(const struct safetensors *s, struct error *err, const char *format,
           ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_set(err, STATUS_BADDATA,
                     "%s: not a usable safetensors file: %s", s->name, text);
}

/* Rules 1 to 4: lengths, first byte, UTF-8. */
static enum status
check_envelope(struct safetensors *s, struct error *err)
{
    const unsigned char *header;
    uint64_t n = 0;
    size_t valid;

    if (s->bytes < LENGTH_BYTES)
        return refuse(s, err, "%zu bytes, a header needs 8 at least", s->bytes);
    header = s->data + LENGTH_BYTES;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        n |= (uint64_t)s->data[i] << (8 * i);
    if (n > SAFETENSORS_HEADER_MAX)
        return refuse(s, err, "header of %llu bytes, at most %zu are read",
                      (unsigned long long)n, SAFETENSORS_HEADER_MAX);
    if (n > s->bytes - LENGTH_BYTES)
        return refuse(s, err, "header of %llu bytes, but only %zu are there",
                      (unsigned long long)n, s->bytes - LENGTH_BYTES);
    s->header_bytes = (size_t)n;
    if (n == 0 || header[0] != '{')
        return refuse(s, err, "header does not begin with {");
    valid = text_utf8_prefix((const char *)header, s->header_bytes);
    if (valid < s->header_bytes)
        return refuse(s, err, "header is not UTF-8 at byte %zu", valid);
    return STATUS_OK;
}

/* Checks a string that begins behind its quote; *i ends on the last quote. */
static enum status
scan_string(const struct safetensors *s, size_t *i, struct error *err)
{
    const unsigned char *text = s->data + LENGTH_BYTES;

    for (; *i < s->header_bytes; (*i)++) {
        size_t left = s->header_bytes - *i;

        if (text[*i] == '"')
            return STATUS_OK;
        if (text[*i] < 0x20)
            return refuse(s, err, "control character in a string, byte %zu",
                          *i);
        if (text[*i] != '\\')
            continue;
        if (left > 5 && memcmp(text + *i, "\\u0000", 6) == 0)
            return refuse(s, err, "NUL in a string, byte %zu", *i);
        (*i)++; /* what is escaped, a quote as well */
    }
    return refuse(s, err, "string without an end");
}

/* Checks the digits at *i; *i ends on the last one. */
static enum status
scan_number(const struct safetensors *s, size_t *i, struct error *err)
{
    const unsigned char *text = s->data + LENGTH_BYTES;
    size_t first = *i;

    while (*i + 1 < s->header_bytes && text[*i + 1] >= '0' &&
           text[*i + 1] <= '9')
        (*i)++;
    if (text[first] == '0' && *i > first)
        return refuse(s, err, "number with a leading 0, byte %zu", first);
    if (*i - first >= DIGITS_MAX)
        return refuse(s, err, "number beyond 2^53, byte %zu", first);
    return STATUS_OK;
}

/*
 * Rule 5, what must hold before a general parser may look: outside of strings
 * there are only braces, brackets, colons, commas, white space and whole
 * numbers; depth and number of values are bounded.
 */
static enum status
scan_header(const struct safetensors *s, struct error *err)
{
    const unsigned char *text = s->data + LENGTH_BYTES;
    enum status st = STATUS_OK;
    size_t commas = 0;
    size_t depth = 0;

    for (size_t i = 0; st == STATUS_OK && i < s->header_bytes; i++) {
        unsigned char c = text[i];

        if (c == '"') {
            i++;
            st = scan_string(s, &i, err);
        } else if (c >= '0' && c <= '9') {
            st = scan_number(s, &i, err);
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                st = refuse(s, err, "nested too deeply, byte %zu", i);
        } else if (c == '}' || c == ']') {
            if (depth-- == 0)
                st = refuse(s, err, "unmatched %c, byte %zu", c, i);
        } else if (c == ',') {
            if (++commas > COMMAS_MAX)
                st = refuse(s, err, "too many values");
        } else if (strchr(" \t\r\n:", c) == NULL || c == '\0') {
            st = refuse(s, err,
                        "byte %zu is 0x%02x: only strings and whole numbers "
                        "from 0 on belong here",
                        i, c);
        }
    }
    return st;
}

/* Rule 5, the rest but for tensors' names: one object, then spaces only. */
static enum status
parse_header(struct safetensors *s, struct error *err)
{
    const char *text = (const char *)s->data + LENGTH_BYTES;
    const char *end = NULL;
    enum status st = scan_header(s, err);

    if (st != STATUS_OK)
        return st;
    s->header = cJSON_ParseWithLengthOpts(text, s->header_bytes, &end, 0);
    if (s->header == NULL || !cJSON_IsObject(s->header))
        return refuse(s, err, "header is not JSON, byte %zu",
                      end != NULL ? (size_t)(end - text) : 0);
    for (; end < text + s->header_bytes; end++) {
        if (*end != ' ')
            return refuse(s, err, "something follows the header's object");
    }
    return STATUS_OK;
}

static int
compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses an object with two equal keys. */
static enum status
refuse_duplicates(const struct safetensors *s, const cJSON *object,
                  struct error *err)
{
    size_t count = 0;
    const char **keys;
    enum status st = STATUS_OK;

    for (const cJSON *c = object->child; c != NULL; c = c->next)
        count++;
    keys = malloc((count + 1) * sizeof(*keys));
    if (keys == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to read it",
                         s->name);
    count = 0;
    for (const cJSON *c = object->child; c != NULL; c = c->next)
        keys[count++] = c->string;
    qsort(keys, count, sizeof(*keys), compare_text);
    for (size_t i = 1; st == STATUS_OK && i < count; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0)
            st = refuse(s, err, "\"%.64s\" is there twice", keys[i]);
    }
    free(keys);
    return st;
}

/* Rule 6. */
static enum status
check_meta(struct safetensors *s, struct error *err)
{
    size_t count = 0;

    s->meta = cJSON_GetObjectItemCaseSensitive(s->header, "__metadata__");
    if (s->meta == NULL)
        return STATUS_OK;
    if (!cJSON_IsObject(s->meta))
        return refuse(s, err, "__metadata__ is not an object");
    for (const cJSON *c = s->meta->child; c != NULL; c = c->next) {
        if (!cJSON_IsString(c))
            return refuse(s, err, "__metadata__: \"%.64s\" is not a string",
                          c->string);
        if (++count > SAFETENSORS_META_MAX)
            return refuse(s, err, "__metadata__ has more than %d members",
                          SAFETENSORS_META_MAX);
    }
    return refuse_duplicates(s, s->meta, err);
}

/* Reads an array of at most max whole numbers below 2^53. */
static enum status
read_numbers(const struct safetensors *s, const cJSON *member,
             const char *tensor, uint64_t *numbers, size_t max, size_t *count,
             struct error *err)
{
    *count = 0;
    if (!cJSON_IsArray(member))
        return refuse(s, err, "tensor \"%s\": %s is not an array", tensor,
                      member->string);
    for (const cJSON *c = member->child; c != NULL; c = c->next) {
        if (!cJSON_IsNumber(c) || c->valuedouble >= EXACT_MAX)
            return refuse(s, err,
                          "tensor \"%s\": %s has something else than whole "
                          "numbers below 2^53",
                          tensor, member->string);
        if (*count == max)
            return refuse(s, err, "tensor \"%s\": %s has more than %zu numbers",
                          tensor, member->string, max);
        numbers[(*count)++] = (uint64_t)c->valuedouble;
    }
    return STATUS_OK;
}

static enum status
read_type(const struct safetensors *s, const cJSON *member, struct tensor *t,
          struct error *err)
{
    static const enum tensor_type types[] = {
        TENSOR_F32, TENSOR_F64, TENSOR_I64, TENSOR_U64, TENSOR_U32, TENSOR_U8,
    };

    if (!cJSON_IsString(member))
        return refuse(s, err, "tensor \"%s\": dtype is not a string", t->name);
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcmp(member->valuestring, safetensors_type_name(types[i])) == 0) {
            t->type = types[i];
            return STATUS_OK;
        }
    }
    return refuse(s, err,
                  "tensor \"%s\": dtype %.16s; only F32, F64, I64, U64, U32 "
                  "and U8 are read here",
                  t->name, member->valuestring);
}

/* Rule 8: the size of the data, refusing what does not fit 64 bits. */
static enum status
measure(const struct safetensors *s, const struct tensor *t, uint64_t *bytes,
        struct error *err)
{
    uint64_t n = safetensors_type_bytes(t->type);

    for (size_t i = 0; i < t->rank; i++) {
        if (__builtin_mul_overflow(n, t->shape[i], &n))
            return refuse(s, err, "tensor \"%s\": shape overflows", t->name);
    }
    *bytes = n;
    return STATUS_OK;
}

/* Rules 7 and 8 for one tensor, and the pair of its offsets. */
static enum status
read_tensor(struct safetensors *s, const cJSON *item, size_t i,
            struct error *err)
{
    struct tensor *t = &s->tensors[i];
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
    const cJSON *pair = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    size_t len = strlen(item->string);
    uint64_t bytes;
    size_t n;
    enum status st;

    if (len >= sizeof(t->name))
        return refuse(s, err,
                      "tensor \"%.64s...\": name of %zu bytes, at "
                      "most %zu are read",
                      item->string, len, sizeof(t->name) - 1);
    memcpy(t->name, item->string, len + 1);
    if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) != 3 ||
        type == NULL || shape == NULL || pair == NULL)
        return refuse(s, err,
                      "tensor \"%s\" needs dtype, shape, data_offsets and "
                      "nothing else",
                      t->name);
    st = read_type(s, type, t, err);
    if (st == STATUS_OK)
        st = read_numbers(s, shape, t->name, t->shape, COUNT(t->shape),
                          &t->rank, err);
    if (st == STATUS_OK)
        st = read_numbers(s, pair, t->name, s->offsets[i], 2, &n, err);
    if (st != STATUS_OK)
        return st;
    if (n != 2)
        return refuse(s, err, "tensor \"%s\": data_offsets needs 2 numbers",
                      t->name);
    if (t->rank == 0) { /* a scalar */
        t->rank = 1;
        t->shape[0] = 1;
    }
    return measure(s, t, &bytes, err);
}

static enum status
read_tensors(struct safetensors *s, struct error *err)
{
    size_t count = 0;
    enum status st = STATUS_OK;

    for (const cJSON *c = s->header->child; c != NULL; c = c->next)
        count += c != s->meta;
    if (count > SAFETENSORS_TENSORS_MAX)
        return refuse(s, err, "%zu tensors, at most %d are read", count,
                      SAFETENSORS_TENSORS_MAX);
    s->tensors = calloc(count + 1, sizeof(*s->tensors));
    s->offsets = calloc(count + 1, sizeof(*s->offsets));
    if (s->tensors == NULL || s->offsets == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to read it",
                         s->name);
    for (const cJSON *c = s->header->child; st == STATUS_OK && c != NULL;
         c = c->next) {
        if (c != s->meta)
            st = read_tensor(s, c, s->count++, err);
    }
    return st;
}

/* A tensor while the order of the data is checked. */
struct place {
    uint64_t begin;
    uint64_t end;
    const struct tensor *tensor;
};

static int
compare_place(const void *a, const void *b)
{
    const struct place *p = a;
    const struct place *q = b;

    if (p->begin != q->begin)
        return p->begin < q->begin ? -1 : 1;
    return p->end < q->end ? -1 : p->end > q->end;
}

/* Rules 9 to 11: no hole, no overlap, right sizes, nothing left over. */
static enum status
check_places(const struct safetensors *s, struct place *places,
             struct error *err)
{
    uint64_t room = s->bytes - LENGTH_BYTES - s->header_bytes;
    uint64_t at = 0;

    qsort(places, s->count, sizeof(*places), compare_place);
    for (size_t i = 0; i < s->count; i++) {
        const struct place *p = &places[i];
        uint64_t bytes = 0;
        enum status st;

        if (p->begin != at || p->end < p->begin)
            return refuse(s, err,
                          "tensor \"%s\" is at [%llu, %llu), expected to "
                          "begin at %llu",
                          p->tensor->name, (unsigned long long)p->begin,
                          (unsigned long long)p->end, (unsigned long long)at);
        st = measure(s, p->tensor, &bytes, err);
        if (st != STATUS_OK)
            return st;
        if (p->end - p->begin != bytes)
            return refuse(
                s, err, "tensor \"%s\" has %llu bytes, its shape needs %llu",
                p->tensor->name, (unsigned long long)(p->end - p->begin),
                (unsigned long long)bytes);
        at = p->end;
    }
    if (at != room)
        return refuse(s, err, "tensors end at %llu, the file's data at %llu",
                      (unsigned long long)at, (unsigned long long)room);
    return STATUS_OK;
}

static enum status
place_tensors(struct safetensors *s, struct error *err)
{
    const unsigned char *base = s->data + LENGTH_BYTES + s->header_bytes;
    struct place *places = malloc((s->count + 1) * sizeof(*places));
    enum status st;

    if (places == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to read it",
                         s->name);
    for (size_t i = 0; i < s->count; i++)
        places[i] = (struct place){.begin = s->offsets[i][0],
                                   .end = s->offsets[i][1],
                                   .tensor = &s->tensors[i]};
    st = check_places(s, places, err);
    for (size_t i = 0; st == STATUS_OK && i < s->count; i++)
        s->tensors[i].data = base + s->offsets[i][0];
    free(places);
    return st;
}

static enum status
new_reader(struct safetensors **out, const char *name, struct error *err)
{
    struct safetensors *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (s != NULL)
        s->name = strdup(name);
    if (s == NULL || s->name == NULL) {
        free(s);
        return error_set(err, STATUS_NOMEM, "%s: no memory to read it", name);
    }
    s->magic = SAFETENSORS_MAGIC;
    *out = s;
    return STATUS_OK;
}

static enum status
read_all(struct safetensors *s, struct error *err)
{
    enum status st = check_envelope(s, err);

    if (st == STATUS_OK)
        st = parse_header(s, err);
    if (st == STATUS_OK)
        st = refuse_duplicates(s, s->header, err);
    if (st == STATUS_OK)
        st = check_meta(s, err);
    if (st == STATUS_OK)
        st = read_tensors(s, err);
    if (st == STATUS_OK)
        st = place_tensors(s, err);
    return st;
}

enum status
safetensors_open(struct safetensors **out, const char *path, struct error *err)
{
    struct safetensors *s = NULL;
    enum status st = new_reader(&s, path, err);

    *out = NULL;
    if (st != STATUS_OK)
        return st;
    st = file_map(&s->map, path, err);
    if (st != STATUS_OK)
        goto out;
    s->data = s->map.data;
    s->bytes = s->map.bytes;
    st = read_all(s, err);
    if (st != STATUS_OK)
        goto out;
    *out = s;
    s = NULL;
out:
    safetensors_free(&s);
    return st;
}

enum status
safetensors_parse(struct safetensors **out, const void *data, size_t bytes,
                  const char *name, struct error *err)
{
    struct safetensors *s = NULL;
    enum status st = new_reader(&s, name, err);

    *out = NULL;
    if (st != STATUS_OK)
        return st;
    s->data = data;
    s->bytes = bytes;
    st = read_all(s, err);
    if (st == STATUS_OK) {
        *out = s;
        s = NULL;
    }
    safetensors_free(&s);
    return st;
}

void
safetensors_free(struct safetensors **self)
{
    struct safetensors *s = *self;

    if (s == NULL)
        return;
    OBJ_CHECK(s, SAFETENSORS_MAGIC);
    cJSON_Delete(s->header);
    file_unmap(&s->map);
    free(s->tensors);
    free(s->offsets);
    free(s->name);
    s->magic = 0;
    free(s);
    *self = NULL;
}

size_t
safetensors_count(const struct safetensors *s)
{
    OBJ_CHECK(s, SAFETENSORS_MAGIC);
    return s->count;
}

const struct tensor *
safetensors_tensors(const struct safetensors *s)
{
    OBJ_CHECK(s, SAFETENSORS_MAGIC);
    return s->tensors;
}

const struct tensor *
safetensors_find(const struct safetensors *s, const char *name)
{
    OBJ_CHECK(s, SAFETENSORS_MAGIC);
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->tensors[i].name, name) == 0)
            return &s->tensors[i];
    }
    return NULL;
}

const char *
safetensors_meta(const struct safetensors *s, const char *key)
{
    const cJSON *item;

    OBJ_CHECK(s, SAFETENSORS_MAGIC);
    item =
        s->meta != NULL ? cJSON_GetObjectItemCaseSensitive(s->meta, key) : NULL;
    return item != NULL ? item->valuestring : NULL;
}
