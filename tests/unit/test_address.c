/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/base/macros.h"
#include "daemon/io/address.h"

#include "tests/support/check.h"

#include <unistd.h>

static void
test_what_is_read_is_written_the_same(void)
{
    static const char *const texts[] = {
        "127.0.0.1:8642", "0.0.0.0:0", "255.255.255.255:65535",
        "[::1]:8642",     "[::]:1",    "[2001:db8::7]:443"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct address a;
        struct error err;
        char text[ADDRESS_TEXT_MAX];

        CHECK_INT(address_parse(&a, texts[i], &err), STATUS_OK);
        address_format(&a, text);
        CHECK_STR(text, texts[i]);
    }
}

static void
test_what_is_no_address(void)
{
    static const char *const texts[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        ":80",
        "localhost:1",
        "127.0.0.1:65536",
        "127.0.0.1:+1",
        "1.2.3:4",
        "127.0.0.1:1 ",
        " 127.0.0.1:1",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[]:1",
        "[127.0.0.1]:1",
        "[::1]x:1",
        "127.0.0.1:000080",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct address a;
        struct error err;

        CHECK_INT(address_parse(&a, texts[i], &err), STATUS_CONFIG);
        CHECK_HAS(err.text, "expected a numeric address and a port");
    }
}

static void
test_loopback(void)
{
    static const struct {
        const char *text;
        int is_loopback;
    } cases[] = {{"127.0.0.1:1", 1}, {"127.9.9.9:1", 1}, {"[::1]:1", 1},
                 {"0.0.0.0:1", 0},   {"10.0.0.1:1", 0},  {"[::]:1", 0},
                 {"[::2]:1", 0},     {"128.0.0.1:1", 0}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct address a;
        struct error err;

        CHECK_INT(address_parse(&a, cases[i].text, &err), STATUS_OK);
        CHECK_INT(address_is_loopback(&a), cases[i].is_loopback);
    }
}

static void
test_listening(void)
{
    struct address a;
    struct address again;
    struct error err;
    int fd = -1;
    int second = -1;

    CHECK_INT(address_parse(&a, "127.0.0.1:0", &err), STATUS_OK);
    CHECK_INT(address_listen(&a, &fd, &err), STATUS_OK);
    CHECK(fd >= 0);
    CHECK(a.port != 0);
    again = a;
    CHECK_INT(address_listen(&again, &second, &err), STATUS_REFUSED);
    CHECK_HAS(err.text, "something else listens there");
    (void)close(fd);
    /* An address for documentation: nobody has it. */
    CHECK_INT(address_parse(&a, "192.0.2.1:0", &err), STATUS_OK);
    CHECK_INT(address_listen(&a, &fd, &err), STATUS_NOTFOUND);
    CHECK_HAS(err.text, "192.0.2.1:0");
}

int
main(void)
{
    RUN(test_what_is_read_is_written_the_same);
    RUN(test_what_is_no_address);
    RUN(test_loopback);
    RUN(test_listening);
    return check_report();
}
