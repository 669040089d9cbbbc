/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table as commented YAML, and values as YAML.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#define LINE_MAX_WANTED 79
#define PREFIX_MAX      256

struct writer {
    FILE *f;
    size_t indent;   /* of depth 0, in levels */
    const char *sep; /* before the next group or setting */
    const struct setting_row *rows;
    size_t row_count;
    const void *base; /* of values */
    unsigned wanted;
};

static bool
is_earlier(const struct setting_row *rows, size_t i, const char *prefix,
           size_t n, size_t len)
{
    for (size_t j = 0; j < i; j++) {
        if (setting_component(rows[j].key, prefix, n) == len &&
            strncmp(rows[j].key + n, rows[i].key + n, len) == 0)
            return true;
    }
    return false;
}

void
setting_visit_rows(const struct setting_row *rows, size_t row_count,
                   const char *prefix, size_t depth,
                   const struct setting_visitor *visitor, void *ctx)
{
    size_t n = strlen(prefix);

    for (size_t i = 0; i < row_count; i++) {
        const char *key = rows[i].key;
        size_t len = setting_component(key, prefix, n);
        char inner[PREFIX_MAX];

        if (len == 0 || is_earlier(rows, i, prefix, n, len))
            continue;
        if (key[n + len] == '\0') {
            visitor->leaf(ctx, &rows[i], key + n, depth);
            continue;
        }
        visitor->open(ctx, key + n, len, depth);
        (void)snprintf(inner, sizeof(inner), "%.*s", (int)(n + len + 1), key);
        setting_visit_rows(rows, row_count, inner, depth + 1, visitor, ctx);
        visitor->close(ctx, depth);
    }
}

static void
indent(const struct writer *w, size_t depth)
{
    for (size_t i = 0; i < w->indent + depth; i++)
        (void)fputs("  ", w->f);
}

/* Writes sentences as comment lines of at most LINE_MAX_WANTED columns. */
static void
write_comment(const struct writer *w, size_t depth, const char *text)
{
    size_t room = LINE_MAX_WANTED - 2 * (w->indent + depth) - 2;

    while (*text != '\0') {
        size_t n = strlen(text);

        if (n > room) {
            n = room;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0) /* one long word */
                n = strcspn(text, " ");
        }
        indent(w, depth);
        (void)fprintf(w->f, "# %.*s\n", (int)n, text);
        text += n;
        while (*text == ' ')
            text++;
    }
}

static const struct setting_row *
find_as(const struct writer *w, const struct setting_row *row)
{
    struct settings_scope scope = {.rows = w->rows, .row_count = w->row_count};

    return *row->initial == '=' ? settings_find_row(&scope, row->initial + 1)
                                : row;
}

/* "A whole number from 1 to 64. Default: 4." */
static void
write_facts(const struct writer *w, size_t depth, const struct setting_row *row)
{
    char expected[SETTING_DESCRIPTION_MAX];
    char text[2 * SETTING_DESCRIPTION_MAX];
    const char *given = "";

    (void)setting_describe(expected, row);
    if (row->kind != SETTING_ENUM && row->kind != SETTING_TIME)
        expected[0] = (char)toupper((unsigned char)expected[0]);
    if (row->flags & SETTING_REQUIRED)
        given = " Must be given.";
    else if (row->flags & SETTING_EXAMPLE)
        given = " Empty by default; this is an example.";
    else if (*row->initial == '=')
        given = " Default: as ";
    else if (*row->initial == '\0')
        given = row->kind == SETTING_NUMBER ? " Unset by default." : "";
    else
        given = " Default: ";
    (void)snprintf(
        text, sizeof(text), "%s%s.%s%s%s%s%s",
        row->words != NULL && !setting_is_list(row) ? "One of " : "", expected,
        given,
        given[0] != '\0' && given[strlen(given) - 1] == ' '
            ? row->initial + (*row->initial == '=')
            : "",
        given[0] != '\0' && given[strlen(given) - 1] == ' ' ? "." : "",
        row->flags & SETTING_RELOAD ? " A reload changes it." : "",
        row->flags & SETTING_SECRET ? " Secret: never printed." : "");
    write_comment(w, depth, text);
}

