/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables at a terminal.
 */
#include "daemon/base/text_table.h"

#include "daemon/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#define GAP 2 /* columns between two */

static const char *const style_codes[] = {
    [TEXT_PLAIN] = "",        [TEXT_BOLD] = "\033[1m", [TEXT_FAINT] = "\033[2m",
    [TEXT_GOOD] = "\033[32m", [TEXT_BAD] = "\033[31m",
};

/* Characters, which is columns for the texts that come here. */
static size_t
count_characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void
print_repeated(FILE *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)fputs(text, out);
}

static void
print_cell(const struct text_cell *cell, size_t width, bool is_left, FILE *out,
           bool has_color)
{
    size_t len = count_characters(cell->text);
    bool has_style = has_color && cell->style != TEXT_PLAIN && len > 0;

    if (!is_left)
        print_repeated(out, " ", width - len);
    (void)fprintf(out, "%s%s%s", has_style ? style_codes[cell->style] : "",
                  cell->text, has_style ? "\033[0m" : "");
    if (is_left)
        print_repeated(out, " ", width - len);
}

void
text_table_init(struct text_table *t, size_t column_count)
{
    assert(t != NULL);
    assert(column_count > 0 && column_count <= TEXT_TABLE_COLUMNS);
    memset(t, 0, sizeof(*t));
    t->column_count = column_count;
}

void
text_table_add(struct text_table *t, const char *format, ...)
{
    struct text_cell *cell;
    va_list args;

    assert(t != NULL && t->cell_count < t->column_count * TEXT_TABLE_ROWS);
    cell = &t->cells[t->cell_count++];
    va_start(args, format);
    (void)vsnprintf(cell->text, sizeof(cell->text), format, args);
    va_end(args);
    cell->text[text_utf8_prefix(cell->text, strlen(cell->text))] = '\0';
    cell->style = t->cell_count <= t->column_count ? TEXT_BOLD : TEXT_PLAIN;
}

void
text_table_style(struct text_table *t, enum text_style style)
{
    assert(t != NULL && t->cell_count > 0);
    t->cells[t->cell_count - 1].style = style;
}

void
text_table_rule(struct text_table *t)
{
    size_t row = t->cell_count / t->column_count;

    assert(t->cell_count % t->column_count == 0 && row < TEXT_TABLE_ROWS);
    t->has_rule[row] = true;
}

void
text_table_print(const struct text_table *t, FILE *out, bool has_color)
{
    size_t widths[TEXT_TABLE_COLUMNS] = {0};
    size_t total = 0;

    assert(t != NULL && out != NULL);
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t len = count_characters(t->cells[i].text);
        size_t *width = &widths[i % t->column_count];

        *width = len > *width ? len : *width;
    }
    for (size_t i = 0; i < t->column_count; i++)
        total += widths[i] + (i > 0 ? GAP : 0);
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t column = i % t->column_count;
        bool is_last = column + 1 == t->column_count || i + 1 == t->cell_count;

        if (column == 0 && t->has_rule[i / t->column_count]) {
            print_repeated(out, "─", total);
            (void)fputc('\n', out);
        }
        print_repeated(out, " ", column > 0 ? GAP : 0);
        print_cell(&t->cells[i], widths[column], column == 0, out, has_color);
        if (is_last)
            (void)fputc('\n', out);
    }
}
