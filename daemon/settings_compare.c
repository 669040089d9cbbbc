/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two readings of a configuration.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 512

struct comparison {
    settings_difference_fn fn;
    void *ctx;
    struct error *err;
};

static bool
is_same_properties(const struct setting_row *row, const void *a, const void *b)
{
    struct setting_properties x;
    struct setting_properties y;

    memcpy(&x, (const char *)a + row->offset, sizeof(x));
    memcpy(&y, (const char *)b + row->offset, sizeof(y));
    if (x.count != y.count)
        return false;
    for (size_t i = 0; i < x.count; i++) {
        if (strcmp(x.items[i].name, y.items[i].name) != 0 ||
            strcmp(x.items[i].value, y.items[i].value) != 0)
            return false;
    }
    return true;
}

/* A value as it would be written, secret or not; free it. */
static char *
format_value(const struct setting_row *row, const void *base)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);

    if (f == NULL)
        return NULL;
    setting_format(row, base, f);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static enum status
compare_row(const struct comparison *c, const struct setting_row *row,
            const char *prefix, const void *a, const void *b)
{
    char key[KEY_MAX];
    char *x = NULL;
    char *y = NULL;
    bool is_same =
        row->kind == SETTING_PROPERTIES && is_same_properties(row, a, b);
    enum status st = STATUS_OK;

    if (row->kind != SETTING_PROPERTIES) {
        x = format_value(row, a);
        y = format_value(row, b);
        if (x == NULL || y == NULL)
            st = error_set(c->err, STATUS_NOMEM, "no memory for a setting");
        else
            is_same = strcmp(x, y) == 0;
    }
    free(x);
    free(y);
    if (st == STATUS_OK && !is_same) {
        (void)snprintf(key, sizeof(key), "%s%s", prefix, row->key);
        c->fn(c->ctx, key, row);
    }
    return st;
}

static enum status
compare_rows(const struct comparison *c, const struct setting_row *rows,
             size_t row_count, const char *prefix, const void *a, const void *b)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < row_count && st == STATUS_OK; i++)
        st = compare_row(c, &rows[i], prefix, a, b);
    return st;
}

/* The array of a section's entries, and how many there are. */
static const char *
get_entries(const struct setting_section *s, const void *values, size_t *count)
{
    const char *entries;

    memcpy(&entries, (const char *)values + s->entries_offset, sizeof(entries));
    memcpy(count, (const char *)values + s->count_offset, sizeof(*count));
    return entries;
}

static const char *
get_name(const char *entry)
{
    const char *name;

    memcpy(&name, entry, sizeof(name));
    return name;
}

static enum status
compare_section(const struct comparison *c, const struct setting_section *s,
                const void *a, const void *b)
{
    size_t count = 0;
    size_t other_count = 0;
    const char *x = get_entries(s, a, &count);
    const char *y = get_entries(s, b, &other_count);
    bool is_same = count == other_count;
    enum status st = STATUS_OK;

    for (size_t i = 0; i < count && is_same; i++)
        is_same = strcmp(get_name(x + i * s->entry_bytes),
                         get_name(y + i * s->entry_bytes)) == 0;
    if (!is_same) {
        c->fn(c->ctx, s->key, NULL);
        return STATUS_OK;
    }
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        char prefix[KEY_MAX / 2];

        (void)snprintf(prefix, sizeof(prefix), "%s.%s.", s->key,
                       get_name(x + i * s->entry_bytes));
        st = compare_rows(c, s->rows, s->row_count, prefix,
                          x + i * s->entry_bytes, y + i * s->entry_bytes);
    }
    return st;
}

enum status
settings_table_compare(const struct settings_table *table, const void *a,
                       const void *b, settings_difference_fn fn, void *ctx,
                       struct error *err)
{
    struct comparison c = {.fn = fn, .ctx = ctx, .err = err};
    enum status st = STATUS_OK;

    assert(a != NULL && b != NULL && fn != NULL);
    for (size_t i = 0; i < table->section_count && st == STATUS_OK; i++)
        st = compare_section(&c, &table->sections[i], a, b);
    if (st == STATUS_OK)
        st = compare_rows(&c, table->rows, table->row_count, "", a, b);
    return st;
}

void
settings_table_take(const struct setting_row *row, void *to, const void *from)
{
    assert((row->flags & SETTING_RELOAD) != 0);
    assert(row->kind <= SETTING_NUMBER || row->kind == SETTING_ENUM ||
           row->kind == SETTING_TIME);
    memcpy((char *)to + row->offset, (const char *)from + row->offset,
           setting_bytes(row->kind));
}
