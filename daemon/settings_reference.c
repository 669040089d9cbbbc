/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table as commented YAML, and values as YAML.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_WANTED 79
#define PREFIX_MAX      256

struct group {
    const char *name;
    int name_bytes;
};

struct writer {
    FILE *f;
    size_t indent;   /* of depth 0, in levels */
    const char *sep; /* before the next group or setting */
    const struct setting_row *rows;
    size_t row_count;
    const void *base; /* of values */
    unsigned wanted;
    struct group groups[SETTINGS_DEPTH_MAX]; /* that are open, of values */
    size_t written;                          /* of them */
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
        if (key[n + len] == '\0')
            visitor->leaf(ctx, &rows[i], key + n, depth);
        else
            visitor->open(ctx, key + n, len, depth);
        if (key[n + len] == '\0' && rows[i].kind != SETTING_PROPERTIES)
            continue;
        (void)snprintf(inner, sizeof(inner), "%.*s.", (int)(n + len), key);
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
        row->words != NULL && !setting_is_list(row) &&
                row->kind != SETTING_NUMBER
            ? "One of "
            : "",
        expected, given,
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

/* Whether there are rows below that of properties. */
static bool
has_rows_below(const struct writer *w, const struct setting_row *row)
{
    size_t n = strlen(row->key);

    for (size_t i = 0; i < w->row_count; i++) {
        if (strncmp(w->rows[i].key, row->key, n) == 0 &&
            w->rows[i].key[n] == '.')
            return true;
    }
    return false;
}

/* The lines of properties, or {} when there are none, after "name:". */
static void
write_properties(const struct writer *w, size_t depth,
                 const struct setting_row *row,
                 const struct setting_properties *p)
{
    if (p->count == 0 && !has_rows_below(w, row))
        (void)fputs(" {}", w->f);
    (void)fputc('\n', w->f);
    for (size_t i = 0; i < p->count; i++) {
        indent(w, depth + 1);
        setting_write_text(p->items[i].name, w->f);
        (void)fputs(": ", w->f);
        setting_write_text(p->items[i].is_secret ? "***" : p->items[i].value,
                           w->f);
        (void)fputc('\n', w->f);
    }
}

static void
refer_properties(struct writer *w, const struct setting_row *row,
                 const char *name, size_t depth)
{
    static const struct setting_properties none = {0};

    indent(w, depth);
    (void)fprintf(w->f, "%s:", name);
    if (*row->initial == '\0') {
        write_properties(w, depth, row, &none);
        return;
    }
    (void)fputc('\n', w->f);
    indent(w, depth + 1);
    (void)fprintf(w->f, "%s\n", row->initial);
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
    w->sep = "\n";
    if (row->kind == SETTING_PROPERTIES) {
        refer_properties(w, row, name, depth);
        return;
    }
    indent(w, depth);
    (void)fprintf(w->f, "%s%s: ", is_given ? "" : "# ", name);
    write_initial(w, row);
    (void)fputc('\n', w->f);
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

/* Copies lines; those that say something are commented out, so that it is said
 * when what is before them is taken away. */
static void
comment_out(const char *text, FILE *f)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        const char *word = text + strspn(text, " ");

        if (n > 0 && *word != '#')
            (void)fputs("# ", f);
        (void)fprintf(f, "%.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void
refer_section(const struct setting_section *s, FILE *f)
{
    struct writer w = {.f = f,
                       .indent = 2,
                       .sep = "",
                       .rows = s->rows,
                       .row_count = s->row_count};

    (void)fprintf(f, "%s:\n  %s:\n", s->key, s->example);
    setting_visit_rows(s->rows, s->row_count, "", 0, &refer, &w);
}

/* As it is where there is no memory for it: the reference is then no valid
 * file, which who wrote it will find. */
static void
refer_optional_section(const struct setting_section *s, FILE *f)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);

    if (memory == NULL) {
        refer_section(s, f);
        return;
    }
    refer_section(s, memory);
    if (fclose(memory) == 0)
        comment_out(text, f);
    free(text);
}

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

        (void)fputc('\n', f);
        write_comment(&w, 0, s->help);
        if (s->is_optional)
            refer_optional_section(s, f);
        else
            refer_section(s, f);
    }
}

static bool
is_wanted(const struct writer *w, const struct setting_row *row)
{
    return (row->flags & w->wanted) == w->wanted &&
           !setting_is_unset(row, w->base);
}

/* Writes the groups around a setting that has none of its own yet: a group
 * without a wanted setting leaves no trace, so it cannot change a digest. */
static void
open_groups(struct writer *w, size_t depth)
{
    for (; w->written < depth; w->written++) {
        const struct group *g = &w->groups[w->written];

        indent(w, w->written);
        (void)fprintf(w->f, "%.*s:\n", g->name_bytes, g->name);
    }
}

static void
value_close(void *ctx, size_t depth)
{
    struct writer *w = ctx;

    if (w->written > depth)
        w->written = depth;
}

static void
value_open(void *ctx, const char *name, size_t name_bytes, size_t depth)
{
    struct writer *w = ctx;

    assert(depth < COUNT(w->groups));
    value_close(w, depth);
    w->groups[depth] = (struct group){name, (int)name_bytes};
}

static void
value_leaf(void *ctx, const struct setting_row *row, const char *name,
           size_t depth)
{
    struct writer *w = ctx;

    if (row->kind == SETTING_PROPERTIES)
        value_open(w, name, strlen(name), depth);
    if (!is_wanted(w, row))
        return;
    open_groups(w, depth);
    indent(w, depth);
    if (row->kind == SETTING_PROPERTIES) {
        struct setting_properties p;

        memcpy(&p, (const char *)w->base + row->offset, sizeof(p));
        (void)fprintf(w->f, "%s:", name);
        write_properties(w, depth, row, &p);
        w->written = depth + 1;
        return;
    }
    (void)fprintf(w->f, "%s: ", name);
    if (row->flags & SETTING_SECRET)
        (void)fputs("\"***\"", w->f);
    else
        setting_format(row, w->base, w->f);
    (void)fputc('\n', w->f);
}

static const struct setting_visitor write_value = {value_leaf, value_open,
                                                   value_close};

void
settings_table_write_values(const struct settings_table *table,
                            const void *values, unsigned wanted, FILE *f)
{
    struct writer w = {.f = f,
                       .rows = table->rows,
                       .row_count = table->row_count,
                       .base = values,
                       .wanted = wanted};

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

            w.rows = s->rows;
            w.row_count = s->row_count;
            w.base = entries + j * s->entry_bytes;
            memcpy(&name, w.base, sizeof(name));
            (void)fprintf(f, "  %s:\n", name);
            setting_visit_rows(s->rows, s->row_count, "", 0, &write_value, &w);
        }
    }
}
