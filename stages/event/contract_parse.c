/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading contracts. A struct reader carries the first complaint, so that
 * reading goes straight on; all text is copied into one block that is as long
 * as the contract, all numbers into one array that is long enough, too.
 */
#include "stages/event/contract.h"
#include "stages/event/contract_words.h"
#include "stages/event/feature_id.h"

#include "daemon/base/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX   8
#define WIDTH_MAX   65536
#define CLASSES_MAX 65536

struct reader {
    const char *name;    /* of the whole, for messages */
    const char *subject; /* the feature or task that is being read, or "" */
    enum status st;
    struct error *err;
    char *text; /* where the next copy goes, and so on */
    double *boundary;
    const char **class_name;
};

static void
complain(struct reader *r, const char *key, const char *expected)
{
    if (r->st == STATUS_OK)
        r->st = error_set(r->err, STATUS_BADDATA,
                          "%s: feature_spec: %s%s%s: expected %s", r->name,
                          r->subject, r->subject[0] != '\0' ? ": " : "", key,
                          expected);
}

/* Copies a text; "" with a complaint where there is none. */
static const char *
copy_text(struct reader *r, const struct cJSON *value, const char *key)
{
    const char *text = json_string(value);
    char *copy = r->text;
    size_t len;

    if (text == NULL) {
        complain(r, key, "a text");
        text = "";
    }
    len = strlen(text);
    memcpy(copy, text, len + 1);
    r->text += len + 1;
    return copy;
}

/* A count of at least 1. */
static size_t
get_count(struct reader *r, const struct cJSON *o, const char *key, int64_t max)
{
    int64_t value = 0;

    if (json_integer(json_member(o, key), &value) && value >= 1 && value <= max)
        return (size_t)value;
    complain(r, key, "a whole number within its bounds");
    return 1;
}

static double
get_number(struct reader *r, const struct cJSON *value, const char *key)
{
    double number = 0;

    if (!json_number(value, &number))
        complain(r, key, "numbers");
    return number;
}

/* The place of a word in its list, which is the enum's value. */
static int
get_word(struct reader *r, const struct cJSON *o, const char *key,
         const char *const *words)
{
    int place = 0;

    if (!json_word(json_member(o, key), words, &place))
        complain(r, key, "one of the known words");
    return place;
}

static void
get_range(struct reader *r, const struct cJSON *o, struct event_feature *f)
{
    const struct cJSON *range = json_member(o, "range");

    if (range == NULL)
        return;
    if (!json_is_array(range) || json_count(range) != 2) {
        complain(r, "range", "two numbers");
        return;
    }
    f->has_range = true;
    f->range_min = get_number(r, json_first(range), "range");
    f->range_max = get_number(r, json_next(json_first(range)), "range");
}

static void
get_boundaries(struct reader *r, const struct cJSON *o, struct event_feature *f)
{
    const struct cJSON *list = json_member(o, "boundaries");

    if (list == NULL)
        return;
    f->boundaries = r->boundary;
    for (const struct cJSON *b = json_first(list); b != NULL; b = json_next(b))
        r->boundary[f->boundary_count++] = get_number(r, b, "boundaries");
    r->boundary += f->boundary_count;
    /* The contract tells the column's kind, the spec the event's. */
    if (f->kind != FEATURE_CATEGORICAL || f->boundary_count == 0)
        complain(r, "boundaries", "a categorical feature with some");
    f->kind = FEATURE_NUMBER;
}

/* Whether this program hashes as the one that wrote the contract. */
static void
check_vectors(struct reader *r, const struct cJSON *o, const char *name)
{
    const struct cJSON *list = json_member(o, "test_vectors");

    for (const struct cJSON *v = json_first(list); v != NULL;
         v = json_next(v)) {
        const char *value = json_string(json_member(v, "value"));
        int64_t id = 0;

        if (value == NULL || strlen(value) > FEATURE_ID_BYTES_MAX ||
            !json_integer(json_member(v, "id"), &id) ||
            (uint64_t)id != feature_id(name, value, strlen(value)))
            complain(r, "test_vectors", "the ids that this program computes");
    }
}

static void
get_separator(struct reader *r, const struct cJSON *o, struct event_feature *f)
{
    const struct cJSON *value = json_member(o, "separator");
    const char *text = json_string(value);

    if (value == NULL)
        return;
    if (text == NULL || strlen(text) != 1)
        complain(r, "separator", "one character");
    else
        f->separator = text[0];
}

static void
get_feature(struct reader *r, const struct cJSON *o, struct event_feature *f)
{
    r->subject = "";
    f->name = copy_text(r, json_member(o, "name"), "features: name");
    r->subject = f->name;
    if (f->name[0] == '\0' || strlen(f->name) > EVENT_NAME_MAX) {
        complain(r, "name", "1 to 63 bytes");
        return;
    }
    f->kind = (enum feature_kind)get_word(r, o, "kind", contract_kinds);
    f->path = copy_text(r, json_member(o, "path"), "path");
    if (f->kind == FEATURE_VECTOR)
        f->width = get_count(r, o, "width", WIDTH_MAX);
    if (f->kind == FEATURE_BAG) {
        f->ids_max = get_count(r, o, "ids_max", UINT32_MAX);
        get_separator(r, o, f);
    }
    get_range(r, o, f);
    f->has_log = json_member(o, "log") != NULL;
    get_boundaries(r, o, f);
    check_vectors(r, o, f->name);
}

