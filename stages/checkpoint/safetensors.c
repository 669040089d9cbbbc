/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning safetensors files: order, offsets, header.
 */
#include "stages/checkpoint/safetensors.h"

#include "daemon/base/bytes.h"
#include "daemon/base/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_ALIGN 8

const char *
safetensors_type_name(enum tensor_type type)
{
    static const char *const names[] = {
        [TENSOR_F32] = "F32", [TENSOR_F64] = "F64", [TENSOR_I64] = "I64",
        [TENSOR_U64] = "U64", [TENSOR_U32] = "U32", [TENSOR_U8] = "U8",
    };

    assert((size_t)type < COUNT(names));
    return names[type];
}

size_t
safetensors_type_bytes(enum tensor_type type)
{
    static const size_t bytes[] = {
        [TENSOR_F32] = 4, [TENSOR_F64] = 8, [TENSOR_I64] = 8,
        [TENSOR_U64] = 8, [TENSOR_U32] = 4, [TENSOR_U8] = 1,
    };

    assert((size_t)type < COUNT(bytes));
    return bytes[type];
}

/* Elements times their size; the shapes come from a model in memory. */
static uint64_t
data_bytes(const struct tensor *t)
{
    uint64_t n = safetensors_type_bytes(t->type);

    assert(t->rank == 1 || t->rank == 2);
    for (size_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static int
compare_place(const void *a, const void *b)
{
    const struct tensor *s = *(const struct tensor *const *)a;
    const struct tensor *t = *(const struct tensor *const *)b;
    size_t s_bytes = safetensors_type_bytes(s->type);
    size_t t_bytes = safetensors_type_bytes(t->type);

    if (s_bytes != t_bytes)
        return s_bytes > t_bytes ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int
compare_name(const void *a, const void *b)
{
    const struct tensor *s = *(const struct tensor *const *)a;
    const struct tensor *t = *(const struct tensor *const *)b;

    return strcmp(s->name, t->name);
}

static int
compare_key(const void *a, const void *b)
{
    const struct safetensors_pair *s = a;
    const struct safetensors_pair *t = b;

    return strcmp(s->key, t->key);
}

static enum status
append_text(struct bytes *b, const char *text, struct error *err)
{
    return bytes_append(b, text, strlen(text), err);
}

/* Appends text as a JSON string. */
static enum status
append_string(struct bytes *b, const char *text, struct error *err)
{
    enum status st = append_text(b, "\"", err);

    for (; st == STATUS_OK && *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        char escape[8];

        if (c == '"' || c == '\\')
            (void)snprintf(escape, sizeof(escape), "\\%c", c);
        else if (c < 0x20)
            (void)snprintf(escape, sizeof(escape), "\\u%04x", c);
        else
            (void)snprintf(escape, sizeof(escape), "%c", c);
        st = append_text(b, escape, err);
    }
    return st == STATUS_OK ? append_text(b, "\"", err) : st;
}

static enum status
append_meta(struct bytes *b, const struct safetensors_pair *meta, size_t count,
            struct error *err)
{
    struct safetensors_pair *sorted = NULL;
    enum status st;

    assert(count <= SAFETENSORS_META_MAX);
    if (count == 0)
        return STATUS_OK;
    sorted = malloc(count * sizeof(*sorted));
    if (sorted == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a header");
    memcpy(sorted, meta, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_key);
    st = append_text(b, "\"__metadata__\":{", err);
    for (size_t i = 0; st == STATUS_OK && i < count; i++) {
        if (i > 0)
            st = append_text(b, ",", err);
        if (st == STATUS_OK)
            st = append_string(b, sorted[i].key, err);
        if (st == STATUS_OK)
            st = append_text(b, ":", err);
        if (st == STATUS_OK)
            st = append_string(b, sorted[i].value, err);
    }
    free(sorted);
    return st == STATUS_OK ? append_text(b, "}", err) : st;
}

static enum status
append_tensor(struct bytes *b, const struct tensor *t, uint64_t begin,
              struct error *err)
{
    char text[160];
    char second[32] = "";
    enum status st;

    st = append_string(b, t->name, err);
    if (st != STATUS_OK)
        return st;
    if (t->rank == 2)
        (void)snprintf(second, sizeof(second), ",%" PRIu64, t->shape[1]);
    (void)snprintf(text, sizeof(text),
                   ":{\"dtype\":\"%s\",\"shape\":[%" PRIu64
                   "%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                   safetensors_type_name(t->type), t->shape[0], second, begin,
                   begin + data_bytes(t));
    return append_text(b, text, err);
}

/* Writes the JSON for tensors in file order, with their offsets from the
 * header's end, and pads it. */
static enum status
append_header(struct bytes *b, const struct tensor *const *order, size_t count,
              const struct safetensors_pair *meta, size_t meta_count,
              struct error *err)
{
    uint64_t begin = 0;
    enum status st;

    st = append_text(b, "{", err);
    if (st == STATUS_OK)
        st = append_meta(b, meta, meta_count, err);
    for (size_t i = 0; st == STATUS_OK && i < count; i++) {
        if (i > 0 || meta_count > 0)
            st = append_text(b, ",", err);
        if (st == STATUS_OK)
            st = append_tensor(b, order[i], begin, err);
        begin += data_bytes(order[i]);
    }
    if (st == STATUS_OK)
        st = append_text(b, "}", err);
    while (st == STATUS_OK && b->used % HEADER_ALIGN != 0)
        st = append_text(b, " ", err);
    return st;
}

static enum status
refuse_duplicates(const struct tensor **order, size_t count, struct error *err)
{
    qsort(order, count, sizeof(*order), compare_name);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            return error_set(err, STATUS_CONFIG,
                             "two tensors would be named \"%s\"",
                             order[i]->name);
    }
    return STATUS_OK;
}

enum status
safetensors_plan_new(struct safetensors_plan **out,
                     const struct tensor *tensors, size_t count,
                     const struct safetensors_pair *meta, size_t meta_count,
                     struct error *err)
{
    struct safetensors_plan *p = calloc(1, sizeof(*p));
    const struct tensor **order = calloc(count > 0 ? count : 1, sizeof(*order));
    struct bytes b;
    uint64_t at;
    enum status st;

    assert(count <= SAFETENSORS_TENSORS_MAX);
    *out = NULL;
    bytes_init(&b, SAFETENSORS_HEADER_MAX);
    if (p != NULL)
        p->offsets = calloc(count > 0 ? count : 1, sizeof(*p->offsets));
    if (p == NULL || order == NULL || p->offsets == NULL) {
        st = error_set(err, STATUS_NOMEM, "no memory for a file's plan");
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = &tensors[i];
    st = refuse_duplicates(order, count, err);
    if (st != STATUS_OK)
        goto out;
    qsort(order, count, sizeof(*order), compare_place);
    st = bytes_append(&b, "\0\0\0\0\0\0\0", 8, err);
    if (st == STATUS_OK)
        st = append_header(&b, order, count, meta, meta_count, err);
    if (st != STATUS_OK)
        goto out;
    for (size_t i = 0; i < 8; i++)
        b.data[i] = (char)(unsigned char)((uint64_t)(b.used - 8) >> (8 * i));
    at = b.used;
    for (size_t i = 0; i < count; i++) {
        p->offsets[order[i] - tensors] = at;
        at += data_bytes(order[i]);
    }
    p->file_bytes = at;
    p->header = b.data;
    p->header_bytes = b.used;
    bytes_init(&b, 0);
    *out = p;
    p = NULL;
out:
    bytes_fini(&b);
    free(order);
    safetensors_plan_free(&p);
    return st;
}

void
safetensors_plan_free(struct safetensors_plan **self)
{
    struct safetensors_plan *p = *self;

    if (p == NULL)
        return;
    free(p->header);
    free(p->offsets);
    free(p);
    *self = NULL;
}
