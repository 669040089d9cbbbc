/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: names that are for another to judge, each with a text.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <string.h>

bool
setting_is_property_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                            "YZ0123456789._:-");

    return n > 0 && n <= SETTING_PROPERTY_NAME_MAX && name[n] == '\0';
}

bool
setting_is_secret_name(const char *name)
{
    static const char *const words[] = {
        "password", "passphrase", "secret", "token",
        ".key",     "credential", "oauth",  "jaas",
    };

    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcasestr(name, words[i]) != NULL)
            return true;
    }
    return false;
}

bool
setting_is_secret_value(const char *value)
{
    const char *authority = strstr(value, "://");

    for (; authority != NULL; authority = strstr(authority, "://")) {
        authority += 3;
        if (authority[strcspn(authority, "@/?#,")] == '@')
            return true;
    }
    return false;
}

const struct setting_property *
setting_properties_find(const struct setting_properties *properties,
                        const char *name)
{
    assert(properties != NULL && name != NULL);
    for (size_t i = 0; i < properties->count; i++) {
        if (strcmp(properties->items[i].name, name) == 0)
            return &properties->items[i];
    }
    return NULL;
}

const struct setting_row *
setting_owner(const struct setting_row *rows, size_t row_count, const char *key)
{
    const struct setting_row *best = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < row_count; i++) {
        size_t n = strlen(rows[i].key);

        if (rows[i].kind == SETTING_PROPERTIES && n > longest &&
            strncmp(key, rows[i].key, n) == 0 && key[n] == '.') {
            best = &rows[i];
            longest = n;
        }
    }
    return best;
}

enum status
setting_clear_properties(const struct setting_row *row, void *base,
                         struct settings_pool *pool, struct error *err)
{
    struct setting_properties empty = {0};

    empty.items =
        settings_pool_get(pool, row->items_max * sizeof(*empty.items));
    if (empty.items == NULL)
        return settings_refuse_memory(err);
    memcpy((char *)base + row->offset, &empty, sizeof(empty));
    return STATUS_OK;
}

/* The text of a node; its references are resolved. */
static enum status
read_text(const struct setting_row *row, struct settings_pool *pool,
          const struct settings_node *node, struct settings_expansion *e,
          struct error *err)
{
    enum status st;

    if (node->kind != NODE_SCALAR)
        return error_set(err, STATUS_CONFIG, "%s, expected one text%s",
                         node->kind == NODE_NULL   ? "has no value"
                         : node->kind == NODE_LIST ? "is a list"
                                                   : "is a mapping",
                         node->kind == NODE_LIST  ? ", such as \"a,b\""
                         : node->kind == NODE_MAP ? ", and dots in names"
                                                  : "");
    st = settings_expand(e, pool, node->text, err);
    if (st == STATUS_OK && (double)strlen(e->text) > row->max)
        st = error_set(err, STATUS_CONFIG,
                       "is too long, expected at most %.0f bytes", row->max);
    return st;
}

enum status
setting_add_property(const struct setting_row *row, void *base,
                     struct settings_pool *pool, const char *name,
                     const struct settings_node *node, struct error *err)
{
    struct setting_properties map;
    struct settings_expansion e = {0};
    struct setting_property *items; /* the field's own, once more to write */
    enum status st;

    assert(row->kind == SETTING_PROPERTIES);
    memcpy(&map, (char *)base + row->offset, sizeof(map));
    if (map.count == row->items_max)
        return error_set(err, STATUS_CONFIG,
                         "one too many, expected at most %zu properties",
                         row->items_max);
    st = read_text(row, pool, node, &e, err);
    if (st != STATUS_OK)
        return st;
    memcpy(&items, &map.items, sizeof(items));
    items[map.count++] = (struct setting_property){
        .name = name,
        .value = e.text,
        .mark = node->key_mark,
        .is_secret = e.is_from_file || (row->flags & SETTING_SECRET) ||
                     setting_is_secret_name(name) ||
                     setting_is_secret_value(e.text),
    };
    memcpy((char *)base + row->offset, &map, sizeof(map));
    return STATUS_OK;
}
