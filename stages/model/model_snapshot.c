/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots and restoring. The entries (dense tensors and small state) are
 * copied at begin, the tables keep copies of the rows that change; both are
 * then read in pieces. Both ways go along the one list of entries.
 */
#include "stages/model/model_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t
tensor_bytes(const struct tensor *t)
{
    static const uint8_t sizes[] = {
        [TENSOR_F32] = 4, [TENSOR_F64] = 8, [TENSOR_I64] = 8,
        [TENSOR_U64] = 8, [TENSOR_U32] = 4, [TENSOR_U8] = 1,
    };

    assert(t->rank == 1 || t->rank == 2);
    return sizes[t->type] * t->shape[0] * (t->rank == 2 ? t->shape[1] : 1);
}

/* ---- Snapshots ---- */

static void
list_table(struct model *m, size_t i)
{
    const struct table *t = m->lookups[i].table;
    size_t n = table_snapshot_count(t);

    assert(n <= TABLE_TENSORS);
    m->listed_from[i] = m->listed_count;
    for (size_t k = 0; k < n; k++)
        m->listed[m->listed_count++] = *table_snapshot_tensor(t, k);
}

enum status
model_snapshot_begin(struct model *m, struct error *err)
{
    unsigned char *to = m->kept;
    enum status st = STATUS_OK;
    size_t begun = 0;

    OBJ_CHECK(m, MODEL_MAGIC);
    assert(!m->has_snapshot);
    for (; begun < m->lookup_count && st == STATUS_OK; begun++)
        st = table_snapshot_begin(m->lookups[begun].table, err);
    if (st != STATUS_OK) {
        for (size_t i = 0; i + 1 < begun; i++)
            table_snapshot_end(m->lookups[i].table);
        return st;
    }
    m->listed_count = 0;
    for (size_t i = 0; i < m->entry_count; i++) {
        const struct entry *e = &m->entries[i];
        size_t bytes = (size_t)tensor_bytes(&e->tensor);

        memcpy(to, e->live, bytes);
        to += bytes;
        m->listed[m->listed_count++] = e->tensor;
    }
    for (size_t i = 0; i < m->lookup_count; i++)
        list_table(m, i);
    m->listed_from[m->lookup_count] = m->listed_count;
    m->read_entry = 0;
    m->read_offset = 0;
    m->read_table = 0;
    m->has_snapshot = true;
    return STATUS_OK;
}

size_t
model_snapshot_count(const struct model *m)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    assert(m->has_snapshot);
    return m->listed_count;
}

const struct tensor *
model_snapshot_tensor(const struct model *m, size_t i)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    assert(m->has_snapshot && i < m->listed_count);
    return &m->listed[i];
}

/* The next piece of the entries' copies, which lie in order. */
static void
read_entry(struct model *m, void *buf, size_t capacity,
           struct tensor_piece *out)
{
    const unsigned char *from = m->kept;
    uint64_t left;

    for (size_t i = 0; i < m->read_entry; i++)
        from += tensor_bytes(&m->entries[i].tensor);
    left = tensor_bytes(&m->entries[m->read_entry].tensor) - m->read_offset;
    out->tensor = m->read_entry;
    out->offset = m->read_offset;
    out->bytes = left < capacity ? (size_t)left : capacity;
    memcpy(buf, from + m->read_offset, out->bytes);
    m->read_offset += out->bytes;
    if (out->bytes == left) {
        m->read_entry++;
        m->read_offset = 0;
    }
}

enum status
model_snapshot_read(struct model *m, void *buf, size_t capacity,
                    struct tensor_piece *out)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    assert(m->has_snapshot && capacity > 0);
    if (m->read_entry < m->entry_count) {
        read_entry(m, buf, capacity, out);
        return STATUS_OK;
    }
    while (m->read_table < m->lookup_count) {
        enum status st = table_snapshot_read(m->lookups[m->read_table].table,
                                             buf, capacity, out);

        if (st != STATUS_END) {
            out->tensor += m->listed_from[m->read_table];
            return st;
        }
        m->read_table++;
    }
    return STATUS_END;
}

void
model_snapshot_end(struct model *m)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    if (!m->has_snapshot)
        return;
    for (size_t i = 0; i < m->lookup_count; i++)
        table_snapshot_end(m->lookups[i].table);
    m->has_snapshot = false;
}

/* ---- Restoring ---- */

/* Writes "F32 (10, 100)". */
static void
print_shape(char *to, size_t bytes, const struct tensor *t)
{
    static const char *const types[] = {"F32", "F64", "I64",
                                        "U64", "U32", "U8"};

    if (t->rank == 2)
        (void)snprintf(to, bytes, "%s (%" PRIu64 ", %" PRIu64 ")",
                       types[t->type], t->shape[0], t->shape[1]);
    else
        (void)snprintf(to, bytes, "%s (%" PRIu64 ")", types[t->type],
                       t->shape[0]);
}

static bool
has_same_shape(const struct tensor *a, const struct tensor *b)
{
    return a->type == b->type && a->rank == b->rank &&
           a->shape[0] == b->shape[0] &&
           (a->rank == 1 || a->shape[1] == b->shape[1]);
}

static size_t
find_tensor(const struct tensor *tensors, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) == 0)
            return i;
    }
    return NONE;
}

