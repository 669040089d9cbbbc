/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tree of a file to the fields that a table describes.
 */
#include "daemon/settings.h"

#include "daemon/io/file.h"
#include "daemon/settings_priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAGIC 0x5e771465u
#define KEY_MAX    256

enum status
settings_refuse_memory(struct error *err)
{
    return error_set(err, STATUS_NOMEM, "no memory for the settings");
}

const char *
settings_join(struct settings_file *self, const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    char *text = settings_pool_get(&self->pool, n + m + 1);

    if (text != NULL)
        (void)snprintf(text, n + m + 1, "%s%s", a, b);
    return text;
}

const struct setting_row *
settings_find_row(const struct settings_scope *scope, const char *key)
{
    for (size_t i = 0; i < scope->row_count; i++) {
        if (strcmp(scope->rows[i].key, key) == 0)
            return &scope->rows[i];
    }
    return NULL;
}

static const struct settings_record *
find_record(const struct settings_file *self, const char *key)
{
    for (size_t i = 0; i < self->record_count; i++) {
        if (strcmp(self->records[i].key, key) == 0)
            return &self->records[i];
    }
    return NULL;
}

/* What stands for a key that may not be in the file: itself, a mapping that
 * encloses it, or the first setting beside it that is written dotted. */
static const struct settings_record *
find_nearest(const struct settings_file *self, const char *key)
{
    const struct settings_record *r = find_record(self, key);
    char enclosing[KEY_MAX];
    char *dot;

    (void)snprintf(enclosing, sizeof(enclosing), "%s", key);
    while (r == NULL && (dot = strrchr(enclosing, '.')) != NULL) {
        *dot = '\0';
        r = find_record(self, enclosing);
        for (size_t i = 0; r == NULL && i < self->record_count; i++) {
            const char *other = self->records[i].key;
            size_t n = strlen(enclosing);

            if (strncmp(other, enclosing, n) == 0 && other[n] == '.')
                r = &self->records[i];
        }
    }
    return r;
}

enum status
settings_note_key(struct settings_file *self, const char *key,
                  struct setting_mark mark, bool *is_new, struct error *err)
{
    const struct settings_record *r = find_record(self, key);

    *is_new = r == NULL;
    if (r != NULL) {
        settings_problems_add(
            self->problems, mark,
            "%.200s: given twice, expected it once (first at line %zu, "
            "column %zu)",
            key, r->mark.line, r->mark.column);
        return STATUS_OK;
    }
    if (self->record_count == self->record_max) {
        size_t max = self->record_max == 0 ? 64 : 2 * self->record_max;
        struct settings_record *more =
            realloc(self->records, max * sizeof(*more));

        if (more == NULL)
            return settings_refuse_memory(err);
        self->records = more;
        self->record_max = max;
    }
    self->records[self->record_count++] = (struct settings_record){key, mark};
    return STATUS_OK;
}

/* ---- Defaults ---- */

/* The text of a default; "" where there is none. */
static const char *
initial_text(const struct setting_row *row)
{
    if (row->flags & (SETTING_REQUIRED | SETTING_EXAMPLE))
        return "";
    return row->initial;
}

static enum status
set_initial(struct settings_file *self, const struct settings_scope *scope,
            const struct setting_row *row, struct error *err)
{
    const char *text = initial_text(row);
    union setting_value value = {0};
    size_t count = 0;
    enum status st = STATUS_OK;

    value.text = ""; /* of texts without a default; others have their zero */
    if (row->kind == SETTING_PROPERTIES) {
        st = setting_clear_properties(row, scope->base, &self->pool, err);
    } else if (setting_is_list(row)) {
        st = setting_parse_flow(row, &self->pool, text, text, self->items,
                                &count, err);
        if (st == STATUS_OK)
            st = setting_store_list(row, scope->base, &self->pool, self->items,
                                    count, err);
    } else {
        bool is_text = row->kind == SETTING_STRING ||
                       row->kind == SETTING_NAME || row->kind == SETTING_PATH;

        if (*text == '=' || (*text == '\0' && row->kind != SETTING_NUMBER))
            value = is_text ? value : (union setting_value){0};
        else
            st = setting_parse(row, text, text, &value, err);
        if (st == STATUS_OK)
            setting_store(row, scope->base, &value);
    }
    assert(st == STATUS_OK || st == STATUS_NOMEM); /* else a row is wrong */
    return st;
}

enum status
settings_set_initials(struct settings_file *self,
                      const struct settings_scope *scope, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < scope->row_count && st == STATUS_OK; i++)
        st = set_initial(self, scope, &scope->rows[i], err);
    return st;
}

/* ---- After the walk ---- */

/* Required rows, and defaults that are another row's value. */
static void
finish_scope(struct settings_file *self, const struct settings_scope *scope)
{
    char expected[SETTING_DESCRIPTION_MAX];

    for (size_t i = 0; i < scope->row_count; i++) {
        const struct setting_row *row = &scope->rows[i];
        char key[KEY_MAX];

        (void)snprintf(key, sizeof(key), "%s%s", scope->prefix, row->key);
        if (find_record(self, key) != NULL)
            continue;
        if (row->flags & SETTING_REQUIRED)
            settings_file_complain(self, self->problems, key,
                                   "is missing, expected %s",
                                   setting_describe(expected, row));
        if (*row->initial == '=') {
            const struct setting_row *as =
                settings_find_row(scope, row->initial + 1);

            assert(as != NULL && as->kind == row->kind);
            memcpy((char *)scope->base + row->offset,
                   (const char *)scope->base + as->offset,
                   setting_bytes(row->kind));
        }
    }
}