static void
get_task(struct reader *r, const struct cJSON *o, struct event_task *t)
{
    const struct cJSON *path = json_member(o, "path");
    const struct cJSON *names = json_member(o, "class_names");
    const struct cJSON *threshold = json_member(o, "threshold");

    r->subject = "";
    t->name = copy_text(r, json_member(o, "name"), "tasks: name");
    r->subject = t->name;
    t->kind = (enum task_kind)get_word(r, o, "kind", contract_tasks);
    t->path = path != NULL ? copy_text(r, path, "path") : NULL;
    t->classes =
        t->kind == TASK_CLASS ? get_count(r, o, "classes", CLASSES_MAX) : 1;
    if (threshold != NULL) {
        t->has_threshold = true;
        t->threshold = get_number(r, threshold, "threshold");
    }
    if (names == NULL)
        return;
    if (json_count(names) != t->classes) {
        complain(r, "class_names", "one name a class");
        return;
    }
    t->class_names = r->class_name;
    for (const struct cJSON *n = json_first(names); n != NULL; n = json_next(n))
        *r->class_name++ = copy_text(r, n, "class_names");
}

static void
check_rule(struct reader *r, const struct cJSON *root)
{
    const char *schema = json_string(json_member(root, "schema"));
    const char *hash = json_string(json_find(root, "id.hash"));
    int64_t mask = 0;

    if (schema == NULL || strcmp(schema, CONTRACT_SCHEMA) != 0)
        complain(r, "schema", CONTRACT_SCHEMA);
    if (hash == NULL || strcmp(hash, CONTRACT_HASH) != 0)
        complain(r, "id: hash", CONTRACT_HASH);
    if (!json_integer(json_find(root, "id.mask"), &mask) ||
        (uint64_t)mask != FEATURE_ID_MASK)
        complain(r, "id: mask", "53 bits");
}

/* The members of a list within its bounds, counting one of their lists, too. */
static size_t
count_list(struct reader *r, const struct cJSON *root, const char *key,
           size_t max, const char *inner, size_t *inner_count)
{
    const struct cJSON *list = json_member(root, key);

    if (!json_is_array(list) || json_count(list) > max) {
        complain(r, key, "a list within its bounds");
        return 0;
    }
    for (const struct cJSON *c = json_first(list); c != NULL; c = json_next(c))
        *inner_count += json_count(json_member(c, inner));
    return json_count(list);
}

static void
get_contract(struct reader *r, const struct cJSON *root,
             struct contract_owned *c)
{
    for (const struct cJSON *f = json_first(json_member(root, "features"));
         f != NULL; f = json_next(f))
        get_feature(r, f, &c->features[c->spec.feature_count++]);
    for (const struct cJSON *t = json_first(json_member(root, "tasks"));
         t != NULL; t = json_next(t))
        get_task(r, t, &c->tasks[c->spec.task_count++]);
    c->spec.features = c->features;
    c->spec.tasks = c->tasks;
}

enum status
contract_parse(struct contract_owned *out, const char *text, size_t len,
               const char *name, struct error *err)
{
    static const struct json_limits limits = {.bytes_max = CONTRACT_BYTES_MAX,
                                              .depth_max = DEPTH_MAX};
    struct reader r = {
        .name = name, .subject = "", .st = STATUS_OK, .err = err};
    struct contract_owned c = {0};
    struct cJSON *root = NULL;
    size_t boundaries = 0;
    size_t names = 0;
    struct error why;

    assert(out != NULL && text != NULL && name != NULL && err != NULL);
    *out = c;
    if (json_parse(&root, text, len, &limits, NULL, &why) != STATUS_OK)
        return error_set(
            err, why.status == STATUS_NOMEM ? STATUS_NOMEM : STATUS_BADDATA,
            "%s: feature_spec: %.800s", name, why.text);
    check_rule(&r, root);
    c.features = calloc(count_list(&r, root, "features", CONTRACT_FEATURES_MAX,
                                   "boundaries", &boundaries) +
                            1,
                        sizeof(*c.features));
    c.tasks = calloc(count_list(&r, root, "tasks", CONTRACT_TASKS_MAX,
                                "class_names", &names) +
                         1,
                     sizeof(*c.tasks));
    c.text = malloc(len + 1);
    c.boundaries = calloc(boundaries + 1, sizeof(*c.boundaries));
    c.class_names = calloc(names + 1, sizeof(*c.class_names));
    r.text = c.text;
    r.boundary = c.boundaries;
    r.class_name = c.class_names;
    if (c.features == NULL || c.tasks == NULL || c.text == NULL ||
        c.boundaries == NULL || c.class_names == NULL)
        r.st = error_set(err, STATUS_NOMEM, "%s: no memory to read it", name);
    if (r.st == STATUS_OK)
        get_contract(&r, root, &c);
    json_free(&root);
    if (r.st != STATUS_OK)
        contract_fini(&c);
    *out = c;
    return r.st;
}

void
contract_fini(struct contract_owned *c)
{
    free(c->features);
    free(c->tasks);
    free(c->text);
    free(c->boundaries);
    free(c->class_names);
    *c = (struct contract_owned){0};
}