static bool
is_finite(const struct tensor *t)
{
    const unsigned char *from = t->data;
    uint64_t bytes = tensor_bytes(t);

    for (uint64_t i = 0; t->type == TENSOR_F32 && i < bytes; i += 4) {
        float v;

        memcpy(&v, from + i, sizeof(v));
        if (!isfinite(v))
            return false;
    }
    for (uint64_t i = 0; t->type == TENSOR_F64 && i < bytes; i += 8) {
        double v;

        memcpy(&v, from + i, sizeof(v));
        if (!isfinite(v))
            return false;
    }
    return true;
}

static enum status
restore_entry(struct entry *e, const struct tensor *t, enum restore_mode mode,
              bool *is_used, struct error *err)
{
    if (!has_same_shape(&e->tensor, t)) {
        char want[64];
        char got[64];

        print_shape(want, sizeof(want), &e->tensor);
        print_shape(got, sizeof(got), t);
        if (mode == RESTORE_MATCHING)
            return STATUS_OK;
        return error_set(err, STATUS_BADDATA,
                         "tensor %s is %s, the model's is %s", t->name, got,
                         want);
    }
    if (!is_finite(t))
        return error_set(err, STATUS_BADDATA,
                         "tensor %s has values that are not finite", t->name);
    memcpy(e->live, t->data, (size_t)tensor_bytes(t));
    *is_used = true;
    return STATUS_OK;
}

static enum status
restore_entries(struct model *m, const struct tensor *tensors, size_t count,
                enum restore_mode mode, bool *used, struct error *err)
{
    m->is_packed = false;
    for (size_t i = 0; i < m->entry_count; i++) {
        struct entry *e = &m->entries[i];
        size_t at = find_tensor(tensors, count, e->tensor.name);
        enum status st;

        if (e->tensor.is_state && mode == RESTORE_WEIGHTS)
            continue;
        if (at == NONE && mode == RESTORE_MATCHING)
            continue;
        if (at == NONE) {
            char want[64];

            print_shape(want, sizeof(want), &e->tensor);
            return error_set(err, STATUS_BADDATA,
                             "tensor %s is missing, the model needs it as %s",
                             e->tensor.name, want);
        }
        st = restore_entry(e, &tensors[at], mode, &used[at], err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* Whether a tensor that nobody took may stay: with weights alone wanted, the
 * state of this model's own tensors may lie beside them. */
static bool
may_stay(const struct model *m, const struct tensor *t)
{
    static const char *const parts[] = {
        "state",      "sightings",           "last_seen",
        "candidates", "candidate_sightings", "candidate_last_seen",
        "cursors"};

    if (t->is_state)
        return true;
    for (size_t i = 0; i < m->entry_count; i++) {
        if (m->entries[i].tensor.is_state &&
            strcmp(m->entries[i].tensor.name, t->name) == 0)
            return true;
    }
    for (size_t i = 0; i < m->lookup_count; i++) {
        for (size_t k = 0; k < COUNT(parts); k++) {
            char name[2 * MODEL_NAME_MAX];

            (void)snprintf(name, sizeof(name), "%s/%s", m->features[i].name,
                           parts[k]);
            if (strcmp(name, t->name) == 0)
                return true;
        }
    }
    return false;
}

static enum status
check_surplus(const struct model *m, const struct tensor *tensors, size_t count,
              enum restore_mode mode, const bool *used, struct error *err)
{
    if (mode == RESTORE_MATCHING)
        return STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        char got[64];

        if (used[i] || (mode == RESTORE_WEIGHTS && may_stay(m, &tensors[i])))
            continue;
        print_shape(got, sizeof(got), &tensors[i]);
        return error_set(err, STATUS_BADDATA,
                         "tensor %s, %s, has no place in the model",
                         tensors[i].name, got);
    }
    return STATUS_OK;
}

static enum status
check_counters(const struct model *m, struct error *err)
{
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        if (m->counters[i] < 0 || m->counters[i] > INT64_MAX / 2)
            return error_set(err, STATUS_BADDATA,
                             "tensor model/counters: value %zu is out of range",
                             i);
    }
    return STATUS_OK;
}

enum status
model_restore(struct model *m, const struct tensor *tensors, size_t count,
              enum restore_mode mode, size_t *kept, struct error *err)
{
    bool *used = NULL;
    enum status st;

    OBJ_CHECK(m, MODEL_MAGIC);
    assert(!m->has_snapshot);
    if (kept != NULL)
        *kept = 0;
    used = calloc(count + 1, sizeof(*used));
    if (used == NULL)
        return error_set(err, STATUS_NOMEM, "model: restoring %zu tensors",
                         count);
    st = restore_entries(m, tensors, count, mode, used, err);
    if (st == STATUS_OK)
        st = check_counters(m, err);
    for (size_t i = 0; st == STATUS_OK && i < m->lookup_count; i++)
        st =
            table_restore(m->lookups[i].table, tensors, count, mode, used, err);
    if (st == STATUS_OK)
        st = check_surplus(m, tensors, count, mode, used, err);
    for (size_t i = 0; kept != NULL && i < count; i++)
        *kept += used[i];
    free(used);
    return st;
}