static void
finish(struct settings_file *self, const struct settings_scope *top)
{
    const struct settings_table *t = self->table;

    finish_scope(self, top);
    for (size_t i = 0; i < t->section_count; i++) {
        const struct setting_section *s = &t->sections[i];
        const char *values = self->values;
        char *entries;
        size_t count;

        memcpy(&entries, values + s->entries_offset, sizeof(entries));
        memcpy(&count, values + s->count_offset, sizeof(count));
        for (size_t j = 0; j < count; j++) {
            void *entry = entries + j * s->entry_bytes;
            char prefix[KEY_MAX];
            const char *name;

            memcpy(&name, entry, sizeof(name));
            (void)snprintf(prefix, sizeof(prefix), "%s.%s.", s->key, name);
            finish_scope(self, &(struct settings_scope){s->rows, s->row_count,
                                                        entry, prefix, false});
        }
    }
}

static enum status
make_sections(struct settings_file *self, struct error *err)
{
    const struct settings_table *t = self->table;
    size_t none = 0;

    for (size_t i = 0; i < t->section_count; i++) {
        const struct setting_section *s = &t->sections[i];
        char *values = self->values;
        void *entries =
            settings_pool_get(&self->pool, s->entries_max * s->entry_bytes);

        if (entries == NULL)
            return settings_refuse_memory(err);
        memcpy(values + s->entries_offset, &entries, sizeof(entries));
        memcpy(values + s->count_offset, &none, sizeof(none));
    }
    return STATUS_OK;
}

enum status
settings_file_parse(struct settings_file **out,
                    const struct settings_table *table, void *values,
                    const char *text, size_t bytes,
                    struct settings_problems *problems, struct error *err)
{
    struct settings_scope top = {table->rows, table->row_count, values, "",
                                 true};
    struct settings_file *self = NULL;
    struct settings_node *root = NULL;
    enum status st;

    assert(out != NULL && values != NULL && problems != NULL);
    self = calloc(1, sizeof(*self));
    if (self == NULL)
        return settings_refuse_memory(err);
    self->magic = FILE_MAGIC;
    self->table = table;
    self->values = values;
    self->problems = problems;
    self->items = calloc(SETTING_ITEMS_MAX, sizeof(*self->items));
    if (self->items == NULL) {
        st = settings_refuse_memory(err);
        goto out;
    }
    st = make_sections(self, err);
    if (st == STATUS_OK)
        st = settings_set_initials(self, &top, err);
    if (st == STATUS_OK)
        st =
            settings_yaml_parse(&root, &self->pool, text, bytes, problems, err);
    if (st == STATUS_OK && root != NULL && root->kind == NODE_MAP)
        st = settings_walk(self, &top, root, err);
    else if (st == STATUS_OK && root != NULL && root->kind != NODE_NULL)
        settings_problems_add(self->problems, root->mark,
                              "not a mapping, expected 'key: value' lines");
    if (st != STATUS_OK)
        goto out;
    self->is_read = root != NULL || problems->count == 0;
    if (self->is_read)
        finish(self, &top);
    settings_problems_sort(problems);
    self->problems = NULL;
    free(self->items);
    self->items = NULL;
    *out = self;
    self = NULL;

out:
    settings_file_free(&self);
    return st;
}

enum status
settings_file_read(struct settings_file **out,
                   const struct settings_table *table, void *values,
                   const char *path, struct settings_problems *problems,
                   struct error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    enum status st;

    st = file_read_all(path, SETTINGS_FILE_BYTES_MAX, &text, &bytes, err);
    if (st == STATUS_TOOBIG)
        err->status = st = STATUS_CONFIG;
    if (st != STATUS_OK)
        return st;
    st = settings_file_parse(out, table, values, text, bytes, problems, err);
    free(text);
    return st;
}

void
settings_file_free(struct settings_file **self)
{
    assert(self != NULL);
    if (*self == NULL)
        return;
    assert((*self)->magic == FILE_MAGIC);
    (*self)->magic = 0;
    settings_pool_fini(&(*self)->pool);
    free((*self)->records);
    free((*self)->items);
    free(*self);
    *self = NULL;
}

bool
settings_file_is_read(const struct settings_file *self)
{
    assert(self != NULL && self->magic == FILE_MAGIC);
    return self->is_read;
}

bool
settings_file_has(const struct settings_file *self, const char *key)
{
    assert(self != NULL && self->magic == FILE_MAGIC);
    return find_record(self, key) != NULL;
}

void
settings_file_complain(const struct settings_file *self,
                       struct settings_problems *problems, const char *key,
                       const char *format, ...)
{
    const struct settings_record *r;
    char text[ERROR_TEXT_MAX];
    va_list args;

    assert(self != NULL && self->magic == FILE_MAGIC && problems != NULL);
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r = find_nearest(self, key);
    settings_problems_add(problems,
                          r != NULL ? r->mark : (struct setting_mark){1, 1},
                          "%.200s: %.700s", key, text);
}

const char *
settings_file_copy(struct settings_file *self, const char *text)
{
    assert(self != NULL && self->magic == FILE_MAGIC);
    return settings_pool_text(&self->pool, text, strlen(text));
}
