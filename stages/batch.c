/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of batches.
 */
#include "stages/batch.h"

#include "stages/event/batch_columns.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_MAGIC    0x504f4f4cu
#define RAW_BYTES_MAX ((size_t)1 << 30)

struct batch_pool {
    unsigned magic;
    size_t count;
    size_t home_count;
    struct batch *batches; /* (count) */
    struct batch **home;   /* (count), home_count of them here */
};

enum status
batch_pool_new(struct batch_pool **out, size_t count,
               const struct event_spec *spec, size_t row_max, struct error *err)
{
    struct batch_pool *p = calloc(1, sizeof(*p));
    enum status st = STATUS_OK;

    if (p == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a batch pool");
    p->magic = POOL_MAGIC;
    p->batches = calloc(count, sizeof(*p->batches));
    p->home = calloc(count, sizeof(*p->home));
    if (p->batches == NULL || p->home == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for %zu batches", count);
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        struct batch *b = &p->batches[i];

        b->magic = BATCH_MAGIC;
        b->home = p;
        bytes_init(&b->raw, RAW_BYTES_MAX);
        bytes_init(&b->dead_letters, RAW_BYTES_MAX);
        bytes_init(&b->labels, RAW_BYTES_MAX);
        bytes_init(&b->imagined, RAW_BYTES_MAX);
        p->home[p->home_count++] = b;
        p->count++;
        b->rows = calloc(row_max, sizeof(*b->rows));
        b->answered_by = calloc(row_max, 1);
        b->is_rejected = calloc(row_max, 1);
        b->is_chosen = calloc(row_max, 1);
        b->ask_rate = calloc(row_max, sizeof(*b->ask_rate));
        b->answerers = calloc(ANSWERERS_MAX, sizeof(*b->answerers));
        st = columns_new(&b->columns, spec, row_max, err);
        if (st == STATUS_OK &&
            (b->rows == NULL || b->answered_by == NULL ||
             b->is_rejected == NULL || b->is_chosen == NULL ||
             b->ask_rate == NULL || b->answerers == NULL))
            st = error_set(err, STATUS_NOMEM, "no memory for a batch");
    }
    if (st != STATUS_OK) {
        batch_pool_free(&p);
        return st;
    }
    *out = p;
    return STATUS_OK;
}

void
batch_pool_free(struct batch_pool **self)
{
    struct batch_pool *p;

    if (*self == NULL)
        return;
    OBJ_TAKE(p, self, POOL_MAGIC);
    assert(p->home_count == p->count);
    for (size_t i = 0; i < p->count; i++) {
        struct batch *b = &p->batches[i];

        columns_free(&b->columns);
        free(b->rows);
        free(b->answered_by);
        free(b->is_rejected);
        free(b->is_chosen);
        free(b->ask_rate);
        free(b->answerers);
        bytes_fini(&b->raw);
        bytes_fini(&b->dead_letters);
        bytes_fini(&b->labels);
        bytes_fini(&b->imagined);
        b->magic = 0;
    }
    free(p->batches);
    free(p->home);
    p->magic = 0;
    free(p);
}

struct batch *
batch_pool_take(struct batch_pool *pool)
{
    struct batch *b;

    OBJ_CHECK(pool, POOL_MAGIC);
    if (pool->home_count == 0)
        return NULL;
    b = pool->home[--pool->home_count];
    OBJ_CHECK(b, BATCH_MAGIC);
    columns_clear(b->columns);
    bytes_clear(&b->raw);
    bytes_clear(&b->dead_letters);
    bytes_clear(&b->labels);
    bytes_clear(&b->imagined);
    b->has_position = false;
    b->pass = 0;
    b->due_version = 0;
    b->work_ns = 0;
    b->taken_ns = clock_now_ns();
    b->after.count = 0;
    b->epoch = 0;
    assert(b->unsettled == 0);
    b->seen.count = 0;
    b->teacher_version[0] = '\0';
    b->answerer_count = 0;
    b->has_rejected = false;
    memset(b->answered_by, ANSWERED_BY_NONE, b->columns->row_max);
    memset(b->is_rejected, 0, b->columns->row_max);
    b->chosen_by = NULL;
    memset(b->is_chosen, 1, b->columns->row_max);
    error_clear(&b->error);
    return b;
}

size_t
batch_pool_under_way(const struct batch_pool *pool)
{
    OBJ_CHECK(pool, POOL_MAGIC);
    return pool->count - pool->home_count;
}

void
batch_release(struct batch **b)
{
    struct batch *mine;

    if (*b == NULL)
        return;
    OBJ_TAKE(mine, b, BATCH_MAGIC);
    assert(mine->home->home_count < mine->home->count);
    mine->taken_ns = 0;
    mine->home->home[mine->home->home_count++] = mine;
}

uint8_t
batch_answerer(struct batch *b, const char *name, const char *version)
{
    struct answerer *a;

    OBJ_CHECK(b, BATCH_MAGIC);
    for (size_t i = b->answerer_count; i-- > 0;) {
        a = &b->answerers[i];
        if (strcmp(a->name, name) == 0 && strcmp(a->version, version) == 0)
            return (uint8_t)(i + 1);
    }
    if (b->answerer_count == ANSWERERS_MAX)
        return ANSWERED_BY_NONE;
    a = &b->answerers[b->answerer_count++];
    (void)snprintf(a->name, sizeof(a->name), "%s", name);
    (void)snprintf(a->version, sizeof(a->version), "%s", version);
    return (uint8_t)b->answerer_count;
}

void
batch_pool_report(const struct batch_pool *pool, struct batch_pool_report *out)
{
    OBJ_CHECK(pool, POOL_MAGIC);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < pool->count; i++) {
        const struct batch *b = &pool->batches[i];
        double seconds;

        if (b->taken_ns == 0)
            continue;
        seconds = clock_seconds_since(b->taken_ns);
        out->batches++;
        out->records += columns_real(b->columns);
        if (seconds > out->oldest_seconds)
            out->oldest_seconds = seconds;
    }
}

void
positions_copy(struct positions *to, const struct positions *from)
{
    to->count = from->count;
    memcpy(to->at, from->at, from->count * sizeof(from->at[0]));
}

void
watermarks_copy(struct watermarks *to, const struct watermarks *from)
{
    to->count = from->count;
    memcpy(to->next, from->next, from->count * sizeof(from->next[0]));
}

static bool
differs(const char *a, const char *b)
{
    return a[0] != '\0' && b[0] != '\0' && strcmp(a, b) != 0;
}

bool
log_identity_differs(const struct log_identity *a, const struct log_identity *b)
{
    return differs(a->topic, b->topic) || differs(a->cluster, b->cluster) ||
           differs(a->topic_id, b->topic_id);
}

enum status
watermarks_pass(struct watermarks *w, const struct row_source *source,
                bool *is_new, struct error *err)
{
    size_t partition = (size_t)source->partition;
    struct row_source *next;

    if (source->partition < 0 || partition >= SOURCES_MAX)
        return error_set(err, STATUS_TOOBIG,
                         "source partition %d, at most %u are supported",
                         source->partition, (unsigned)SOURCES_MAX);
    next = &w->next[partition];
    for (; w->count <= partition; w->count++)
        w->next[w->count] = (struct row_source){.partition = (int)w->count};
    *is_new = source->generation > next->generation ||
              (source->generation == next->generation &&
               source->offset >= next->offset);
    if (*is_new) {
        next->generation = source->generation;
        next->offset = source->offset + 1;
    }
    return STATUS_OK;
}
