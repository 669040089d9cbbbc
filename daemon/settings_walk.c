/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tree of a file to fields: keys to rows, nodes to values.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <string.h>

/* ---- Values ---- */

static enum status
refuse_node(const struct setting_row *row, const char *what, struct error *err)
{
    char expected[SETTING_DESCRIPTION_MAX];

    return error_set(err, STATUS_CONFIG, "%s, expected %s", what,
                     setting_describe(expected, row));
}

/* How a value may stand in a message. */
static const char *
show_value(char buf[3 * SETTINGS_SHOWN_MAX], const struct setting_row *row,
           const struct settings_expansion *e, const char *written)
{
    char a[SETTINGS_SHOWN_MAX];
    char b[SETTINGS_SHOWN_MAX];

    if (e->is_expanded && !e->is_from_file && !(row->flags & SETTING_SECRET))
        (void)snprintf(buf, 3 * SETTINGS_SHOWN_MAX, "%s (from %s)",
                       settings_show_text(a, e->text),
                       settings_show_text(b, written));
    else if (e->is_expanded)
        (void)snprintf(buf, 3 * SETTINGS_SHOWN_MAX, "the value of %s",
                       settings_show_text(a, written));
    else if (row->flags & SETTING_SECRET)
        (void)snprintf(buf, 3 * SETTINGS_SHOWN_MAX, "the secret");
    else
        (void)snprintf(buf, 3 * SETTINGS_SHOWN_MAX, "%s",
                       settings_show_text(a, written));
    return buf;
}

static enum status
read_scalar(struct settings_file *self, const struct setting_row *row,
            const struct settings_node *node, union setting_value *out,
            struct error *err)
{
    struct settings_expansion e = {0};
    char shown[3 * SETTINGS_SHOWN_MAX];
    enum status st;

    st = settings_expand(&e, &self->pool, node->text, err);
    if (st != STATUS_OK)
        return st;
    return setting_parse(row, e.text, show_value(shown, row, &e, node->text),
                         out, err);
}

/* A list that comes as one text from a reference: "64, 32" or "[64, 32]". */
static enum status
read_flow(struct settings_file *self, const struct setting_row *row,
          const struct settings_node *node, size_t *count, struct error *err)
{
    struct settings_expansion e = {0};
    char shown[3 * SETTINGS_SHOWN_MAX];
    enum status st;

    st = settings_expand(&e, &self->pool, node->text, err);
    if (st != STATUS_OK)
        return st;
    if (!e.is_expanded)
        return refuse_node(row, "a single value", err);
    return setting_parse_flow(row, &self->pool, e.text,
                              show_value(shown, row, &e, node->text),
                              self->items, count, err);
}

/* Reads a list; *at is the item that is at fault. */
static enum status
read_list(struct settings_file *self, const struct settings_scope *scope,
          const struct setting_row *row, const struct settings_node *node,
          struct setting_mark *at, struct error *err)
{
    size_t count = 0;
    enum status st = STATUS_OK;

    if (node->kind == NODE_SCALAR) {
        st = read_flow(self, row, node, &count, err);
    } else {
        for (const struct settings_node *n = node->first;
             n != NULL && st == STATUS_OK; n = n->next) {
            if (n->kind == NODE_BROKEN)
                return STATUS_OK; /* it was complained about */
            *at = n->mark;
            if (count == row->items_max)
                return refuse_node(row, "too many values", err);
            if (n->kind != NODE_SCALAR)
                return refuse_node(row, "an item that is not a value", err);
            st = read_scalar(self, row, n, &self->items[count++], err);
        }
    }
    if (st != STATUS_OK)
        return st;
    *at = node->mark;
    return setting_store_list(row, scope->base, &self->pool, self->items, count,
                              err);
}

static enum status
read_value(struct settings_file *self, const struct settings_scope *scope,
           const struct setting_row *row, const struct settings_node *node,
           struct setting_mark *at, struct error *err)
{
    union setting_value value = {0};
    enum status st;

    if (node->kind == NODE_NULL)
        return refuse_node(row, "has no value", err);
    if (node->kind == NODE_MAP)
        return refuse_node(row, "is a mapping", err);
    if (setting_is_list(row))
        return read_list(self, scope, row, node, at, err);
    if (node->kind == NODE_LIST)
        return refuse_node(row, "is a list", err);
    st = read_scalar(self, row, node, &value, err);
    if (st == STATUS_OK)
        setting_store(row, scope->base, &value);
    return st;
}

static enum status
visit_row(struct settings_file *self, const struct settings_scope *scope,
          const struct setting_row *row, const struct settings_node *node,
          struct error *err)
{
    const char *key = settings_join(self, scope->prefix, row->key);
    struct setting_mark at = node->mark;
    bool is_new = false;
    struct error why;
    enum status st;

