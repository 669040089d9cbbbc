/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an event of a replay is due, what its key is, and where it goes.
 */
#include "stages/replay/pace.h"
#include "stages/replay/route.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define SECOND UINT64_C(1000000000)

static int32_t
partition_of(const char *key, int32_t count)
{
    return route_partition(key, strlen(key), count);
}

/* The hashes that Apache Kafka's own tests expect of Utils.murmur2, with the
 * sign bit off as its partitioner does. */
static void
test_keys_go_where_java_clients_send_them(void)
{
    const struct {
        const char *key;
        int32_t hash;
    } known[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };

    for (size_t i = 0; i < COUNT(known); i++) {
        int32_t positive = known[i].hash & 0x7fffffff;

        CHECK_INT(partition_of(known[i].key, 0x7fffffff),
                  positive % 0x7fffffff);
        CHECK_INT(partition_of(known[i].key, 7), positive % 7);
        CHECK_INT(partition_of(known[i].key, 1), 0);
    }
}

static void
check_key(const char *event, const char *path, const char *want)
{
    const struct route route = {.key_path = path};
    struct routed got;

    route_read(&route, event, strlen(event), &got);
    CHECK_INT(got.has_key, want != NULL);
    CHECK_INT(got.has_time, false);
    if (!got.has_key || want == NULL)
        return;
    CHECK_INT(got.key_bytes, strlen(want));
    CHECK(memcmp(got.key, want, got.key_bytes) == 0);
}

static void
test_a_key_is_the_text_of_a_value(void)
{
    char long_key[300];
    char want[300];

    check_key("{\"user\":\"12439\"}", "user", "12439");
    check_key("{\"user\":12439}", "user", "12439");
    check_key("{\"user\":true}", "user", "true");
    check_key("{\"a\":[{\"b\":\"x\"}]}", "a[0].b", "x");
    check_key("{\"user\":\"\"}", "user", "");
    check_key("{\"user\":1.5}", "user", NULL);
    check_key("{\"user\":null}", "user", NULL);
    check_key("{\"user\":{}}", "user", NULL);
    check_key("{\"other\":1}", "user", NULL);
    check_key("{\"user\":", "user", NULL);
    check_key("", "user", NULL);
    check_key("{\"user\":1}", NULL, NULL);
    (void)snprintf(long_key, sizeof(long_key), "{\"user\":\"%0256d\"}", 7);
    (void)snprintf(want, sizeof(want), "%0256d", 7);
    check_key(long_key, "user", want);
    (void)snprintf(long_key, sizeof(long_key), "{\"user\":\"%0257d\"}", 7);
    check_key(long_key, "user", NULL);
}

static void
test_a_time_is_read_in_its_unit(void)
{
    const struct route route = {.time_path = "at", .time_unit = TIME_AUTO};
    const char *seconds = "{\"at\":1362062307}";
    const char *text = "{\"at\":\"2013-02-28T14:38:27Z\"}";
    const char *none = "{\"at\":\"soon\"}";
    struct routed got;

    route_read(&route, seconds, strlen(seconds), &got);
    CHECK(got.has_time && !got.has_key);
    CHECK_INT(got.time_ms, 1362062307000);
    route_read(&route, text, strlen(text), &got);
    CHECK(got.has_time);
    CHECK_INT(got.time_ms, 1362062307000);
    route_read(&route, none, strlen(none), &got);
    CHECK(!got.has_time);
}

static void
test_a_rate_spreads_events_evenly(void)
{
    struct pace p = {.rate = 4};

    pace_start(&p, 100 * SECOND);
    CHECK_INT(pace_due(&p, true, 99), 100 * SECOND);
    CHECK_INT(pace_due(&p, false, 0), 100 * SECOND + SECOND / 4);
    pace_again(&p);
    CHECK_INT(pace_due(&p, true, 5), 100 * SECOND + SECOND / 2);
    for (int i = 3; i < 4000; i++)
        (void)pace_due(&p, false, 0);
    CHECK_INT(pace_due(&p, false, 0), 1100 * SECOND);
}

static void
test_without_a_pace_everything_is_due(void)
{
    struct pace p = {0};

    pace_start(&p, SECOND);
    for (int i = 0; i < 3; i++)
        CHECK_INT(pace_due(&p, true, 1000 * i), SECOND);
}

static void
test_speed_follows_the_time_of_events(void)
{
    struct pace p = {.speed = 10};

    pace_start(&p, 50 * SECOND);
    CHECK_INT(pace_due(&p, false, 0), 50 * SECOND);
    CHECK_INT(pace_due(&p, true, 7000), 50 * SECOND);
    CHECK_INT(pace_due(&p, true, 17000), 51 * SECOND);
    CHECK_INT(pace_due(&p, false, 0), 51 * SECOND);
    CHECK_INT(pace_due(&p, true, 9000), 51 * SECOND); /* late is not early */
    CHECK_INT(pace_due(&p, true, 27000), 52 * SECOND);
    pace_again(&p); /* the second pass begins where the first has ended */
    CHECK_INT(pace_due(&p, true, 7000), 52 * SECOND);
    CHECK_INT(pace_due(&p, true, 17000), 53 * SECOND);
}

int
main(void)
{
    RUN(test_keys_go_where_java_clients_send_them);
    RUN(test_a_key_is_the_text_of_a_value);
    RUN(test_a_time_is_read_in_its_unit);
    RUN(test_a_rate_spreads_events_evenly);
    RUN(test_without_a_pace_everything_is_due);
    RUN(test_speed_follows_the_time_of_events);
    return check_report();
}
