/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sightings are never counted too low, and hardly too high.
 */
#include "stages/annotate/draw.h"
#include "stages/annotate/sightings.h"

#include "tests/support/check.h"

static struct error err;

static void
test_a_count_is_exact_while_there_are_few(void)
{
    struct sightings *s = NULL;

    CHECK_INT(sightings_new(&s, &err), STATUS_OK);
    for (uint32_t turn = 0; turn < 5; turn++) {
        for (uint64_t id = 1; id <= 1000; id++)
            CHECK_INT(sightings_add(s, id * 7919), turn);
    }
    sightings_free(&s);
    CHECK(s == NULL);
}

static void
test_a_count_is_never_too_low_and_seldom_much_too_high(void)
{
    enum { IDS = 400000, TURNS = 2 };
    struct sightings *s = NULL;
    size_t high = 0;

    CHECK_INT(sightings_new(&s, &err), STATUS_OK);
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        for (uint64_t id = 1; id <= IDS; id++) {
            uint32_t before = sightings_add(s, draw_mix(id));

            CHECK(before >= turn);
            high += before > turn + (uint32_t)(IDS * TURNS / 190000);
        }
    }
    CHECK(high < IDS * TURNS / 50);
    sightings_free(&s);
}

static void
test_draws_are_even_and_apart(void)
{
    enum { N = 100000 };
    struct row_source source = {.partition = 3};
    size_t below = 0;
    size_t both = 0;

    for (int64_t i = 0; i < N; i++) {
        bool is_low;

        source.offset = i * 100;
        is_low = draw_unit(1, &source, 0) < 0.25;
        below += is_low;
        both += is_low && draw_unit(1, &source, 1) < 0.25;
        CHECK(draw_bits(1, &source, 0) != draw_bits(2, &source, 0));
    }
    CHECK_NEAR((double)below / N, 0.25, 0.006);
    CHECK_NEAR((double)both / N, 0.0625, 0.004);
}

int
main(void)
{
    RUN(test_a_count_is_exact_while_there_are_few);
    RUN(test_a_count_is_never_too_low_and_seldom_much_too_high);
    RUN(test_draws_are_even_and_apart);
    return check_report();
}
