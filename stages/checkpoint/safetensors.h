/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_SAFETENSORS_H
#define CHECKPOINT_SAFETENSORS_H

#include "stages/model/model.h"

#include "daemon/base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The safetensors format: eight bytes of header length, a JSON header, and
 * the tensors' bytes without holes. The writer's side only plans: where every
 * tensor goes is known before its data is, so that pieces can be written as
 * they come. The reader takes nothing on trust.
 */

#define SAFETENSORS_HEADER_MAX  ((size_t)16 << 20)
#define SAFETENSORS_TENSORS_MAX 65536
#define SAFETENSORS_META_MAX    1024

/* One string of __metadata__. */
struct safetensors_pair {
    const char *key;
    const char *value;
};

/* Where everything goes in a file that is yet to be written. */
struct safetensors_plan {
    char *header; /* the file's first bytes, length included */
    size_t header_bytes;
    uint64_t *offsets; /* (count) in the file, in the order of the tensors */
    uint64_t file_bytes;
};

/*
 * safetensors_plan_new plans a file for count tensors (borrowed; data is not
 * looked at): in the file they are ordered by alignment, largest first, then
 * by name, and metadata by key, so equal tensors give equal bytes. CONFIG
 * when two have one name. Thread: any. Allocates.
 */
must_check enum status safetensors_plan_new(
    struct safetensors_plan **out, const struct tensor *tensors, size_t count,
    const struct safetensors_pair *meta, size_t meta_count, struct error *err);

/* safetensors_plan_free frees *self and sets it NULL; NULL is fine. */
void safetensors_plan_free(struct safetensors_plan **self);

struct safetensors;

/*
 * safetensors_open maps a file and checks all of its header: length, UTF-8,
 * strict JSON without duplicate keys, types, shapes, offsets without holes or
 * overlaps, and the size of the file. BADDATA says what is wrong. What the
 * values are, and whether the right tensors are there, is model_restore's
 * business. Thread: any. Allocates.
 */
must_check enum status safetensors_open(struct safetensors **out,
                                        const char *path, struct error *err);

/* safetensors_parse is safetensors_open for bytes in memory, which it borrows
 * until safetensors_free; name stands in messages. */
must_check enum status safetensors_parse(struct safetensors **out,
                                         const void *data, size_t bytes,
                                         const char *name, struct error *err);

/* safetensors_free unmaps and frees *self and sets it NULL; NULL is fine. */
void safetensors_free(struct safetensors **self);

/* safetensors_count is the number of tensors. */
size_t safetensors_count(const struct safetensors *s);

/* safetensors_tensors lends all of them, in header order, with data pointing
 * into the file (at any alignment), until safetensors_free. A scalar shows as
 * rank 1, shape 1. */
const struct tensor *safetensors_tensors(const struct safetensors *s);

/* safetensors_find lends the tensor of that name, or NULL. */
const struct tensor *safetensors_find(const struct safetensors *s,
                                      const char *name);

/* safetensors_meta lends the value of a key of __metadata__, or NULL. */
const char *safetensors_meta(const struct safetensors *s, const char *key);

/* safetensors_type_name lends "F32" for TENSOR_F32, and so on. */
const char *safetensors_type_name(enum tensor_type type);

/* safetensors_type_bytes is the size of one element. */
size_t safetensors_type_bytes(enum tensor_type type);

#endif
