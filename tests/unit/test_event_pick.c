/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of an event at any paths.
 */
#include "stages/event/pick.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

/* What was found, as "path=text " in order. */
struct found {
    char text[512];
};

static void
on_found(void *ctx, size_t i, const struct value *v)
{
    static const char *const words[] = {
        [VALUE_NULL] = "null", [VALUE_FALSE] = "false", [VALUE_TRUE] = "true"};
    struct found *f = ctx;
    size_t at = strlen(f->text);
    bool is_word = v->kind <= VALUE_TRUE;

    (void)snprintf(f->text + at, sizeof(f->text) - at, "%zu=%.*s ", i,
                   is_word ? (int)strlen(words[v->kind]) : (int)v->len,
                   is_word ? words[v->kind] : v->text);
}

static enum status
pick(const char *event, const char *const *paths, size_t count,
     struct found *found)
{
    struct pick *p = NULL;
    struct error err;
    size_t len = strlen(event);
    char *copy = malloc(len);
    enum status st = pick_new(&p, paths, count, 4096, &err);

    memset(found, 0, sizeof(*found));
    memcpy(copy, event, len);
    if (st == STATUS_OK)
        st = pick_read(p, copy, len, on_found, found, &err);
    free(copy);
    pick_free(&p);
    return st;
}

static void
test_paths(void)
{
    static const char event[] =
        "{\"user\":{\"id\":\"u-7\",\"x\":{\"deep\":[1,{\"k\":2}]}},"
        "\"items\":[{\"id\":\"a\",\"p\":1.5},{\"p\":2},{\"id\":\"c\"}],"
        "\"v\":[1,null,[true,[\"\\u00e9\"]],{\"z\":1}],"
        "\"odd key\":-3e2,\"user2\":5}";
    static const char *const paths[] = {
        "user.id",     "items[].id",       "items[1].p", "v",
        "\"odd key\"", "missing",          "user",       "user.id",
        "v[0]",        "user.x.deep[1].k", "items[]",    "v[]",
    };
    struct found found;

    CHECK_INT(pick(event, paths, COUNT(paths), &found), STATUS_OK);
    CHECK_STR(found.text,
              "0=u-7 7=u-7 9=2 1=a 2=2 1=c 3=1 3=null 3=true 3=\xc3\xa9 8=1 "
              "11=1 11=null 11=true 11=\xc3\xa9 4=-3e2 ");
}

static void
test_what_cannot_be(void)
{
    static const char *const bad[] = {"a..b"};
    static const char *const good[] = {"a"};
    struct found found;

    CHECK_INT(pick("{}", bad, 1, &found), STATUS_CONFIG);
    CHECK_INT(pick("{\"a\":1", good, 1, &found), STATUS_MALFORMED);
    CHECK_INT(pick("{\"a\":[1,}", good, 1, &found), STATUS_MALFORMED);
    CHECK_INT(pick("{}", good, 1, &found), STATUS_OK);
    CHECK_STR(found.text, "");
}

/* The scanner remembers keys from one event to the next. */
static void
test_events_one_after_the_other(void)
{
    static const char *const paths[] = {"b.c", "a"};
    static const char *const events[] = {
        "{\"a\":1,\"b\":{\"c\":2}}", "{\"a\":3,\"b\":{\"c\":4}}",
        "{\"b\":{\"c\":5},\"a\":6}", "{\"b\":{\"a\":7},\"a\":8}"};
    struct pick *p = NULL;
    struct found found;
    struct error err;

    memset(&found, 0, sizeof(found));
    CHECK_INT(pick_new(&p, paths, 2, 4096, &err), STATUS_OK);
    for (size_t i = 0; i < COUNT(events); i++)
        CHECK_INT(
            pick_read(p, events[i], strlen(events[i]), on_found, &found, &err),
            STATUS_OK);
    CHECK_STR(found.text, "1=1 0=2 1=3 0=4 0=5 1=6 1=8 ");
    pick_free(&p);
}

int
main(void)
{
    RUN(test_paths);
    RUN(test_what_cannot_be);
    RUN(test_events_one_after_the_other);
    return check_report();
}