    if (key == NULL)
        return settings_refuse_memory(err);
    st = settings_note_key(self, key, node->key_mark, &is_new, err);
    if (st != STATUS_OK || !is_new || node->kind == NODE_BROKEN)
        return st;
    st = read_value(self, scope, row, node, &at, &why);
    if (st == STATUS_NOMEM)
        return settings_refuse_memory(err);
    if (st != STATUS_OK)
        settings_problems_add(self->problems, at, "%.200s: %s", key, why.text);
    return STATUS_OK;
}

static enum status
visit_property(struct settings_file *self, const struct settings_scope *scope,
               const struct setting_row *row, const char *key,
               const struct settings_node *node, struct error *err)
{
    const char *full = settings_join(self, scope->prefix, key);
    const char *name = key + strlen(row->key) + 1;
    char shown[SETTINGS_SHOWN_MAX];
    bool is_new = false;
    struct error why;
    enum status st;

    if (full == NULL)
        return settings_refuse_memory(err);
    if (!setting_is_property_name(name)) {
        settings_problems_add(
            self->problems, node->key_mark,
            "%s%s: %s cannot be a property, expected 1 to %d letters, digits, "
            "'.', '_', ':' or '-'",
            scope->prefix, row->key, settings_show_text(shown, name),
            SETTING_PROPERTY_NAME_MAX);
        return STATUS_OK;
    }
    st = settings_note_key(self, full, node->key_mark, &is_new, err);
    if (st != STATUS_OK || !is_new || node->kind == NODE_BROKEN)
        return st;
    st = setting_add_property(row, scope->base, &self->pool, name, node, &why);
    if (st == STATUS_NOMEM)
        return settings_refuse_memory(err);
    if (st != STATUS_OK)
        settings_problems_add(self->problems, node->mark, "%.200s: %s", full,
                              why.text);
    return STATUS_OK;
}

/* ---- The walk ---- */

static enum status visit_map(struct settings_file *self,
                             const struct settings_scope *scope,
                             const char *path, const struct settings_node *node,
                             struct error *err);
static enum status visit_key(struct settings_file *self,
                             const struct settings_scope *scope,
                             const char *path, const char *key,
                             const struct settings_node *node,
                             struct error *err);

/* Whether rows have keys below this one. */
static bool
is_group(const struct settings_scope *scope, const char *key)
{
    size_t n = strlen(key);

    for (size_t i = 0; i < scope->row_count; i++) {
        if (strncmp(scope->rows[i].key, key, n) == 0 &&
            scope->rows[i].key[n] == '.')
            return true;
    }
    return false;
}

/* Notes a key whose value must be a mapping; *map is it, or NULL when there is
 * nothing to go on with. */
static enum status
open_map(struct settings_file *self, const char *key,
         const struct settings_node *node, const struct settings_node **map,
         struct error *err)
{
    bool is_new = false;
    enum status st = settings_note_key(self, key, node->key_mark, &is_new, err);

    *map = NULL;
    if (st != STATUS_OK || !is_new)
        return st;
    if (node->kind == NODE_SCALAR || node->kind == NODE_LIST)
        settings_problems_add(
            self->problems, node->mark,
            "%.200s: %s, expected a mapping of 'key: value' lines", key,
            node->kind == NODE_LIST ? "is a list" : "is a single value");
    if (node->kind == NODE_MAP)
        *map = node;
    return STATUS_OK;
}

static bool
is_entry_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                            "YZ0123456789_-");

    return n > 0 && n <= 63 && name[n] == '\0';
}

/* Finds the entry of a section, or adds it with its defaults; *entry stays
 * NULL when it cannot be added. */
static enum status
find_entry(struct settings_file *self, const struct setting_section *section,
           const char *name, const struct settings_node *node, void **entry,
           struct error *err)
{
    char *values = self->values;
    char *entries;
    size_t count;
    struct settings_scope scope;

    memcpy(&entries, values + section->entries_offset, sizeof(entries));
    memcpy(&count, values + section->count_offset, sizeof(count));
    for (size_t i = 0; i < count; i++) {
        const char *other;

        *entry = entries + i * section->entry_bytes;
        memcpy(&other, *entry, sizeof(other));
        if (strcmp(other, name) == 0)
            return STATUS_OK;
    }
    *entry = NULL;
    if (!is_entry_name(name)) {
        char shown[SETTINGS_SHOWN_MAX];

        settings_problems_add(
            self->problems, node->key_mark,
            "%s: %s cannot be a name, expected 1 to 63 letters, digits, "
            "'_' or '-'",
            section->key, settings_show_text(shown, name));
        return STATUS_OK;
    }
    if (count == section->entries_max) {
        settings_problems_add(self->problems, node->key_mark,
                              "%s.%s: one too many, expected at most %zu",
                              section->key, name, section->entries_max);
        return STATUS_OK;
    }
    *entry = entries + count * section->entry_bytes;
    memcpy(*entry, &name, sizeof(name));
    count++;
    memcpy(values + section->count_offset, &count, sizeof(count));
    scope = (struct settings_scope){section->rows, section->row_count, *entry,
                                    "", false};
    return settings_set_initials(self, &scope, err);
}

