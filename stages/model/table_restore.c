/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling a new table from tensors that nobody vouches for.
 */
#include "stages/model/table_priv.h"

#include "daemon/base/macros.h"
#include "daemon/base/object.h"

#include <math.h>
#include <string.h>

#define PREFETCH_ROWS 16u

/* What there is to restore from: NULL for what is missing or not wanted. */
struct source {
    const struct tensor *tensors;
    size_t count;
    const struct tensor *found[TABLE_TENSOR_COUNT];
};

/* Tensors that make sense only together. */
static const enum table_tensor weights[] = {TABLE_EMBEDDING, TABLE_IDS};
static const enum table_tensor history[] = {TABLE_SIGHTINGS, TABLE_LAST_SEEN,
                                            TABLE_CURSORS};
static const enum table_tensor candidates[] = {
    TABLE_CANDIDATES, TABLE_CANDIDATE_SIGHTINGS, TABLE_CANDIDATE_LAST_SEEN};

/* One store's side of the tensors; sightings and last_seen may be NULL. */
struct listing {
    const char *name; /* of the tensor of ids */
    const unsigned char *ids;
    const unsigned char *sightings;
    const unsigned char *last_seen;
    uint32_t count;
};

static uint64_t
get_u64(const void *data, size_t i)
{
    uint64_t value;

    memcpy(&value, (const unsigned char *)data + i * sizeof(value),
           sizeof(value));
    return value;
}

static uint32_t
get_u32(const void *data, size_t i)
{
    uint32_t value;

    memcpy(&value, (const unsigned char *)data + i * sizeof(value),
           sizeof(value));
    return value;
}

static const struct tensor *
find_tensor(const struct source *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->tensors[i].name, name) == 0)
            return &s->tensors[i];
    }
    return NULL;
}

static bool
has_all(const struct source *s, const enum table_tensor *whats, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (s->found[whats[i]] == NULL)
            return false;
    }
    return true;
}

static void
drop_all(struct source *s, const enum table_tensor *whats, size_t count)
{
    for (size_t i = 0; i < count; i++)
        s->found[whats[i]] = NULL;
}

/* The number of rows that a tensor must have; 0: what the store can hold. */
static uint64_t
expect_rows(const struct source *s, enum table_tensor what)
{
    enum table_tensor first =
        what < TABLE_CANDIDATES ? TABLE_EMBEDDING : TABLE_CANDIDATES;

    if (what == TABLE_CURSORS)
        return CURSOR_COUNT;
    if (what == first || s->found[first] == NULL)
        return 0;
    return s->found[first]->shape[0];
}

static bool
has_form(const struct tensor *tensor, const struct tensor *want)
{
    return tensor->type == want->type && tensor->rank == want->rank &&
           (tensor->rank == 1 || tensor->shape[1] == want->shape[1]);
}

/* Finds one tensor and checks type, rank and shape. */
static enum status
find_checked(const struct table *t, struct source *s, enum table_tensor what,
             struct error *err)
{
    const struct table_store *store =
        what < TABLE_CANDIDATES ? &t->rows : &t->candidates;
    uint64_t most = (uint64_t)store->row_max + 1;
    uint64_t rows = expect_rows(s, what);
    const struct tensor *tensor;
    struct tensor want;

    table_describe(t, what, &want);
    tensor = find_tensor(s, want.name);
    s->found[what] = NULL;
    if (tensor == NULL)
        return error_set(err, STATUS_BADDATA, "tensor %s is missing",
                         want.name);
    if (!has_form(tensor, &want))
        return error_set(
            err, STATUS_BADDATA,
            "tensor %s: type %d, rank %zu, %llu wide; expected type %d, "
            "rank %zu, %llu wide",
            want.name, (int)tensor->type, tensor->rank,
            (unsigned long long)(tensor->rank == 2 ? tensor->shape[1] : 1),
            (int)want.type, want.rank, (unsigned long long)want.shape[1]);
    if (rows != 0 && tensor->shape[0] != rows)
        return error_set(err, STATUS_BADDATA,
                         "tensor %s has %llu rows, expected %llu", want.name,
                         (unsigned long long)tensor->shape[0],
                         (unsigned long long)rows);
    if (tensor->shape[0] == 0 || (rows == 0 && tensor->shape[0] > most))
        return error_set(err, STATUS_BADDATA,
                         "tensor %s has %llu rows, expected 1 to %llu",
                         want.name, (unsigned long long)tensor->shape[0],
                         (unsigned long long)most);
    s->found[what] = tensor;
    return STATUS_OK;
}

