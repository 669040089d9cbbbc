/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/annotate/reject_share.h"
#include "stages/annotate/verdict.h"

#include "daemon/base/macros.h"

#include "tests/support/check.h"

static void
test_codes(void)
{
    static const struct {
        unsigned code;
        enum verdict verdict;
    } table[] = {
        {200, VERDICT_ANSWER}, {204, VERDICT_ANSWER},  {302, VERDICT_FATAL},
        {307, VERDICT_FATAL},  {400, VERDICT_REJECT},  {401, VERDICT_FATAL},
        {403, VERDICT_FATAL},  {404, VERDICT_UNREADY}, {405, VERDICT_FATAL},
        {408, VERDICT_RETRY},  {409, VERDICT_RETRY},   {413, VERDICT_REJECT},
        {415, VERDICT_FATAL},  {422, VERDICT_REJECT},  {425, VERDICT_RETRY},
        {429, VERDICT_BUSY},   {499, VERDICT_RETRY},   {500, VERDICT_BROKEN},
        {501, VERDICT_FATAL},  {502, VERDICT_RETRY},   {503, VERDICT_BUSY},
        {504, VERDICT_RETRY},  {599, VERDICT_RETRY},   {999, VERDICT_RETRY},
    };

    for (size_t i = 0; i < COUNT(table); i++)
        CHECK_STR(verdict_name(verdict_of(STATUS_OK, table[i].code)),
                  verdict_name(table[i].verdict));
}

static void
test_calls_without_a_code(void)
{
    CHECK_INT(verdict_of(STATUS_REFUSED, 0), VERDICT_RETRY);
    CHECK_INT(verdict_of(STATUS_TIMEOUT, 0), VERDICT_RETRY);
    CHECK_INT(verdict_of(STATUS_NOMEM, 0), VERDICT_RETRY);
    CHECK_INT(verdict_of(STATUS_TOOBIG, 0), VERDICT_REJECT);
    CHECK_INT(verdict_of(STATUS_MALFORMED, 0), VERDICT_BROKEN);
    CHECK_INT(verdict_of(STATUS_CONFIG, 0), VERDICT_FATAL);
    CHECK_INT(verdict_of(STATUS_DENIED, 0), VERDICT_FATAL);
}

static void
test_a_broken_reply_is_a_rows_fault_only_among_answers(void)
{
    struct verdict_past past = {.rows = 1,
                                .failures = VERDICT_BROKEN_MAX - 1,
                                .others_answered = true,
                                .is_proven = true};

    CHECK_INT(verdict_settle(VERDICT_BROKEN, &past), VERDICT_RETRY);
    past.failures++;
    CHECK_INT(verdict_settle(VERDICT_BROKEN, &past), VERDICT_REJECT);
    past.others_answered = false;
    CHECK_INT(verdict_settle(VERDICT_BROKEN, &past), VERDICT_RETRY);
    past.failures = 1000000;
    CHECK_INT(verdict_settle(VERDICT_BROKEN, &past), VERDICT_RETRY);
    past.rows = 2; /* to be split, which rejects nothing yet */
    CHECK_INT(verdict_settle(VERDICT_BROKEN, &past), VERDICT_REJECT);
    CHECK_INT(verdict_settle(VERDICT_RETRY, &past), VERDICT_RETRY);
    CHECK_INT(verdict_settle(VERDICT_BUSY, &past), VERDICT_BUSY);
    CHECK_INT(verdict_settle(VERDICT_REJECT, &past), VERDICT_REJECT);
    CHECK_INT(verdict_settle(VERDICT_ANSWER, &past), VERDICT_ANSWER);
}

static void
test_a_proven_server_ends_nothing(void)
{
    struct verdict_past past = {.failures = 1};

    CHECK_INT(verdict_settle(VERDICT_FATAL, &past), VERDICT_FATAL);
    CHECK_INT(verdict_settle(VERDICT_UNREADY, &past), VERDICT_RETRY);
    past.is_proven = true;
    CHECK_INT(verdict_settle(VERDICT_FATAL, &past), VERDICT_RETRY);
    CHECK_INT(verdict_settle(VERDICT_UNREADY, &past), VERDICT_RETRY);
}

static void
test_poison_rows(void)
{
    struct reject_share r;

    reject_share_init(&r, 0.1);
    CHECK(reject_share_add(&r, 1, 1)); /* the first row of all */
    for (unsigned i = 0; i < 1000; i++)
        CHECK(reject_share_add(&r, 256, 20));
    CHECK(!r.is_outage);
}

static void
test_all_rejected_is_an_outage(void)
{
    struct reject_share r;

    reject_share_init(&r, 0.1);
    CHECK(!reject_share_add(&r, 256, 256));
    CHECK(r.is_outage);
    for (unsigned i = 0; i < 1000; i++)
        CHECK(!reject_share_add(&r, 256, 256)); /* tried again, all in vain */
    CHECK(!reject_share_add(&r, 1, 1));
    CHECK(reject_share_add(&r, 256, 1)); /* over at once */
    CHECK(!r.is_outage);
    CHECK(reject_share_add(&r, 1, 1));

    reject_share_init(&r, 0.1);
    for (unsigned i = 0; i < 10; i++) /* row by row: ten are believed */
        CHECK(reject_share_add(&r, 1, 1));
    CHECK(!reject_share_add(&r, 1, 1));
}

static void
test_an_outage_after_good_days(void)
{
    struct reject_share r;
    unsigned dead = 0;

    reject_share_init(&r, 0.1);
    for (unsigned i = 0; i < 10000; i++)
        CHECK(reject_share_add(&r, 256, 0));
    while (reject_share_add(&r, 256, 256) && dead < 1000000)
        dead += 256;
    CHECK(dead <= 0.12 * REJECT_SHARE_ROWS);
    CHECK(r.is_outage);

    reject_share_init(&r, 1);
    CHECK(reject_share_add(&r, 256, 256));
}

int
main(void)
{
    RUN(test_codes);
    RUN(test_calls_without_a_code);
    RUN(test_a_broken_reply_is_a_rows_fault_only_among_answers);
    RUN(test_a_proven_server_ends_nothing);
    RUN(test_poison_rows);
    RUN(test_all_rejected_is_an_outage);
    RUN(test_an_outage_after_good_days);
    return check_report();
}
