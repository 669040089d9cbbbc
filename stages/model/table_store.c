/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows, their ids and their free list, kept in step.
 */
#include "stages/model/table_store.h"

#include <assert.h>
#include <string.h>

bool
table_store_init(struct table_store *s, uint32_t row_max, size_t payload_bytes)
{
    uint64_t count = (uint64_t)row_max + 1;

    assert(row_max > 0 && row_max < UINT32_MAX);
    memset(s, 0, sizeof(*s));
    s->row_max = row_max;
    table_journal_init(&s->journal, table_row_bytes(payload_bytes));
    if (!table_pages_init(&s->rows, table_row_bytes(payload_bytes), count))
        goto fail;
    if (!table_index_init(&s->index, count))
        goto fail;
    if (!table_pages_reserve(&s->rows, 0))
        goto fail;
    memset(table_store_meta(s, 0), 0, sizeof(struct row_meta));
    s->at.used = 1;
    s->at.expiry = 1;
    return true;

fail:
    table_store_fini(s);
    return false;
}

void
table_store_fini(struct table_store *s)
{
    table_journal_end(&s->journal);
    table_index_fini(&s->index);
    table_pages_fini(&s->rows);
}

uint32_t
table_store_take(struct table_store *s, uint64_t id)
{
    struct row_meta *m;
    uint32_t row = s->at.free_first;

    assert(id != 0 && id <= TABLE_ID_MAX);
    if (row == 0) {
        row = s->at.used;
        if (row > s->row_max || !table_pages_reserve(&s->rows, row))
            return 0;
    }
    if (!table_index_put(&s->index, table_hash(id), row))
        return 0;
    m = table_store_meta(s, row);
    if (row == s->at.used) {
        s->at.used++;
    } else {
        table_store_keep(s, row);
        s->at.free_first = m->last_seen;
        s->at.free_count--;
    }
    *m = (struct row_meta){.id = id};
    return row;
}

void
table_store_drop(struct table_store *s, uint32_t row)
{
    struct row_meta *m = table_store_meta(s, row);

    assert(row != 0 && m->id != 0);
    table_store_keep(s, row);
    table_index_remove(&s->index, table_hash(m->id), row);
    *m = (struct row_meta){.last_seen = s->at.free_first};
    s->at.free_first = row;
    s->at.free_count++;
}

bool
table_store_put(struct table_store *s, uint32_t row,
                const struct row_meta *meta)
{
    assert(row == s->at.used && row <= s->row_max);
    if (!table_pages_reserve(&s->rows, row))
        return false;
    if (meta->id != 0) {
        uint64_t hash = table_hash(meta->id);

        if (table_store_find(s, hash, meta->id) != 0 ||
            !table_index_put(&s->index, hash, row))
            return false;
    }
    *table_store_meta(s, row) = *meta;
    s->at.used++;
    return true;
}

uint64_t
table_store_bytes(const struct table_store *s)
{
    return table_pages_bytes(&s->rows) + table_index_bytes(&s->index);
}
