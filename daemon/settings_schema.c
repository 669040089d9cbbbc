/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table as a JSON Schema, for editors.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define REFERENCE "{\"$ref\": \"#/$defs/reference\"}"
#define NAME      "^[A-Za-z0-9_-]{1,63}$"
/* A plain number or word of YAML is text here, too. */
#define TEXT_TYPES "[\"string\", \"number\", \"boolean\"]"
#define PROPERTY   "^[A-Za-z0-9._:-]{1,127}$"

/* A value that is known when the file is read only. */
static const char definitions[] =
    "  \"$defs\": {\n"
    "    \"reference\": {\n"
    "      \"description\": \"${env:NAME}, ${env:NAME:-default} or "
    "${file:PATH}\",\n"
    "      \"type\": \"string\",\n"
    "      \"pattern\": \"\\\\$\\\\{(env|file):\"\n"
    "    }\n"
    "  }\n";

struct writer {
    FILE *f;
    size_t indent;
    const struct setting_row *rows;
    size_t row_count;
    bool has_item; /* a comma is due before the next */
};

static void
write_string(FILE *f, const char *text)
{
    (void)fputc('"', f);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            (void)fprintf(f, "\\%c", c);
        else if (c < 0x20)
            (void)fprintf(f, "\\u%04x", c);
        else
            (void)fputc(c, f);
    }
    (void)fputc('"', f);
}

static void
begin_line(struct writer *w, size_t depth)
{
    (void)fputs(w->has_item ? ",\n" : "\n", w->f);
    for (size_t i = 0; i < w->indent + 2 * depth; i++)
        (void)fputs("  ", w->f);
    w->has_item = true;
}

static void
write_range(FILE *f, const struct setting_row *row)
{
    char text[SETTING_NUMBER_MAX];

    if (row->min > -HUGE_VAL)
        (void)fprintf(f, ", \"minimum\": %s",
                      setting_text_number(text, row->min));
    if (row->max < HUGE_VAL)
        (void)fprintf(f, ", \"maximum\": %s",
                      setting_text_number(text, row->max));
}

static void
write_words(FILE *f, const struct setting_row *row)
{
    (void)fputs("{\"enum\": [", f);
    for (size_t i = 0; row->words[i] != NULL; i++) {
        (void)fputs(i == 0 ? "" : ", ", f);
        write_string(f, row->words[i]);
    }
    (void)fputs("]}", f);
}

/* The alternatives of a value or an item, without those of references. */
static void
write_alternatives(FILE *f, const struct setting_row *row)
{
    switch (setting_item_kind(row->kind)) {
    case SETTING_BOOL:
        (void)fputs("{\"type\": \"boolean\"}", f);
        break;
    case SETTING_COUNT:
        (void)fputs("{\"type\": \"integer\"", f);
        write_range(f, row);
        (void)fputs("}, {\"type\": \"string\", \"pattern\": "
                    "\"^[0-9][0-9_]*(\\\\.[0-9]+)?([eE]\\\\+?[0-9]+)?$\"}",
                    f);
        break;
    case SETTING_BYTES:
        (void)fputs("{\"type\": \"integer\"", f);
        write_range(f, row);
        (void)fputs("}, {\"type\": \"string\", \"pattern\": "
                    "\"^[0-9][0-9_]*(\\\\.[0-9]+)? ?([kMGT]?B|[KMGT]iB)?$\"}",
                    f);
        break;
    case SETTING_DURATION:
        (void)fputs("{\"const\": 0}, {\"type\": \"string\", \"pattern\": "
                    "\"^([0-9][0-9_]*(\\\\.[0-9]+)? ?(ms|s|m|h|d)|0)$\"}",
                    f);
        break;
    case SETTING_NUMBER:
        if (row->words != NULL) {
            write_words(f, row);
            (void)fputs(", ", f);
        }
        (void)fputs("{\"type\": \"number\"", f);
        write_range(f, row);
        (void)fputs("}, {\"type\": \"string\", \"pattern\": "
                    "\"^[-+]?[0-9.][0-9_.]*([eE][-+]?[0-9]+)?$\"}",
                    f);
        break;
    case SETTING_STRING:
    case SETTING_PATH:
        (void)fputs("{\"type\": " TEXT_TYPES "}", f);
        break;
    case SETTING_NAME:
        (void)fputs("{\"type\": \"string\", \"pattern\": "
                    "\"^[A-Za-z0-9_.-]*$\"}, {\"type\": \"number\"}",
                    f);
        break;
    case SETTING_ENUM:
        write_words(f, row);
        break;
    case SETTING_TIME:
        write_words(f, row);
        (void)fputs(", {\"type\": \"number\", \"minimum\": 0}, {\"type\": "
                    "\"string\", \"pattern\": \"^[0-9][-0-9:.TtZz +]*$\"}",
                    f);
        break;
    case SETTING_COUNTS:
    case SETTING_NUMBERS:
    case SETTING_STRINGS:
    case SETTING_ENUMS:
    case SETTING_PROPERTIES:
        break;
    }
}

