/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 against the vectors of FIPS 180-2.
 */
#include "daemon/base/digest.h"

#include "tests/support/check.h"

#include <stdlib.h>

static void
test_once_gives_the_published_digests(void)
{
    char hex[DIGEST_HEX_SIZE];

    digest_once("", 0, hex);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb924"
                   "27ae41e4649b934ca495991b7852b855");
    digest_once(NULL, 0, hex);
    CHECK_HAS(hex, "e3b0c44298fc1c14");
    digest_once("abc", 3, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223"
                   "b00361a396177a9cb410ff61f20015ad");
}

static void
test_pieces_give_the_digest_of_the_whole(void)
{
    struct digest *d = NULL;
    struct error err;
    char hex[DIGEST_HEX_SIZE];
    char as[1000];

    memset(as, 'a', sizeof(as));
    CHECK_INT(digest_new(&d, &err), STATUS_OK);
    for (size_t i = 0; i < 1000; i++)
        digest_add(d, as, sizeof(as));
    digest_finish(d, hex);
    CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
                   "f1809a48a497200e046d39ccc7112cd0");
    digest_add(d, "ab", 2);
    digest_add(d, "", 0);
    digest_add(d, "c", 1);
    digest_finish(d, hex);
    CHECK_HAS(hex, "ba7816bf8f01cfea");
    digest_free(&d);
    CHECK(d == NULL);
    digest_free(&d);
}

int
main(void)
{
    RUN(test_once_gives_the_published_digests);
    RUN(test_pieces_give_the_digest_of_the_whole);
    return check_report();
}
