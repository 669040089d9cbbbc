/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock is a number here; peers are formulas.
 */
#include "stages/annotate/pacer.h"

#include "tests/support/check.h"

#define CALLS_MAX 16

static const struct pacer_spec a_spec = {
    .calls_max = CALLS_MAX,
    .retry_min_ms = 100,
    .retry_max_ms = 10000,
    .retry_after_max_ms = 60000,
    .breaker_failures = 3,
    .seed = 1,
};

static void
end(struct pacer *p, struct paced_call call, enum pacer_end how, uint64_t now)
{
    pacer_end(p, &call, &(struct paced_end){.end = how}, now);
}

static void
call_once(struct pacer *p, enum pacer_end how, uint64_t now)
{
    CHECK_INT(pacer_wait_ms(p, now), 0);
    end(p, pacer_begin(p, now), how, now);
}

static void
test_breaker_opens_probes_and_closes(void)
{
    struct pacer p;
    struct paced_call probe;
    uint64_t wait;
    uint64_t now = 1000;

    pacer_init(&p, &a_spec);
    call_once(&p, PACED_FAILED, now);
    call_once(&p, PACED_FAILED, now);
    call_once(&p, PACED_ANSWERED, now); /* not in a row */
    call_once(&p, PACED_FAILED, now);
    call_once(&p, PACED_FAILED, now);
    CHECK_INT(p.state, PACER_CLOSED);
    call_once(&p, PACED_FAILED, now);
    CHECK_INT(p.state, PACER_OPEN);
    wait = pacer_wait_ms(&p, now);
    CHECK(wait >= 50 && wait <= 100);
    CHECK(pacer_wait_ms(&p, now + wait - 1) == 1);

    now += wait;
    CHECK_INT(pacer_wait_ms(&p, now), 0);
    CHECK_INT(p.state, PACER_HALF_OPEN);
    probe = pacer_begin(&p, now);
    CHECK(pacer_wait_ms(&p, now) == UINT64_MAX); /* one probe */
    end(&p, probe, PACED_FAILED, now);
    CHECK_INT(p.state, PACER_OPEN);
    wait = pacer_wait_ms(&p, now);
    CHECK(wait >= 100 && wait <= 200);

    now += wait;
    call_once(&p, PACED_ANSWERED, now);
    CHECK_INT(p.state, PACER_CLOSED);
    CHECK_INT(pacer_wait_ms(&p, now), 0);
    CHECK_INT(p.opened, 2);
}

static void
test_breaker_opens_for_longer_up_to_a_maximum(void)
{
    struct pacer p;
    uint64_t now = 0;
    uint64_t wait = 0;

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 3; i++)
        call_once(&p, PACED_FAILED, now);
    for (unsigned i = 0; i < 40; i++) {
        wait = pacer_wait_ms(&p, now);
        CHECK(wait > 0 && wait <= 10000);
        now += wait;
        call_once(&p, PACED_FAILED, now);
    }
    CHECK(wait >= 5000);
    now += pacer_wait_ms(&p, now);
    call_once(&p, PACED_ANSWERED, now);
    for (unsigned i = 0; i < 3; i++)
        call_once(&p, PACED_FAILED, now);
    CHECK(pacer_wait_ms(&p, now) <= 100); /* from the beginning again */
}

static void
test_calls_of_before(void)
{
    struct pacer p;
    struct paced_call old[4];
    uint64_t wait;

    pacer_init(&p, &a_spec);
    p.limit = 4;
    for (unsigned i = 0; i < 4; i++)
        old[i] = pacer_begin(&p, 0);
    for (unsigned i = 0; i < 3; i++)
        end(&p, old[i], PACED_FAILED, 10);
    CHECK_INT(p.state, PACER_OPEN);
    wait = pacer_wait_ms(&p, 10);
    end(&p, old[3], PACED_FAILED, 10); /* opens it no longer */
    CHECK_INT(pacer_wait_ms(&p, 10), wait);

    pacer_init(&p, &a_spec);
    p.limit = 4;
    for (unsigned i = 0; i < 4; i++)
        old[i] = pacer_begin(&p, 0);
    for (unsigned i = 0; i < 3; i++)
        end(&p, old[i], PACED_FAILED, 10);
    end(&p, old[3], PACED_ANSWERED, 10); /* it works after all */
    CHECK_INT(p.state, PACER_CLOSED);
}