/* The default as JSON; list items of YAML are words or numbers. */
static void
write_default(FILE *f, const struct setting_row *row)
{
    const char *text = row->initial;
    enum setting_kind kind = setting_item_kind(row->kind);
    bool is_raw = kind == SETTING_BOOL || kind == SETTING_COUNT ||
                  (kind == SETTING_NUMBER &&
                   (row->words == NULL || strcmp(text, row->words[0]) != 0));

    if (row->flags & (SETTING_REQUIRED | SETTING_EXAMPLE | SETTING_SECRET) ||
        *text == '=' || (*text == '\0' && kind == SETTING_NUMBER))
        return;
    (void)fputs(", \"default\": ", f);
    if (!setting_is_list(row)) {
        is_raw ? (void)fputs(text, f) : write_string(f, text);
        return;
    }
    for (; *text != '\0'; text++) {
        bool is_word = strchr("[], ", *text) == NULL;
        bool was_word = text > row->initial && strchr("[], ", text[-1]) == NULL;

        if (is_word != was_word && !is_raw)
            (void)fputc('"', f);
        (void)fputc(*text, f);
    }
}

/* Left open, for the rows below; write_close ends it. */
static void
write_properties(struct writer *w, const struct setting_row *row, size_t depth)
{
    static const char *const lines[] = {
        "  \"type\": [\"object\", \"null\"],",
        "  \"propertyNames\": {\"pattern\": \"" PROPERTY "\"},",
        "  \"additionalProperties\": {\"type\": " TEXT_TYPES "},",
        "  \"properties\": {"};

    (void)fputs(": {", w->f);
    w->has_item = false;
    begin_line(w, depth);
    (void)fputs("  \"description\": ", w->f);
    write_string(w->f, row->help);
    for (size_t i = 0; i < COUNT(lines); i++) {
        w->has_item = i == 0;
        begin_line(w, depth);
        (void)fputs(lines[i], w->f);
    }
    w->has_item = false;
}

static void
write_leaf(void *ctx, const struct setting_row *row, const char *name,
           size_t depth)
{
    struct writer *w = ctx;
    bool is_list = setting_is_list(row);

    begin_line(w, depth);
    write_string(w->f, name);
    if (row->kind == SETTING_PROPERTIES) {
        write_properties(w, row, depth);
        return;
    }
    (void)fputs(": {\"description\": ", w->f);
    write_string(w->f, row->help);
    write_default(w->f, row);
    (void)fputs(", \"anyOf\": [", w->f);
    if (is_list)
        (void)fprintf(w->f,
                      "{\"type\": \"array\", \"maxItems\": %zu, "
                      "\"items\": {\"anyOf\": [",
                      row->items_max);
    write_alternatives(w->f, row);
    if (is_list)
        (void)fputs(", " REFERENCE "]}}", w->f);
    (void)fputs(", " REFERENCE "]}", w->f);
}

static void
write_open(void *ctx, const char *name, size_t name_bytes, size_t depth)
{
    struct writer *w = ctx;

    begin_line(w, depth);
    (void)fprintf(w->f, "\"%.*s\": {", (int)name_bytes, name);
    w->has_item = false;
    begin_line(w, depth);
    (void)fputs("  \"type\": [\"object\", \"null\"],", w->f);
    w->has_item = false;
    begin_line(w, depth);
    (void)fputs("  \"additionalProperties\": false,", w->f);
    w->has_item = false;
    begin_line(w, depth);
    (void)fputs("  \"properties\": {", w->f);
    w->has_item = false;
}

static void
write_close(void *ctx, size_t depth)
{
    struct writer *w = ctx;

    w->has_item = false;
    begin_line(w, depth);
    (void)fputs("  }", w->f);
    w->has_item = false;
    begin_line(w, depth);
    (void)fputs("}", w->f);
    w->has_item = true;
}

static const struct setting_visitor describe = {write_leaf, write_open,
                                                write_close};

static void
write_section(struct writer *w, const struct setting_section *s)
{
    const char *separator = "";
    struct writer inner = {
        .f = w->f, .indent = 5, .rows = s->rows, .row_count = s->row_count};

    begin_line(w, 0);
    (void)fprintf(w->f, "\"%s\": {\n      \"description\": ", s->key);
    write_string(w->f, s->help);
    (void)fprintf(w->f,
                  ",\n      \"type\": [\"object\", \"null\"],\n"
                  "      \"maxProperties\": %zu,\n"
                  "      \"propertyNames\": {\"pattern\": \"" NAME "\"},\n"
                  "      \"additionalProperties\": {\n"
                  "        \"type\": \"object\",\n        \"required\": [",
                  s->entries_max);
    for (size_t i = 0; i < s->row_count; i++) {
        if (!(s->rows[i].flags & SETTING_REQUIRED))
            continue;
        (void)fprintf(w->f, "%s\"%s\"", separator, s->rows[i].key);
        separator = ", ";
    }
    (void)fputs("],\n        \"additionalProperties\": false,\n"
                "        \"properties\": {",
                w->f);
    setting_visit_rows(s->rows, s->row_count, "", 0, &describe, &inner);
    (void)fputs("\n        }\n      }\n    }", w->f);
}

void
settings_table_write_schema(const struct settings_table *table, FILE *f)
{
    struct writer w = {.f = f,
                       .indent = 2,
                       .rows = table->rows,
                       .row_count = table->row_count};

    assert(f != NULL);
    (void)fputs("{\n  \"$schema\": "
                "\"https://json-schema.org/draft/2020-12/schema\",\n"
                "  \"title\": ",
                f);
    write_string(f, table->title);
    (void)fputs(",\n  \"type\": \"object\",\n"
                "  \"additionalProperties\": false,\n  \"properties\": {",
                f);
    setting_visit_rows(table->rows, table->row_count, "", 0, &describe, &w);
    for (size_t i = 0; i < table->section_count; i++)
        write_section(&w, &table->sections[i]);
    (void)fputs("\n  },\n", f);
    (void)fputs(definitions, f);
    (void)fputs("}\n", f);
}
