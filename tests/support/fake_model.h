/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_FAKE_MODEL_H
#define SUPPORT_FAKE_MODEL_H

#include "stages/model/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * A model that is nothing but tensors: it stands in for the engine's functions
 * that checkpoints use, so that their tests choose sizes, names and failures.
 * To be included by one file of a test that does not need the engine.
 */

#define FAKE_TENSORS_MAX 8
#define FAKE_PIECE       ((uint64_t)100003) /* odd, so that pieces straddle */

struct model {
    size_t count;
    struct tensor tensors[FAKE_TENSORS_MAX];
    unsigned char *data[FAKE_TENSORS_MAX];
    uint64_t read[FAKE_TENSORS_MAX];
    size_t turn;
    bool has_snapshot;
    size_t restored; /* tensors that model_restore was given */
};

uint64_t
tensor_bytes(const struct tensor *t)
{
    static const uint64_t sizes[] = {4, 8, 8, 8, 4, 1};

    return sizes[t->type] * t->shape[0] * (t->rank == 2 ? t->shape[1] : 1);
}

/* Adds a tensor of n elements, its bytes made from a seed. */
static inline void
fake_add(struct model *m, const char *name, enum tensor_type type, uint64_t n,
         bool is_state, unsigned seed)
{
    struct tensor *t = &m->tensors[m->count];
    uint64_t bytes;

    assert(m->count < FAKE_TENSORS_MAX);
    *t = (struct tensor){
        .type = type, .rank = 1, .shape = {n}, .is_state = is_state};
    (void)snprintf(t->name, sizeof(t->name), "%s", name);
    bytes = tensor_bytes(t);
    m->data[m->count] = malloc((size_t)bytes + 1);
    for (uint64_t i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        m->data[m->count][i] = (unsigned char)(seed >> 24);
    }
    m->count++;
}

enum status
model_new(struct model **out, const struct model_spec *spec, struct error *err)
{
    (void)spec;
    (void)err;
    *out = calloc(1, sizeof(**out));
    return STATUS_OK;
}

void
model_free(struct model **self)
{
    if (*self == NULL)
        return;
    for (size_t i = 0; i < (*self)->count; i++)
        free((*self)->data[i]);
    free(*self);
    *self = NULL;
}

enum status
model_snapshot_begin(struct model *m, struct error *err)
{
    (void)err;
    assert(!m->has_snapshot);
    m->has_snapshot = true;
    m->turn = 0;
    memset(m->read, 0, sizeof(m->read));
    return STATUS_OK;
}

size_t
model_snapshot_count(const struct model *m)
{
    assert(m->has_snapshot);
    return m->count;
}

const struct tensor *
model_snapshot_tensor(const struct model *m, size_t i)
{
    return &m->tensors[i];
}

enum status
model_snapshot_read(struct model *m, void *buf, size_t capacity,
                    struct tensor_piece *out)
{
    assert(m->has_snapshot);
    for (size_t tried = 0; tried < m->count; tried++) {
        size_t i = m->turn++ % m->count;
        uint64_t left = tensor_bytes(&m->tensors[i]) - m->read[i];

        if (left == 0)
            continue;
        left = left < FAKE_PIECE ? left : FAKE_PIECE;
        left = left < capacity ? left : capacity;
        memcpy(buf, m->data[i] + m->read[i], left);
        *out = (struct tensor_piece){
            .tensor = i, .offset = m->read[i], .bytes = (size_t)left};
        m->read[i] += left;
        return STATUS_OK;
    }
    return STATUS_END;
}

void
model_snapshot_end(struct model *m)
{
    assert(m->has_snapshot);
    m->has_snapshot = false;
}

enum status
model_restore(struct model *m, const struct tensor *tensors, size_t count,
              enum restore_mode mode, size_t *kept, struct error *err)
{
    (void)mode;
    (void)kept;
    (void)err;
    m->restored = count;
    for (size_t i = 0; i < count && i < FAKE_TENSORS_MAX; i++) {
        size_t bytes = (size_t)tensor_bytes(&tensors[i]);

        m->tensors[m->count] = tensors[i];
        m->data[m->count] = malloc(bytes + 1);
        memcpy(m->data[m->count], tensors[i].data, bytes);
        m->count++;
    }
    return STATUS_OK;
}

#endif
