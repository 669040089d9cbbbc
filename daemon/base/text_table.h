/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXT_TABLE_H
#define BASE_TEXT_TABLE_H

#include "daemon/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * A table of short texts for a person at a terminal: columns are as wide as
 * their widest cell, the first is flush left, the others flush right. The
 * first row is the heading.
 *
 *     text_table_init(&t, 3);
 *     text_table_add(&t, "model");
 *     ...
 *     text_table_print(&t, stdout, isatty(1));
 */

#define TEXT_TABLE_ROWS    64
#define TEXT_TABLE_COLUMNS 12
#define TEXT_TABLE_CELL    64

enum text_style {
    TEXT_PLAIN,
    TEXT_BOLD,
    TEXT_FAINT,
    TEXT_GOOD, /* green */
    TEXT_BAD,  /* red */
};

struct text_cell {
    char text[TEXT_TABLE_CELL]; /* UTF-8 */
    enum text_style style;
};

struct text_table {
    size_t column_count;
    size_t cell_count;
    bool has_rule[TEXT_TABLE_ROWS]; /* a line above the row */
    struct text_cell cells[TEXT_TABLE_ROWS * TEXT_TABLE_COLUMNS];
};

/* text_table_init makes it empty. column_count: 1 to TEXT_TABLE_COLUMNS. */
void text_table_init(struct text_table *t, size_t column_count);

/* text_table_add fills the next cell, row by row; a text that is too long is
 * cut. Asserts that a table has no more than TEXT_TABLE_ROWS rows. */
print_like(2, 3) void text_table_add(struct text_table *t, const char *format,
                                     ...);

/* text_table_style gives the cell that was added last a style. */
void text_table_style(struct text_table *t, enum text_style style);

/* text_table_rule draws a line above the row that begins now. */
void text_table_rule(struct text_table *t);

/* text_table_print prints it. has_color: with escape sequences for styles. */
void text_table_print(const struct text_table *t, FILE *out, bool has_color);

#endif