/* Finds what the mode wants; MATCHING does without what does not fit. */
static enum status
find_all(const struct table *t, struct source *s, enum restore_mode mode,
         struct error *err)
{
    for (enum table_tensor i = 0; i < TABLE_TENSOR_COUNT; i++) {
        bool is_weight = i == TABLE_EMBEDDING || i == TABLE_IDS;
        enum status st;

        if (i == TABLE_STATE && t->spec.state_width == 0)
            continue;
        if (mode == RESTORE_WEIGHTS && !is_weight)
            continue;
        st = find_checked(t, s, i, err);
        if (st != STATUS_OK && mode != RESTORE_MATCHING)
            return st;
    }
    if (mode != RESTORE_MATCHING)
        return STATUS_OK;
    error_clear(err);
    if (!has_all(s, weights, COUNT(weights)))
        memset(s->found, 0, sizeof(s->found));
    if (!has_all(s, history, COUNT(history)))
        drop_all(s, history, COUNT(history));
    if (s->found[TABLE_CURSORS] == NULL ||
        !has_all(s, candidates, COUNT(candidates)))
        drop_all(s, candidates, COUNT(candidates));
    return STATUS_OK;
}

/* Reads what is known of a row; BADDATA when it cannot be. */
static enum status
read_meta(const struct listing *l, uint32_t row, struct row_meta *out,
          struct error *err)
{
    uint64_t id = get_u64(l->ids, row);
    uint64_t last_seen = 0;
    uint32_t sightings = 0;

    if (l->last_seen != NULL)
        last_seen = get_u64(l->last_seen, row);
    if (l->sightings != NULL)
        sightings = get_u32(l->sightings, row);
    if (id > TABLE_ID_MAX || (row == 0 && id != 0))
        return error_set(err, STATUS_BADDATA,
                         "%s: row %u has id %llu, expected %s", l->name, row,
                         (unsigned long long)id,
                         row == 0 ? "0 (for unknown ids)" : "at most 53 bits");
    if (last_seen > UINT32_MAX || (row == 0 && last_seen != 0))
        return error_set(err, STATUS_BADDATA,
                         "%s: row %u was last seen at %lld, out of range",
                         l->name, row, (long long)last_seen);
    if (id == 0 && sightings != 0)
        return error_set(err, STATUS_BADDATA,
                         "%s: row %u is free but has %u sightings", l->name,
                         row, sightings);
    *out = (struct row_meta){
        .id = id, .sightings = sightings, .last_seen = (uint32_t)last_seen};
    return STATUS_OK;
}

/* Asks the caches for where a row's id will go. */
static void
prefetch_id(const struct table_store *s, const struct listing *l, uint32_t row)
{
    if (row < l->count)
        __builtin_prefetch(
            table_index_line(&s->index, table_hash(get_u64(l->ids, row))));
}

static enum status
load_store(struct table_store *s, const struct listing *l, struct error *err)
{
    for (uint32_t row = 0; row < l->count; row++) {
        struct row_meta meta;
        enum status st = read_meta(l, row, &meta, err);

        prefetch_id(s, l, row + PREFETCH_ROWS);
        if (st != STATUS_OK)
            return st;
        if (row == 0)
            continue;
        if (meta.id != 0 &&
            table_store_find(s, table_hash(meta.id), meta.id) != 0)
            return error_set(err, STATUS_BADDATA,
                             "%s: row %u has id %llu, which another row has",
                             l->name, row, (unsigned long long)meta.id);
        if (!table_store_put(s, row, &meta))
            return error_set(err, STATUS_NOMEM,
                             "%s: no memory for row %u, or too many ids whose "
                             "hashes begin alike",
                             l->name, row);
    }
    return STATUS_OK;
}

/* Takes over the free list after following every link; count: the free rows
 * that there are. Since each row has one link, a walk that ends after count
 * rows has met each of them once. */
static enum status
load_links(struct table_store *s, const struct listing *l, uint64_t first,
           uint64_t want, uint64_t expiry, struct error *err)
{
    uint64_t link = first;
    uint32_t free_count = 0;
    uint32_t steps = 0;

    for (uint32_t row = 1; row < s->at.used; row++)
        free_count += table_store_meta(s, row)->id == 0;
    while (link != 0 && steps < free_count) {
        if (link >= s->at.used || table_store_meta(s, (uint32_t)link)->id != 0)
            break;
        link = table_store_meta(s, (uint32_t)link)->last_seen;
        steps++;
    }
    if (link != 0 || steps != free_count || want != free_count)
        return error_set(err, STATUS_BADDATA,
                         "%s: the list of free rows is broken after %u of %u",
                         l->name, steps, free_count);
    if (expiry == 0 || expiry > s->at.used)
        return error_set(err, STATUS_BADDATA,
                         "%s: expiry is at row %llu, expected 1 to %u", l->name,
                         (unsigned long long)expiry, s->at.used);
    s->at.free_first = (uint32_t)first;
    s->at.free_count = free_count;
    s->at.expiry = (uint32_t)expiry;
    return STATUS_OK;
}

/* Without a history the lowest free row is used first. */
static void
build_links(struct table_store *s)
{
    for (uint32_t row = s->at.used - 1; row > 0; row--) {
        struct row_meta *m = table_store_meta(s, row);

        if (m->id != 0)
            continue;
        m->last_seen = s->at.free_first;
        s->at.free_first = row;
        s->at.free_count++;
    }
}

