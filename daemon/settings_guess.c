/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an unknown key may have meant.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <string.h>

#define KEY_MAX 256

size_t
setting_component(const char *key, const char *prefix, size_t n)
{
    if (strncmp(key, prefix, n) != 0)
        return 0;
    return strcspn(key + n, ".");
}

struct guess {
    char key[KEY_MAX];
    size_t distance;
};

static void
try_guess(struct guess *g, const char *wanted, const char *key, size_t n)
{
    char candidate[KEY_MAX];
    size_t d;

    if (n >= sizeof(candidate))
        return;
    memcpy(candidate, key, n);
    candidate[n] = '\0';
    d = settings_distance(wanted, candidate);
    if (d < g->distance) {
        g->distance = d;
        memcpy(g->key, candidate, n + 1);
    }
}

/* The known key that is nearest to the wanted one, by edits or, when none is
 * near, the one that ends with the same word. */
static bool
guess_key(const struct settings_file *self, const struct settings_scope *scope,
          const char *wanted, struct guess *g)
{
    const struct settings_table *t = self->table;
    const char *word = strrchr(wanted, '.');

    word = word == NULL ? wanted : word + 1;
    g->distance = SIZE_MAX;
    for (size_t i = 0; i < scope->row_count; i++) {
        const char *key = scope->rows[i].key;

        assert(key != NULL);
        for (const char *dot = key; dot != NULL; dot = strchr(dot + 1, '.'))
            if (dot > key)
                try_guess(g, wanted, key, (size_t)(dot - key));
        try_guess(g, wanted, key, strlen(key));
    }
    for (size_t i = 0; scope->is_top && i < t->section_count; i++)
        try_guess(g, wanted, t->sections[i].key, strlen(t->sections[i].key));
    if (settings_is_near(word, g->distance))
        return true;
    for (size_t i = 0; i < scope->row_count; i++) {
        const char *last = strrchr(scope->rows[i].key, '.');

        if (last != NULL && strcmp(last + 1, word) == 0) {
            (void)snprintf(g->key, sizeof(g->key), "%s", scope->rows[i].key);
            return true;
        }
    }
    return false;
}

/* The keys that may stand below path, for a message. */
static const char *
list_keys(const struct settings_file *self, const struct settings_scope *scope,
          const char *path, char *buf, size_t bytes)
{
    const struct settings_table *t = self->table;
    size_t n = strlen(path);
    size_t used = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < scope->row_count && used + 1 < bytes; i++) {
        const char *key = scope->rows[i].key;
        size_t len = setting_component(key, path, n);
        const char *last = i == 0 ? "" : scope->rows[i - 1].key;
        bool is_repeated = strncmp(last, key, n + len) == 0 &&
                           setting_component(last, path, n) == len;

        if (len > 0 && !is_repeated)
            used += (size_t)snprintf(buf + used, bytes - used, "%s%.*s",
                                     used == 0 ? "" : ", ", (int)len, key + n);
    }
    for (size_t i = 0; scope->is_top && n == 0 && i < t->section_count; i++) {
        if (used + 1 < bytes)
            used += (size_t)snprintf(buf + used, bytes - used, ", %s",
                                     t->sections[i].key);
    }
    return buf;
}

void
settings_complain_unknown(struct settings_file *self,
                          const struct settings_scope *scope, const char *path,
                          const char *key, const struct settings_node *node)
{
    struct settings_problems *p = self->problems;
    char shown[SETTINGS_SHOWN_MAX];
    char keys[400];
    struct guess g;
    size_t n = strlen(path);

    if (p->count == SETTINGS_PROBLEMS_MAX) {
        p->dropped++; /* a guess takes time */
        return;
    }
    (void)settings_show_text(shown, key);
    shown[strlen(shown) - 1] = '\0'; /* without quotes: it is a key */
    if (!guess_key(self, scope, key, &g))
        settings_problems_add(self->problems, node->key_mark,
                              "%s%s: no such setting, expected one of %s",
                              scope->prefix, shown + 1,
                              list_keys(self, scope, path, keys, sizeof(keys)));
    else if (strncmp(g.key, path, n) == 0)
        settings_problems_add(self->problems, node->key_mark,
                              "%s%s: no such setting, did you mean '%s'?",
                              scope->prefix, shown + 1, g.key + n);
    else
        settings_problems_add(self->problems, node->key_mark,
                              "%s%s: no such setting, did you mean '%s%s'?",
                              scope->prefix, shown + 1, scope->prefix, g.key);
}
