/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "daemon/base/error.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Settings: one YAML file read into one struct by a table of rows. A row says
 * all there is to say about a setting, so parser, range checks, the commented
 * reference, the JSON Schema and the effective settings all come from it.
 * Every problem of a file is found in one go, each with its place.
 *
 * A key may be written nested or dotted: `train: {batch: 64}` and
 * `train.batch: 64` mean the same.
 */

/* What a setting is, and the type of its field. */
enum setting_kind {
    SETTING_BOOL,       /* bool */
    SETTING_COUNT,      /* uint64_t, at most 2^53: 256, 1_000_000, 1e6 */
    SETTING_BYTES,      /* uint64_t: 4096, 64KiB, 1.5GiB */
    SETTING_DURATION,   /* uint64_t, milliseconds: 5ms, 30s, 10m, 2h, 7d, 0 */
    SETTING_NUMBER,     /* double, NAN where unset; where the row has a word,
                           SETTING_WORD for that */
    SETTING_STRING,     /* const char *, never NULL */
    SETTING_NAME,       /* const char *: letters, digits, '_', '.', '-' */
    SETTING_PATH,       /* const char *, of a file, "" where unset */
    SETTING_ENUM,       /* an enum: the index of the word */
    SETTING_TIME,       /* int64_t, milliseconds since 1970, or EARLIEST, ... */
    SETTING_COUNTS,     /* struct setting_counts */
    SETTING_NUMBERS,    /* struct setting_numbers */
    SETTING_STRINGS,    /* struct setting_strings */
    SETTING_ENUMS,      /* struct setting_enums, no word twice */
    SETTING_PROPERTIES, /* struct setting_properties */
};

#define SETTING_EARLIEST INT64_MIN /* the word `earliest` for a time */
#define SETTING_LATEST   INT64_MAX /* the word `latest` for a time */
#define SETTING_WORD     HUGE_VAL  /* the word of a row, for a number */

/* Lists in the order of the file; the items live as long as the file. */
struct setting_counts {
    const uint64_t *items;
    size_t count;
};
struct setting_numbers {
    const double *items;
    size_t count;
};
struct setting_strings {
    const char *const *items;
    size_t count;
};
struct setting_enums {
    const unsigned *items; /* each an index into the row's words */
    size_t count;
};

struct setting_mark {
    size_t line; /* from 1; 0: nowhere */
    size_t column;
};

/*
 * Names that are not ours to know, such as those of a library, each with a
 * text: letters, digits, '.', '_' and '-', up to SETTING_PROPERTY_NAME_MAX. A
 * name that is a row of its own below the key is that row's.
 */
#define SETTING_PROPERTY_NAME_MAX 127

struct setting_property {
    const char *name;
    const char *value;        /* never NULL */
    struct setting_mark mark; /* of the name in the file */
    bool is_secret;           /* by its name, or from a file: never printed */
};

/* In the order of the file; no name twice. */
struct setting_properties {
    const struct setting_property *items;
    size_t count;
};

enum setting_flag {
    SETTING_RESTART = 0,  /* takes effect at the next start */
    SETTING_RELOAD = 1,   /* takes effect on SIGHUP too */
    SETTING_SECRET = 2,   /* never printed */
    SETTING_REQUIRED = 4, /* must be given; `initial` is only an example */
    SETTING_EXAMPLE = 8,  /* empty by default; `initial` is only an example */
    SETTING_LINEAGE = 16, /* changes what is learned: part of the digest */
};

struct setting_row {
    const char *key; /* dotted; within an entry of a section: without it */
    enum setting_kind kind;
    unsigned flags;           /* of enum setting_flag */
    size_t offset;            /* of the field */
    const char *unit;         /* what is counted, or "" */
    double min;               /* of the value, of each item of a list, or of */
    double max;               /* the length of a string; durations in ms */
    const char *initial;      /* default, as in YAML; "=KEY": as that one; of
                                 properties: an example, "name: text" */
    const char *const *words; /* ENUM, ENUMS, TIME: up to NULL */
    size_t items_max;         /* of a list or of properties */
    const char *help;         /* whole sentences */
};

/*
 * A section whose keys are names that the user picks: an array of structs, in
 * the order of the file. The first member of the struct is `const char *name`.
 */
struct setting_section {
    const char *key;
    const struct setting_row *rows;
    size_t row_count;
    size_t entry_bytes;
    size_t entries_max;
    size_t entries_offset; /* of the pointer to the array */
    size_t count_offset;   /* of the size_t */
    const char *example;   /* a name for the reference */
    const char *help;
    bool is_optional; /* the reference shows it commented out */
};