static bool
copy_finite(float *out, const void *data, size_t row, size_t width)
{
    bool is_finite = true;

    memcpy(out, (const unsigned char *)data + row * width * sizeof(float),
           width * sizeof(float));
    for (size_t i = 0; i < width; i++)
        is_finite &= isfinite(out[i]) != 0;
    return is_finite;
}

static enum status
load_payload(struct table *t, const struct source *s, struct error *err)
{
    const struct tensor *embedding = s->found[TABLE_EMBEDDING];
    const struct tensor *state = s->found[TABLE_STATE];

    for (uint32_t row = 0; row < t->rows.at.used; row++) {
        float *w = table_store_payload(&t->rows, row);
        const struct tensor *bad = NULL;

        if (!copy_finite(w, embedding->data, row, t->spec.width))
            bad = embedding;
        if (state == NULL)
            table_fill_state(t, row);
        else if (!copy_finite(w + t->spec.width, state->data, row,
                              t->spec.state_width))
            bad = state;
        if (bad != NULL)
            return error_set(err, STATUS_BADDATA,
                             "tensor %s: row %u is not finite", bad->name, row);
    }
    return STATUS_OK;
}

static enum status
load_rows(struct table *t, const struct source *s, struct error *err)
{
    const struct tensor *cursors = s->found[TABLE_CURSORS];
    struct listing l = {
        .name = s->found[TABLE_IDS]->name,
        .ids = s->found[TABLE_IDS]->data,
        .count = (uint32_t)s->found[TABLE_IDS]->shape[0],
    };
    enum status st;

    if (cursors != NULL) {
        l.sightings = s->found[TABLE_SIGHTINGS]->data;
        l.last_seen = s->found[TABLE_LAST_SEEN]->data;
    }
    st = load_store(&t->rows, &l, err);
    if (st != STATUS_OK)
        return st;
    if (cursors == NULL) {
        build_links(&t->rows);
        return load_payload(t, s, err);
    }
    if (get_u64(cursors->data, CURSOR_VERSION) != TABLE_CURSORS_VERSION)
        return error_set(
            err, STATUS_BADDATA, "tensor %s has version %llu, expected %u",
            cursors->name,
            (unsigned long long)get_u64(cursors->data, CURSOR_VERSION),
            TABLE_CURSORS_VERSION);
    t->refused = get_u64(cursors->data, CURSOR_REFUSED);
    t->expired = get_u64(cursors->data, CURSOR_EXPIRED);
    st = load_links(&t->rows, &l, get_u64(cursors->data, CURSOR_FREE_FIRST),
                    get_u64(cursors->data, CURSOR_FREE_COUNT),
                    get_u64(cursors->data, CURSOR_EXPIRY), err);
    if (st != STATUS_OK)
        return st;
    return load_payload(t, s, err);
}

static enum status
load_candidates(struct table *t, const struct source *s, struct error *err)
{
    const void *cursors = s->found[TABLE_CURSORS]->data;
    struct listing l = {
        .name = s->found[TABLE_CANDIDATES]->name,
        .ids = s->found[TABLE_CANDIDATES]->data,
        .sightings = s->found[TABLE_CANDIDATE_SIGHTINGS]->data,
        .last_seen = s->found[TABLE_CANDIDATE_LAST_SEEN]->data,
        .count = (uint32_t)s->found[TABLE_CANDIDATES]->shape[0],
    };
    enum status st = load_store(&t->candidates, &l, err);

    if (st != STATUS_OK)
        return st;
    for (uint32_t row = 1; row < t->candidates.at.used; row++) {
        uint64_t id = table_store_meta(&t->candidates, row)->id;

        if (id != 0 && table_store_find(&t->rows, table_hash(id), id) != 0)
            return error_set(err, STATUS_BADDATA,
                             "tensor %s: id %llu has a row already", l.name,
                             (unsigned long long)id);
    }
    return load_links(&t->candidates, &l,
                      get_u64(cursors, CURSOR_CANDIDATE_FREE_FIRST),
                      get_u64(cursors, CURSOR_CANDIDATE_FREE_COUNT),
                      get_u64(cursors, CURSOR_CANDIDATE_EXPIRY), err);
}

enum status
table_restore(struct table *t, const struct tensor *tensors, size_t count,
              enum restore_mode mode, bool *used, struct error *err)
{
    struct source s = {.tensors = tensors, .count = count};
    enum status st;

    OBJ_CHECK(t, TABLE_MAGIC);
    assert(t->rows.at.used == 1 && t->candidates.at.used == 1);
    assert(!t->snapshot.is_active);
    st = find_all(t, &s, mode, err);
    if (st != STATUS_OK || s.found[TABLE_EMBEDDING] == NULL)
        return st;
    st = load_rows(t, &s, err);
    if (st == STATUS_OK && s.found[TABLE_CANDIDATES] != NULL)
        st = load_candidates(t, &s, err);
    for (size_t i = 0; st == STATUS_OK && i < COUNT(s.found); i++) {
        if (s.found[i] != NULL)
            used[s.found[i] - tensors] = true;
    }
    return st;
}