/* rest is what follows "features.": a name, or a name with a setting. */
static enum status
visit_entry(struct settings_file *self, const struct setting_section *section,
            const char *rest, const struct settings_node *node,
            struct error *err)
{
    size_t n = strcspn(rest, ".");
    const char *name = settings_pool_text(&self->pool, rest, n);
    const struct settings_node *map = NULL;
    struct settings_scope scope = {.rows = section->rows,
                                   .row_count = section->row_count};
    const char *dotted;
    const char *key;
    enum status st;

    dotted = settings_join(self, section->key, ".");
    key = name == NULL || dotted == NULL ? NULL
                                         : settings_join(self, dotted, name);
    scope.prefix = key == NULL ? NULL : settings_join(self, key, ".");
    if (scope.prefix == NULL)
        return settings_refuse_memory(err);
    st = find_entry(self, section, name, node, &scope.base, err);
    if (st != STATUS_OK || scope.base == NULL)
        return st;
    if (rest[n] == '.')
        return visit_key(self, &scope, "", rest + n + 1, node, err);
    st = open_map(self, key, node, &map, err);
    return map == NULL ? st : visit_map(self, &scope, "", map, err);
}

/* Visits key when it is a section or below one; *is_section says so. */
static enum status
visit_section(struct settings_file *self, const char *key,
              const struct settings_node *node, bool *is_section,
              struct error *err)
{
    const struct settings_table *t = self->table;
    const struct settings_node *map = NULL;
    enum status st = STATUS_OK;

    *is_section = false;
    for (size_t i = 0; i < t->section_count && !*is_section; i++) {
        const struct setting_section *s = &t->sections[i];
        size_t n = strlen(s->key);

        if (strncmp(key, s->key, n) != 0 || (key[n] != '.' && key[n] != '\0'))
            continue;
        *is_section = true;
        if (key[n] == '.')
            return visit_entry(self, s, key + n + 1, node, err);
        st = open_map(self, key, node, &map, err);
        for (node = map == NULL ? NULL : map->first;
             node != NULL && st == STATUS_OK; node = node->next)
            st = visit_entry(self, s, node->key, node, err);
    }
    return st;
}

/* key is from the scope's beginning; path is the part of it that encloses. */
static enum status
visit_key(struct settings_file *self, const struct settings_scope *scope,
          const char *path, const char *key, const struct settings_node *node,
          struct error *err)
{
    const struct setting_row *row = settings_find_row(scope, key);
    const struct setting_row *owner;
    const struct settings_node *map = NULL;
    bool is_section = false;
    const char *full;
    enum status st;

    if (row != NULL && row->kind != SETTING_PROPERTIES)
        return visit_row(self, scope, row, node, err);
    owner =
        row != NULL ? NULL : setting_owner(scope->rows, scope->row_count, key);
    if (owner != NULL)
        return visit_property(self, scope, owner, key, node, err);
    if (scope->is_top) {
        st = visit_section(self, key, node, &is_section, err);
        if (is_section)
            return st;
    }
    if (row == NULL && !is_group(scope, key)) {
        settings_complain_unknown(self, scope, path, key, node);
        return STATUS_OK;
    }
    full = settings_join(self, scope->prefix, key);
    if (full == NULL)
        return settings_refuse_memory(err);
    st = open_map(self, full, node, &map, err);
    if (map == NULL)
        return st;
    path = settings_join(self, key, ".");
    return path == NULL ? settings_refuse_memory(err)
                        : visit_map(self, scope, path, map, err);
}

static enum status
visit_map(struct settings_file *self, const struct settings_scope *scope,
          const char *path, const struct settings_node *node, struct error *err)
{
    enum status st = STATUS_OK;

    for (node = node->first; node != NULL && st == STATUS_OK;
         node = node->next) {
        const char *key = settings_join(self, path, node->key);

        if (key == NULL)
            return settings_refuse_memory(err);
        st = visit_key(self, scope, path, key, node, err);
    }
    return st;
}

enum status
settings_walk(struct settings_file *self, const struct settings_scope *top,
              const struct settings_node *root, struct error *err)
{
    assert(self != NULL && root != NULL && root->kind == NODE_MAP);
    return visit_map(self, top, "", root, err);
}