static void
write_initial(const struct writer *w, const struct setting_row *row)
{
    enum setting_kind kind = row->kind;
    const char *text = find_as(w, row)->initial;

    if (kind == SETTING_STRING || kind == SETTING_NAME || kind == SETTING_PATH)
        setting_write_text(text, w->f);
    else
        (void)fputs(kind == SETTING_NUMBER && *text == '\0' ? "0" : text, w->f);
}

static void
refer_leaf(void *ctx, const struct setting_row *row, const char *name,
           size_t depth)
{
    struct writer *w = ctx;
    bool is_given = *row->initial != '=' &&
                    !(row->kind == SETTING_NUMBER && *row->initial == '\0');

    (void)fputs(w->sep, w->f);
    write_comment(w, depth, row->help);
    write_facts(w, depth, row);
    indent(w, depth);
    (void)fprintf(w->f, "%s%s: ", is_given ? "" : "# ", name);
    write_initial(w, row);
    (void)fputc('\n', w->f);
    w->sep = "\n";
}

static void
refer_open(void *ctx, const char *name, size_t name_bytes, size_t depth)
{
    struct writer *w = ctx;

    (void)fputs(w->sep, w->f);
    indent(w, depth);
    (void)fprintf(w->f, "%.*s:\n", (int)name_bytes, name);
    w->sep = "";
}

static void
close_nothing(void *ctx, size_t depth)
{
    (void)ctx;
    (void)depth;
}

static const struct setting_visitor refer = {refer_leaf, refer_open,
                                             close_nothing};

void
settings_table_write_reference(const struct settings_table *table, FILE *f)
{
    struct writer w = {.f = f,
                       .sep = "\n",
                       .rows = table->rows,
                       .row_count = table->row_count};

    assert(f != NULL);
    write_comment(&w, 0, table->title);
    setting_visit_rows(table->rows, table->row_count, "", 0, &refer, &w);
    for (size_t i = 0; i < table->section_count; i++) {
        const struct setting_section *s = &table->sections[i];
        struct writer inner = {.f = f,
                               .indent = 2,
                               .sep = "",
                               .rows = s->rows,
                               .row_count = s->row_count};

        (void)fputc('\n', f);
        write_comment(&w, 0, s->help);
        (void)fprintf(f, "%s:\n  %s:\n", s->key, s->example);
        setting_visit_rows(s->rows, s->row_count, "", 0, &refer, &inner);
    }
}

static bool
is_wanted(const struct writer *w, const struct setting_row *row)
{
    return (row->flags & w->wanted) == w->wanted &&
           !setting_is_unset(row, w->base);
}

static void
value_leaf(void *ctx, const struct setting_row *row, const char *name,
           size_t depth)
{
    struct writer *w = ctx;

    if (!is_wanted(w, row))
        return;
    indent(w, depth);
    (void)fprintf(w->f, "%s: ", name);
    if (row->flags & SETTING_SECRET)
        (void)fputs("\"***\"", w->f);
    else
        setting_format(row, w->base, w->f);
    (void)fputc('\n', w->f);
}

static void
value_open(void *ctx, const char *name, size_t name_bytes, size_t depth)
{
    const struct writer *w = ctx;

    indent(w, depth);
    (void)fprintf(w->f, "%.*s:\n", (int)name_bytes, name);
}

static const struct setting_visitor write_value = {value_leaf, value_open,
                                                   close_nothing};

void
settings_table_write_values(const struct settings_table *table,
                            const void *values, unsigned wanted, FILE *f)
{
    struct writer w = {.f = f, .base = values, .wanted = wanted};

    assert(values != NULL && f != NULL);
    setting_visit_rows(table->rows, table->row_count, "", 0, &write_value, &w);
    w.indent = 2;
    for (size_t i = 0; i < table->section_count; i++) {
        const struct setting_section *s = &table->sections[i];
        const char *entries;
        size_t count;

        memcpy(&entries, (const char *)values + s->entries_offset,
               sizeof(entries));
        memcpy(&count, (const char *)values + s->count_offset, sizeof(count));
        (void)fprintf(f, "%s:%s\n", s->key, count == 0 ? " {}" : "");
        for (size_t j = 0; j < count; j++) {
            const char *name;

            w.base = entries + j * s->entry_bytes;
            memcpy(&name, w.base, sizeof(name));
            (void)fprintf(f, "  %s:\n", name);
            setting_visit_rows(s->rows, s->row_count, "", 0, &write_value, &w);
        }
    }
}