static void
test_a_dropped_probe(void)
{
    struct pacer p;
    uint64_t now = 0;

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 3; i++)
        call_once(&p, PACED_FAILED, now);
    now += pacer_wait_ms(&p, now);
    call_once(&p, PACED_DROPPED, now);
    CHECK_INT(p.state, PACER_HALF_OPEN);
    call_once(&p, PACED_ANSWERED, now);
    CHECK_INT(p.state, PACER_CLOSED);
}

static void
test_retry_after(void)
{
    struct pacer p;
    struct paced_call call;

    pacer_init(&p, &a_spec);
    call = pacer_begin(&p, 0);
    pacer_end(&p, &call,
              &(struct paced_end){.end = PACED_BUSY, .retry_after_ms = 3000},
              500);
    CHECK_INT(p.state, PACER_CLOSED);
    CHECK_INT(pacer_wait_ms(&p, 500), 3000);
    CHECK_INT(pacer_wait_ms(&p, 3499), 1);
    CHECK_INT(pacer_wait_ms(&p, 3500), 0);
    CHECK(pacer_retry_ms(&p, 1, 3000) >= 3000);

    call = pacer_begin(&p, 4000); /* a hostile one */
    pacer_end(
        &p, &call,
        &(struct paced_end){.end = PACED_BUSY, .retry_after_ms = UINT64_MAX},
        4000);
    CHECK_INT(pacer_wait_ms(&p, 4000), 60000);
    CHECK_INT(pacer_retry_ms(&p, 1, UINT64_MAX), 60000);
}

static void
test_back_off(void)
{
    struct pacer a;
    struct pacer b;
    double sum = 0;

    pacer_init(&a, &a_spec);
    pacer_init(&b, &a_spec);
    for (unsigned failures = 1; failures < 100; failures++) {
        uint64_t most = failures < 8 ? 100u << (failures - 1) : 10000;
        uint64_t wait = pacer_retry_ms(&a, failures, 0);

        CHECK(wait <= (most < 10000 ? most : 10000));
        CHECK_INT(wait, pacer_retry_ms(&b, failures, 0)); /* of one seed */
    }
    CHECK(pacer_retry_ms(&a, UINT32_MAX, 0) <= 10000);
    for (unsigned i = 0; i < 1000; i++)
        sum += (double)pacer_retry_ms(&a, 1, 0);
    CHECK_NEAR(sum / 1000, 50, 5); /* uniform: 0.9 of deviation each */
}

static void
test_limit_halves_once_a_round(void)
{
    struct pacer p;
    struct paced_call calls[4];

    pacer_init(&p, &a_spec);
    p.limit = 4;
    for (unsigned i = 0; i < 4; i++)
        calls[i] = pacer_begin(&p, 0);
    CHECK(pacer_wait_ms(&p, 0) == UINT64_MAX);
    for (unsigned i = 0; i < 4; i++)
        end(&p, calls[i], PACED_BUSY, 0);
    CHECK_INT(pacer_limit(&p), 2);
    call_once(&p, PACED_BUSY, 0);
    CHECK_INT(pacer_limit(&p), 1);
    for (unsigned i = 0; i < 10; i++)
        call_once(&p, PACED_BUSY, 0);
    CHECK_INT(pacer_limit(&p), 1);
    CHECK_INT(p.state, PACER_CLOSED); /* busy is not broken */
}

