/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text to a tree of nodes with their places: the only file that knows
 * libyaml. Bounded in depth and number of nodes; no anchors, aliases or tags.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

#define NODES_MAX 65536u

/* One open list or mapping. */
struct frame {
    struct settings_node *node;
    struct settings_node **tail;
    const char *key; /* read, and its value is next; NULL: none */
    struct setting_mark key_mark;
};

struct builder {
    struct settings_pool *pool;
    struct settings_problems *problems;
    struct settings_node *root;
    struct frame frames[SETTINGS_DEPTH_MAX];
    size_t depth;
    size_t node_count;
    size_t document_count;
    bool is_stopped; /* a problem that leaves nothing to go on with */
    bool is_nomem;
};

static struct setting_mark
make_mark(yaml_mark_t mark)
{
    return (struct setting_mark){mark.line + 1, mark.column + 1};
}

static void
stop_at(struct builder *b, struct setting_mark mark, const char *why)
{
    settings_problems_add(b->problems, mark, "%s", why);
    b->is_stopped = true;
}

/* Adds a new node where the next value belongs; NULL when that failed. */
static struct settings_node *
add_node(struct builder *b, enum settings_node_kind kind,
         struct setting_mark mark)
{
    struct frame *f = b->depth == 0 ? NULL : &b->frames[b->depth - 1];
    struct settings_node *n;

    if (b->node_count == NODES_MAX) {
        stop_at(b, mark, "too many values, expected at most 65536");
        return NULL;
    }
    if (f != NULL && f->node->kind == NODE_MAP && f->key == NULL) {
        stop_at(b, mark, "a key that is a list or a mapping, expected a name");
        return NULL;
    }
    n = settings_pool_get(b->pool, sizeof(*n));
    if (n == NULL) {
        b->is_nomem = true;
        return NULL;
    }
    b->node_count++;
    n->kind = kind;
    n->mark = mark;
    if (f == NULL) {
        b->root = n;
        return n;
    }
    n->key = f->key;
    n->key_mark = f->key_mark;
    f->key = NULL;
    *f->tail = n;
    f->tail = &n->next;
    return n;
}

static void
open_node(struct builder *b, enum settings_node_kind kind,
          struct setting_mark mark)
{
    struct settings_node *n;

    if (b->depth == SETTINGS_DEPTH_MAX) {
        stop_at(b, mark, "nested too deeply, expected at most 16 levels");
        return;
    }
    n = add_node(b, kind, mark);
    if (n == NULL)
        return;
    b->frames[b->depth] = (struct frame){.node = n, .tail = &n->first};
    b->depth++;
}

static bool
is_null(const yaml_event_t *e)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp((const char *)e->data.scalar.value, words[i]) == 0)
            return true;
    }
    return false;
}

static void
take_scalar(struct builder *b, const yaml_event_t *e)
{
    struct frame *f = b->depth == 0 ? NULL : &b->frames[b->depth - 1];
    const char *text = (const char *)e->data.scalar.value;
    struct setting_mark mark = make_mark(e->start_mark);
    struct settings_node *n;
    char *copy;

    if (strlen(text) != e->data.scalar.length) {
        stop_at(b, mark, "a NUL character, expected text");
        return;
    }
    copy = settings_pool_text(b->pool, text, e->data.scalar.length);
    if (copy == NULL) {
        b->is_nomem = true;
        return;
    }
    if (f != NULL && f->node->kind == NODE_MAP && f->key == NULL) {
        f->key = copy;
        f->key_mark = mark;
        return;
    }
    n = add_node(b, is_null(e) ? NODE_NULL : NODE_SCALAR, mark);
    if (n != NULL)
        n->text = copy;
}

static void
refuse_extras(struct builder *b, struct setting_mark mark,
              const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        settings_problems_add(b->problems, mark,
                              "an anchor (&%.60s), expected plain values: "
                              "anchors and aliases are not supported",
                              (const char *)anchor);
    if (tag != NULL)
        settings_problems_add(b->problems, mark,
                              "a tag (%.60s), expected plain values: tags are "
                              "not supported",
                              (const char *)tag);
}

static void
take_alias(struct builder *b, const yaml_event_t *e)
{
    struct setting_mark mark = make_mark(e->start_mark);

    settings_problems_add(b->problems, mark,
                          "an alias (*%.60s), expected the value itself: "
                          "anchors and aliases are not supported",
                          (const char *)e->data.alias.anchor);
    (void)add_node(b, NODE_BROKEN, mark);
}

static void
take_event(struct builder *b, const yaml_event_t *e)
{
    struct setting_mark mark = make_mark(e->start_mark);

    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->document_count++ > 0)
            stop_at(b, mark, "a second document, expected one a file");
        break;
    case YAML_ALIAS_EVENT:
        take_alias(b, e);
        break;
    case YAML_SCALAR_EVENT:
        refuse_extras(b, mark, e->data.scalar.anchor, e->data.scalar.tag);
        take_scalar(b, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(b, mark, e->data.sequence_start.anchor,
                      e->data.sequence_start.tag);
        open_node(b, NODE_LIST, mark);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_extras(b, mark, e->data.mapping_start.anchor,
                      e->data.mapping_start.tag);
        open_node(b, NODE_MAP, mark);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        assert(b->depth > 0);
        b->depth--;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

static void
stop_on_syntax(struct builder *b, const yaml_parser_t *parser)
{
    const char *what = parser->problem != NULL ? parser->problem : "unreadable";

    if (parser->error == YAML_MEMORY_ERROR) {
        b->is_nomem = true;
        return;
    }
    if (parser->error == YAML_READER_ERROR)
        settings_problems_add(b->problems, make_mark(parser->mark),
                              "not readable as text (%s), expected UTF-8",
                              what);
    else if (parser->context != NULL)
        settings_problems_add(
            b->problems, make_mark(parser->problem_mark),
            "not YAML: %s (%s that begins at line %zu), expected "
            "'key: value' lines, two spaces a level",
            what, parser->context, parser->context_mark.line + 1);
    else
        settings_problems_add(b->problems, make_mark(parser->problem_mark),
                              "not YAML: %s, expected 'key: value' lines, two "
                              "spaces a level",
                              what);
    b->is_stopped = true;
}

enum status
settings_yaml_parse(struct settings_node **root, struct settings_pool *pool,
                    const char *text, size_t bytes,
                    struct settings_problems *problems, struct error *err)
{
    struct builder b = {.pool = pool, .problems = problems};
    yaml_parser_t parser;
    bool is_done = false;

    *root = NULL;
    if (!yaml_parser_initialize(&parser))
        return error_set(err, STATUS_NOMEM, "settings: no memory to parse");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    while (!is_done && !b.is_stopped && !b.is_nomem) {
        yaml_event_t e;

        if (!yaml_parser_parse(&parser, &e)) {
            stop_on_syntax(&b, &parser);
            break;
        }
        is_done = e.type == YAML_STREAM_END_EVENT;
        take_event(&b, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    if (b.is_nomem)
        return error_set(err, STATUS_NOMEM, "settings: no memory for values");
    if (!b.is_stopped)
        *root = b.root;
    return STATUS_OK;
}
