/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SETTINGS_PRIV_H
#define DAEMON_SETTINGS_PRIV_H

#include "daemon/settings.h"

/*
 * What the files of the settings module share.
 */

/* ---- Memory that is freed in one go ---- */

struct settings_block;

struct settings_pool {
    struct settings_block *blocks;
    size_t used; /* of the first block */
    size_t total;
};

/* settings_pool_get lends zeroed memory until settings_pool_fini; NULL when
 * there is none, or when the pool has grown beyond its maximum. */
void *settings_pool_get(struct settings_pool *pool, size_t bytes);

/* settings_pool_text copies n characters and ends them; NULL as above. */
char *settings_pool_text(struct settings_pool *pool, const char *text,
                         size_t n);

void settings_pool_fini(struct settings_pool *pool);

/* ---- Problems ---- */

/* settings_problems_add appends one, kept in the order of marks by the caller
 * of settings_problems_sort. */
print_like(3, 4) void settings_problems_add(struct settings_problems *problems,
                                            struct setting_mark mark,
                                            const char *format, ...);

/* settings_distance counts the edits (insert, delete, change, swap of
 * neighbors) between two texts; SIZE_MAX when one is too long to compare. */
size_t settings_distance(const char *a, const char *b);

/* settings_is_near says whether distance edits may be a slip in text. */
bool settings_is_near(const char *text, size_t distance);

/* settings_show_text writes text in quotes, cut and with control characters
 * escaped, as it may stand in a message. Lends buf. */
#define SETTINGS_SHOWN_MAX ((size_t)80)
const char *settings_show_text(char buf[SETTINGS_SHOWN_MAX], const char *text);

/* ---- YAML as a tree ---- */

enum settings_node_kind {
    NODE_NULL, /* nothing, ~ or null */
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAP,
    NODE_BROKEN, /* something that was already complained about */
};

struct settings_node {
    enum settings_node_kind kind;
    struct setting_mark mark;
    const char *text; /* SCALAR */
    const char *key;  /* in a MAP */
    struct setting_mark key_mark;
    struct settings_node *first; /* LIST, MAP */
    struct settings_node *next;
};

/*
 * settings_yaml_parse lends the tree of a text, or *root NULL when nothing can
 * be used: empty, or a syntax error, which is in *problems. NOMEM otherwise.
 */
must_check enum status settings_yaml_parse(struct settings_node **root,
                                           struct settings_pool *pool,
                                           const char *text, size_t bytes,
                                           struct settings_problems *problems,
                                           struct error *err);

/* ---- ${env:...} and ${file:...} ---- */

struct settings_expansion {
    const char *text;  /* lent by the pool */
    bool is_expanded;  /* there was something to replace */
    bool is_from_file; /* it may be a secret: do not print */
};

/* settings_expand replaces. CONFIG with the reason in *err, or NOMEM. */
must_check enum status settings_expand(struct settings_expansion *out,
                                       struct settings_pool *pool,
                                       const char *text, struct error *err);

/* ---- Values ---- */

union setting_value {
    bool is_true;
    uint64_t count;
    double number;
    const char *text;
    unsigned word;
    int64_t time_ms;
};

/* setting_is_list says whether the row is a list. */
bool setting_is_list(const struct setting_row *row);

/* setting_item_kind is the kind of a list's items, or the kind itself. */
enum setting_kind setting_item_kind(enum setting_kind kind);

/* setting_bytes is the size of a field of this kind. */
size_t setting_bytes(enum setting_kind kind);

/*
 * setting_parse reads one value (or item of a list) from text. CONFIG with
 * "<shown> is ..., expected ..." in *err. Strings borrow text.
 */
must_check enum status setting_parse(const struct setting_row *row,
                                     const char *text, const char *shown,
                                     union setting_value *out,
                                     struct error *err);

/* setting_store writes a value that is not a list into its field. */
void setting_store(const struct setting_row *row, void *base,
                   const union setting_value *value);

/* setting_store_list writes count items, copied into the pool. CONFIG when
 * they are too many or, for words, one comes twice. */
must_check enum status setting_store_list(const struct setting_row *row,
                                          void *base,
                                          struct settings_pool *pool,
                                          const union setting_value *items,
                                          size_t count, struct error *err);

/* setting_parse_flow reads "[a, b]" or "a, b" (defaults, and expanded values)
 * into items (room for items_max); gives the number in *count. */
must_check enum status setting_parse_flow(const struct setting_row *row,
                                          struct settings_pool *pool,
                                          const char *text, const char *shown,
                                          union setting_value *items,
                                          size_t *count, struct error *err);

/* ---- Properties ---- */

/* setting_is_property_name says whether a property may be called so. */
bool setting_is_property_name(const char *name);

/* setting_is_secret_name says whether a property looks like a secret by its
 * name; setting_is_secret_value, whether by its value: a URL with a password.
 */
bool setting_is_secret_name(const char *name);
bool setting_is_secret_value(const char *value);

