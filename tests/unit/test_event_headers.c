/* SPDX-License-Identifier: Apache-2.0 */
/* Headers come out of a run of bytes as they went in. */
#include "stages/event/headers.h"

#include "tests/support/check.h"

#include <string.h>

static struct bytes packed;

static void
test_headers_come_back_as_they_were(void)
{
    static const struct record_header in[] = {
        {"traceparent", "00-ab", 5},
        {"", "", 0},
        {"null", NULL, RECORD_HEADER_NULL},
        {"twice", "a\0b", 3},
        {"twice", "c", 1},
    };
    struct record_header out[RECORD_HEADERS_MAX];
    struct error err;

    bytes_clear(&packed);
    CHECK_INT(headers_pack(&packed, in, 5, &err), STATUS_OK);
    CHECK_INT(headers_unpack(packed.data, packed.used, out), 5);
    for (size_t i = 0; i < 5; i++) {
        CHECK_STR(out[i].name, in[i].name);
        CHECK_INT(out[i].value_bytes, in[i].value_bytes);
        CHECK((out[i].value == NULL) == (in[i].value == NULL));
        if (in[i].value != NULL)
            CHECK(memcmp(out[i].value, in[i].value, in[i].value_bytes) == 0);
    }
}

static void
test_no_headers_are_no_bytes(void)
{
    struct record_header out[RECORD_HEADERS_MAX];
    struct error err;

    bytes_clear(&packed);
    CHECK_INT(headers_pack(&packed, NULL, 0, &err), STATUS_OK);
    CHECK_INT(packed.used, 0);
    CHECK_INT(headers_unpack(packed.data, 0, out), 0);
}

static void
test_name_that_is_too_long_is_refused(void)
{
    static char name[70000];
    const struct record_header in = {name, "", 0};
    struct error err;

    memset(name, 'n', sizeof(name) - 1);
    bytes_clear(&packed);
    CHECK_INT(headers_pack(&packed, &in, 1, &err), STATUS_TOOBIG);
}

static int64_t
read_time(const char *text)
{
    const struct record_header in[] = {
        {"other", "1", 1},
        {HEADER_EVENT_TIME, text,
         text != NULL ? strlen(text) : RECORD_HEADER_NULL},
    };

    return headers_event_time(in, 2);
}

static void
test_event_time_is_read_or_unknown(void)
{
    CHECK_INT(read_time("1700000000123"), 1700000000123);
    CHECK_INT(read_time("0"), 0);
    CHECK_INT(read_time(""), 0);
    CHECK_INT(read_time(NULL), 0);
    CHECK_INT(read_time("-5"), 0);
    CHECK_INT(read_time("12x"), 0);
    CHECK_INT(read_time("9999999999999999"), 0);
    CHECK_INT(headers_event_time(NULL, 0), 0);
}

int
main(void)
{
    bytes_init(&packed, (size_t)1 << 20);
    RUN(test_headers_come_back_as_they_were);
    RUN(test_no_headers_are_no_bytes);
    RUN(test_name_that_is_too_long_is_refused);
    RUN(test_event_time_is_read_or_unknown);
    bytes_fini(&packed);
    return check_report();
}