/* A peer with `workers`: a call takes its 1000 us, longer when they queue. */
static void
turn(struct pacer *p, double workers, size_t *calls, size_t *most)
{
    struct paced_call round[CALLS_MAX];
    size_t n = 0;
    double took;

    while (pacer_wait_ms(p, 0) == 0)
        round[n++] = pacer_begin(p, 0);
    took = 1000 * ((double)n > workers ? (double)n / workers : 1);
    for (size_t i = 0; i < n; i++)
        pacer_end(p, &round[i],
                  &(struct paced_end){.end = PACED_ANSWERED,
                                      .took_us = (uint64_t)took,
                                      .rows = 256},
                  0);
    *calls += n;
    if (n > *most)
        *most = n;
}

static void
test_limit_finds_what_the_peer_can_do(void)
{
    struct pacer p;
    size_t calls = 0;
    size_t most = 0;

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 200; i++)
        turn(&p, 100, &calls, &most);
    CHECK_INT(pacer_limit(&p), CALLS_MAX); /* more than we may ask for */

    pacer_init(&p, &a_spec);
    calls = most = 0;
    for (unsigned i = 0; i < 50; i++)
        turn(&p, 1, &calls, &most);
    calls = most = 0;
    for (unsigned i = 0; i < 1000; i++)
        turn(&p, 1, &calls, &most);
    CHECK(most <= 8); /* without it: 16 */

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 50; i++)
        turn(&p, 4, &calls, &most);
    calls = most = 0;
    for (unsigned i = 0; i < 1000; i++)
        turn(&p, 4, &calls, &most);
    CHECK(most >= 4 && most < CALLS_MAX);
    CHECK(calls >= 4000); /* four workers, used on the whole */
}

/* Times that vary by a factor of three and more say nothing about the limit. */
static void
test_noise_does_not_lower_the_limit(void)
{
    struct pacer p;
    unsigned noise = 1;
    double sum = 0;

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 20000; i++) {
        struct paced_call call;

        while (pacer_wait_ms(&p, 0) == 0)
            call = pacer_begin(&p, 0);
        noise = noise * 1664525u + 1013904223u;
        pacer_end(&p, &call,
                  &(struct paced_end){.end = PACED_ANSWERED,
                                      .took_us = 500 + (noise >> 16) % 1000,
                                      .rows = 256},
                  0);
        sum += (double)pacer_limit(&p);
    }
    CHECK(sum / 20000 > 0.8 * CALLS_MAX);
}

/* A call of one row is fast, and says nothing about those of 256. */
static void
test_small_calls_do_not_count(void)
{
    struct pacer p;
    size_t calls = 0;
    size_t most = 0;

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 500; i++) {
        struct paced_call call;

        turn(&p, 100, &calls, &most);
        call = pacer_begin(&p, 0);
        pacer_end(&p, &call,
                  &(struct paced_end){
                      .end = PACED_ANSWERED, .took_us = 10, .rows = 1},
                  0);
    }
    CHECK_INT(pacer_limit(&p), CALLS_MAX);
}

static void
test_a_limit_not_in_use_does_not_rise(void)
{
    struct pacer p;

    pacer_init(&p, &a_spec);
    for (unsigned i = 0; i < 1000; i++)
        call_once(&p, PACED_ANSWERED, 0);
    CHECK_INT(pacer_limit(&p), 2);
}

int
main(void)
{
    RUN(test_breaker_opens_probes_and_closes);
    RUN(test_breaker_opens_for_longer_up_to_a_maximum);
    RUN(test_calls_of_before);
    RUN(test_a_dropped_probe);
    RUN(test_retry_after);
    RUN(test_back_off);
    RUN(test_limit_halves_once_a_round);
    RUN(test_limit_finds_what_the_peer_can_do);
    RUN(test_noise_does_not_lower_the_limit);
    RUN(test_small_calls_do_not_count);
    RUN(test_a_limit_not_in_use_does_not_rise);
    return check_report();
}
