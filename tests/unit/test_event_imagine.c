/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imagined events have the values of two events at their paths, byte by byte.
 */
#include "stages/event/imagine.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define SPANS_MAX 8

static struct error err;

static struct event_feature
feature(const char *name, const char *path, enum event_side side)
{
    return (struct event_feature){
        .name = name, .kind = FEATURE_CATEGORICAL, .path = path, .side = side};
}

static struct imagine *
make(const struct event_feature *features, size_t count)
{
    struct event_spec spec = {.features = features, .feature_count = count};
    struct imagine *m = NULL;

    CHECK_INT(imagine_new(&m, &spec, 4096, &err), STATUS_OK);
    CHECK(imagine_span_count(m) <= SPANS_MAX);
    return m;
}

/* What user and item become, in a buffer of exactly the promised size. */
static void
check_mix(struct imagine *m, const char *user, const char *item,
          const char *want)
{
    struct imagine_span spans[2][SPANS_MAX];
    struct imagine_part parts[2] = {{user, spans[0]}, {item, spans[1]}};
    size_t max = imagine_bytes_max(m, strlen(user), strlen(item));
    char *out = malloc(max + 1);
    size_t len;

    CHECK(imagine_find(m, user, strlen(user), spans[0]));
    CHECK(imagine_find(m, item, strlen(item), spans[1]));
    len = imagine_write(m, &parts[0], &parts[1], out);
    CHECK(len <= max);
    out[len] = '\0';
    CHECK_STR(out, want);
    free(out);
}

static void
test_values_stay_at_their_paths(void)
{
    const struct event_feature features[] = {
        feature("user", "user", EVENT_SIDE_USER),
        feature("mean", "past.user.mean", EVENT_SIDE_USER),
        feature("n", "past.n", EVENT_SIDE_ITEM),
        feature("movie", "\"the movie\"", EVENT_SIDE_ITEM),
        feature("tags", "tags[]", EVENT_SIDE_ITEM),
        feature("match", "match", EVENT_SIDE_NONE),
    };
    struct imagine *m = make(features, COUNT(features));

    check_mix(m,
              " {\"user\" : \"\\u0041 1\", \"the movie\": 1, \"match\": 7,"
              "\"past\":{\"n\":1,\"user\":{\"mean\": 1.50e0,\"x\":2}}}",
              "{\"tags\":[\"a\" ,\n\"b]\"],\"the movie\":{\"id\":[1]},"
              "\"past\":{\"n\":9,\"user\":{\"mean\":3}},\"user\":2}",
              "{\"user\":\"\\u0041 1\",\"past\":{\"user\":{\"mean\":1.50e0},"
              "\"n\":9},\"the movie\":{\"id\":[1]},\"tags\":[\"a\" , \"b]\"]}");
    imagine_free(&m);
}

static void
test_what_is_not_there_is_left_out(void)
{
    const struct event_feature features[] = {
        feature("a", "x.y.a", EVENT_SIDE_USER),
        feature("b", "b", EVENT_SIDE_ITEM),
    };
    struct imagine *m = make(features, COUNT(features));

    check_mix(m, "{}", "{}", "{}");
    check_mix(m, "{\"x\":{\"y\":7}}", "{\"b\":null}", "{\"b\":null}");
    check_mix(m, "{\"x\":{\"y\":{\"a\":[]}}}", "{}",
              "{\"x\":{\"y\":{\"a\":[]}}}");
    check_mix(m, "{\"x\":[{\"y\":1}]}", "{\"x\":{\"y\":{\"a\":2}}}", "{}");
    imagine_free(&m);
}

static void
check_refused(const struct event_feature *features, size_t count,
              const char *why)
{
    struct event_spec spec = {.features = features, .feature_count = count};
    struct imagine *m = NULL;

    CHECK_INT(imagine_new(&m, &spec, 4096, &err), STATUS_CONFIG);
    CHECK_HAS(err.text, why);
    CHECK(m == NULL);
}

static void
test_sides_that_cannot_be_taken_apart_are_refused(void)
{
    const struct event_feature user = feature("u", "u", EVENT_SIDE_USER);
    const struct event_feature under[] = {
        user, feature("all", "ctx.items[].id", EVENT_SIDE_ITEM),
        feature("one", "ctx.items[0].price", EVENT_SIDE_NONE)};
    const struct event_feature over[] = {
        user, feature("deep", "ctx.a.b", EVENT_SIDE_ITEM),
        feature("wide", "ctx", EVENT_SIDE_USER)};
    const struct event_feature same[] = {user,
                                         feature("i", "i", EVENT_SIDE_ITEM),
                                         feature("j", "i", EVENT_SIDE_USER)};
    const struct event_feature one_side[] = {
        user, feature("i", "i", EVENT_SIDE_NONE)};

    check_refused(under, COUNT(under), "features.one");
    check_refused(over, COUNT(over), "features.wide");
    check_refused(same, COUNT(same), "features.j");
    check_refused(one_side, COUNT(one_side), "none has side: item");
}

static void
test_one_side_may_read_a_value_twice(void)
{
    const struct event_feature features[] = {
        feature("u", "u", EVENT_SIDE_USER),
        feature("first", "items[0].id", EVENT_SIDE_ITEM),
        feature("all", "items[].id", EVENT_SIDE_ITEM),
        feature("outer", "items", EVENT_SIDE_ITEM),
    };
    struct imagine *m = make(features, COUNT(features));

    CHECK_INT(imagine_span_count(m), 2);
    check_mix(m, "{\"u\":1}", "{\"items\":[{\"id\":2}]}",
              "{\"u\":1,\"items\":[{\"id\":2}]}");
    imagine_free(&m);
}

static void
test_too_deep_events_are_not_imagined(void)
{
    const struct event_feature features[] = {
        feature("u", "u", EVENT_SIDE_USER), feature("i", "i", EVENT_SIDE_ITEM)};
    struct imagine *m = make(features, COUNT(features));
    struct imagine_span spans[SPANS_MAX];
    char text[256];

    for (size_t depth = 28; depth <= 31; depth++) {
        size_t n = 0;

        n += (size_t)snprintf(text, sizeof(text), "{\"u\":");
        for (size_t i = 0; i < depth; i++)
            text[n++] = '[';
        for (size_t i = 0; i < depth; i++)
            text[n++] = ']';
        text[n++] = '}';
        CHECK_INT(imagine_find(m, text, n, spans), depth + 1 <= 30);
    }
    imagine_free(&m);
}

int
main(void)
{
    RUN(test_values_stay_at_their_paths);
    RUN(test_what_is_not_there_is_left_out);
    RUN(test_sides_that_cannot_be_taken_apart_are_refused);
    RUN(test_one_side_may_read_a_value_twice);
    RUN(test_too_deep_events_are_not_imagined);
    return check_report();
}