struct settings_table {
    const char *title; /* first line of the reference */
    const struct setting_row *rows;
    size_t row_count;
    const struct setting_section *sections;
    size_t section_count;
};

#define SETTINGS_FILE_BYTES_MAX ((size_t)1024 * 1024)
#define SETTINGS_DEPTH_MAX      16
#define SETTINGS_PROBLEMS_MAX   200

struct settings_problem {
    struct setting_mark mark;
    char *text;
};

/* Everything wrong with a file. All zeroes is an empty list. */
struct settings_problems {
    struct settings_problem *items;
    size_t count;
    size_t dropped; /* beyond SETTINGS_PROBLEMS_MAX */
};

/* settings_problems_print writes one line a problem, in the order of the file:
 * `name:line:column: what`. */
void settings_problems_print(const struct settings_problems *problems,
                             const char *name, FILE *f);

/* settings_problems_sort orders by line, then column, else as added. */
void settings_problems_sort(struct settings_problems *problems);

/* settings_problems_fini frees the texts and empties the list. */
void settings_problems_fini(struct settings_problems *problems);

/* What was read: the memory of strings and lists, and where each key stood. */
struct settings_file;

/*
 * settings_file_parse reads YAML text into values, a struct that the table
 * describes: first the defaults, then the file. ${env:NAME},
 * ${env:NAME:-default} and ${file:PATH} are replaced in values, $${ stands for
 * ${ itself. Keeps a borrow of table and values until settings_file_free;
 * name is used in *err alone.
 *
 * OK also when problems were found: they are added to *problems, and values
 * has defaults in place of what could not be used. NOMEM only otherwise.
 * Thread: any (reads the environment).
 */
must_check enum status settings_file_parse(struct settings_file **out,
                                           const struct settings_table *table,
                                           void *values, const char *text,
                                           size_t bytes,
                                           struct settings_problems *problems,
                                           struct error *err);

/*
 * settings_file_read is settings_file_parse for a file. NOTFOUND, DENIED or IO
 * when it cannot be read, CONFIG when it is larger than
 * SETTINGS_FILE_BYTES_MAX or not a regular file.
 */
must_check enum status settings_file_read(struct settings_file **out,
                                          const struct settings_table *table,
                                          void *values, const char *path,
                                          struct settings_problems *problems,
                                          struct error *err);

/* settings_file_free frees *self with every string and list of the values, and
 * sets it NULL; NULL is fine. */
void settings_file_free(struct settings_file **self);

/* settings_file_is_read says whether the file was YAML at all; if not, what is
 * missing is no news. */
bool settings_file_is_read(const struct settings_file *self);

/* settings_file_has says whether the file gives this key. */
bool settings_file_has(const struct settings_file *self, const char *key);

/*
 * settings_file_complain adds a problem about a key, at its place in the file,
 * or where it is not given at the nearest thing that encloses it.
 */
print_like(4, 5) void settings_file_complain(const struct settings_file *self,
                                             struct settings_problems *problems,
                                             const char *key,
                                             const char *format, ...);

/* settings_file_copy lends a copy of text that lives as long as the file; NULL
 * when there is no memory. */
const char *settings_file_copy(struct settings_file *self, const char *text);

/* setting_properties_find lends the property of this name, or NULL. */
const struct setting_property *
setting_properties_find(const struct setting_properties *properties,
                        const char *name);

/* settings_table_write_reference writes commented YAML with every setting, its
 * default, range and help; it is itself a valid file. */
void settings_table_write_reference(const struct settings_table *table,
                                    FILE *f);

/* settings_table_write_schema writes a JSON Schema (draft 2020-12) of the
 * nested form. */
void settings_table_write_schema(const struct settings_table *table, FILE *f);

/* settings_table_write_values writes values as YAML that reads back the same,
 * secrets as "***"; only rows that have all of the wanted flags (0: all). */
void settings_table_write_values(const struct settings_table *table,
                                 const void *values, unsigned wanted, FILE *f);

/* Called for a setting that differs. key: "log.level", "features.user.kind",
 * or a section's where its names differ; lent until return. row is NULL for a
 * section. */
typedef void (*settings_difference_fn)(void *ctx, const char *key,
                                       const struct setting_row *row);

/* settings_table_compare calls fn for every setting that differs between two
 * structs of the table, secrets too, in the order of the rows. NOMEM. */
must_check enum status
settings_table_compare(const struct settings_table *table, const void *a,
                       const void *b, settings_difference_fn fn, void *ctx,
                       struct error *err);

/* settings_table_take copies the field of a row that may be reloaded. Asserts
 * that it is plain: no text, no list. */
void settings_table_take(const struct setting_row *row, void *to,
                         const void *from);

#endif