/* setting_clear_properties makes the field an empty map with room for
 * items_max. NOMEM. */
must_check enum status setting_clear_properties(const struct setting_row *row,
                                                void *base,
                                                struct settings_pool *pool,
                                                struct error *err);

/* setting_add_property adds what a node gives under this name (lent). CONFIG
 * with the reason in *err, or NOMEM. */
must_check enum status
setting_add_property(const struct setting_row *row, void *base,
                     struct settings_pool *pool, const char *name,
                     const struct settings_node *node, struct error *err);

/* setting_owner is the row of properties that a key lies below, the longest
 * where there are several, or NULL. */
const struct setting_row *setting_owner(const struct setting_row *rows,
                                        size_t row_count, const char *key);

/* The longest list a row may allow. */
#define SETTING_ITEMS_MAX 4096

/* setting_describe writes what is expected: "a count from 1 to 64". */
#define SETTING_DESCRIPTION_MAX 512
const char *setting_describe(char buf[SETTING_DESCRIPTION_MAX],
                             const struct setting_row *row);

/* setting_format writes a value as YAML to f; nothing for an unset one. */
bool setting_is_unset(const struct setting_row *row, const void *base);
void setting_format(const struct setting_row *row, const void *base, FILE *f);

/* setting_text_number writes a number with as few digits as read back the
 * same. */
#define SETTING_NUMBER_MAX 32
const char *setting_text_number(char buf[SETTING_NUMBER_MAX], double number);

/* setting_text_limit writes a limit of a row in its unit: 64KiB, 30s, 256. */
const char *setting_text_limit(char buf[SETTING_NUMBER_MAX],
                               enum setting_kind kind, double number);

/* ---- The file while it is read ---- */

/* Where a key that the table knows stood in the file. */
struct settings_record {
    const char *key;
    struct setting_mark mark;
};

struct settings_file {
    unsigned magic;
    const struct settings_table *table;
    void *values;
    struct settings_pool pool;
    struct settings_record *records; /* bounded: each known key once */
    size_t record_count;
    size_t record_max;
    bool is_read;
    struct settings_problems *problems; /* while parsing */
    union setting_value *items;         /* while parsing: of one list */
};

/* The rows that keys are looked up in: the table's, or those of one entry. */
struct settings_scope {
    const struct setting_row *rows;
    size_t row_count;
    void *base;
    const char *prefix; /* "" or "features.user." */
    bool is_top;        /* sections are looked up too */
};

/* settings_refuse_memory fills *err; NOMEM. */
enum status settings_refuse_memory(struct error *err);

/* settings_join lends the two texts as one; NULL when there is no memory. */
const char *settings_join(struct settings_file *self, const char *a,
                          const char *b);

/* settings_find_row looks a key up in its scope; NULL when there is none. */
const struct setting_row *settings_find_row(const struct settings_scope *scope,
                                            const char *key);

/* settings_set_initials gives every row of a scope its default. */
must_check enum status settings_set_initials(struct settings_file *self,
                                             const struct settings_scope *scope,
                                             struct error *err);

/*
 * settings_note_key notes where a key (lent, pool's) stands. Sets *is_new
 * false, and complains, when the file has it already. NOMEM otherwise.
 */
must_check enum status settings_note_key(struct settings_file *self,
                                         const char *key,
                                         struct setting_mark mark, bool *is_new,
                                         struct error *err);

/* settings_walk sets what the mapping at root gives. NOMEM otherwise. */
must_check enum status settings_walk(struct settings_file *self,
                                     const struct settings_scope *top,
                                     const struct settings_node *root,
                                     struct error *err);

/* settings_complain_unknown adds the problem of a key that is no setting, with
 * the nearest that is. path is where it stands: "" or "train.". */
void settings_complain_unknown(struct settings_file *self,
                               const struct settings_scope *scope,
                               const char *path, const char *key,
                               const struct settings_node *node);

/* setting_write_text writes a string as YAML, in quotes where it needs them. */
void setting_write_text(const char *text, FILE *f);

/* ---- Groups: the dotted keys of a table as a tree ---- */

/* setting_component is the length of key's next component after the prefix of
 * n characters (with its dot), or 0 when key does not begin with prefix. */
size_t setting_component(const char *key, const char *prefix, size_t n);

/* What is called for each node of the tree; depth 0 is the table itself. */
struct setting_visitor {
    void (*leaf)(void *ctx, const struct setting_row *row, const char *name,
                 size_t depth);
    void (*open)(void *ctx, const char *name, size_t name_bytes, size_t depth);
    void (*close)(void *ctx, size_t depth);
};

/* setting_visit_rows visits each group once, at its first row, with all of its
 * rows; prefix is "" or ends with a dot. A leaf of properties is followed by
 * the rows below it, one deeper, and a close. */
void setting_visit_rows(const struct setting_row *rows, size_t row_count,
                        const char *prefix, size_t depth,
                        const struct setting_visitor *visitor, void *ctx);

#endif
