/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circuit breaker, additive increase and multiplicative decrease, back-off
 * with full jitter.
 */
#include "stages/annotate/pacer.h"

#include "daemon/base/hash.h"

#include <assert.h>

#define LIMIT_FIRST 2.0
/* Times are smoothed over about so many calls, and say nothing before. */
#define CALLS_SMOOTHED 10
#define OUTLIER        4.0 /* a call counts as at most so many usual ones */
/* Below 2, so that a halving goes below where the best was taken: of a peer
 * that does one call after the other the best is found again, and lower. */
#define SLOW          1.7
#define BEST_RISE     (1.0 + 1.0 / 4096)
#define DOUBLINGS_MAX 32

static const char *const state_names[] = {
    [PACER_CLOSED] = "closed",
    [PACER_OPEN] = "open",
    [PACER_HALF_OPEN] = "half_open",
};

void
pacer_init(struct pacer *p, const struct pacer_spec *spec)
{
    assert(spec->calls_max >= 1 && spec->breaker_failures >= 1);
    assert(spec->retry_min_ms >= 1 && spec->retry_max_ms >= spec->retry_min_ms);
    *p = (struct pacer){.spec = *spec, .open_ms = spec->retry_min_ms};
    p->limit = (double)spec->calls_max < LIMIT_FIRST ? (double)spec->calls_max
                                                     : LIMIT_FIRST;
}

/* 0 to n, each as likely. */
static uint64_t
draw(struct pacer *p, uint64_t n)
{
    p->random++;
    return hash64_seeded(&p->random, sizeof(p->random), p->spec.seed) % (n + 1);
}

static uint64_t
later(uint64_t now_ms, uint64_t ms)
{
    return ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ms;
}

size_t
pacer_limit(const struct pacer *p)
{
    return (size_t)p->limit;
}

uint64_t
pacer_wait_ms(struct pacer *p, uint64_t now_ms)
{
    uint64_t until_ms = p->not_before_ms;

    if (p->state == PACER_OPEN) {
        if (p->open_until_ms <= now_ms)
            p->state = PACER_HALF_OPEN;
        else if (p->open_until_ms > until_ms)
            until_ms = p->open_until_ms;
    }
    if (until_ms > now_ms)
        return until_ms - now_ms;
    if (p->state == PACER_HALF_OPEN && p->is_probing)
        return UINT64_MAX;
    return p->under_way < pacer_limit(p) ? 0 : UINT64_MAX;
}

struct paced_call
pacer_begin(struct pacer *p, uint64_t now_ms)
{
    struct paced_call call = {.round = p->round};

    assert(pacer_wait_ms(p, now_ms) == 0);
    p->under_way++;
    call.is_probe = p->state == PACER_HALF_OPEN;
    call.is_crowded = p->under_way * 2 > pacer_limit(p);
    if (call.is_probe)
        p->is_probing = true;
    return call;
}

static void
open_breaker(struct pacer *p, uint64_t now_ms)
{
    uint64_t half = p->open_ms / 2;

    p->state = PACER_OPEN;
    p->opened++;
    p->open_until_ms = later(now_ms, half + draw(p, p->open_ms - half));
    p->open_ms = p->open_ms > p->spec.retry_max_ms / 2 ? p->spec.retry_max_ms
                                                       : p->open_ms * 2;
}

/* Only a probe's failure counts while it is not closed: the other calls began
 * before it opened. */
static void
count_failure(struct pacer *p, const struct paced_call *call, uint64_t now_ms)
{
    if (p->failures < UINT32_MAX)
        p->failures++;
    if (p->state == PACER_CLOSED ? p->failures >= p->spec.breaker_failures
                                 : call->is_probe)
        open_breaker(p, now_ms);
}

static void
count_answer(struct pacer *p)
{
    p->answered++;
    p->failures = 0;
    p->state = PACER_CLOSED;
    p->open_ms = p->spec.retry_min_ms;
}

/* Once a round: calls that began before the last halving say nothing new. */
static void
halve(struct pacer *p, const struct paced_call *call)
{
    if (call->round != p->round)
        return;
    p->round++;
    p->limit = p->limit / 2 > 1 ? p->limit / 2 : 1;
    p->timed = 0;
}

/* Calls with few rows are fast whatever the peer does. True: too slow. */
static bool
is_slow(struct pacer *p, const struct paced_end *end)
{
    double took_us = (double)end->took_us;

    if (end->rows > p->rows_max)
        p->rows_max = end->rows;
    if (end->rows < p->rows_max - p->rows_max / 2 || end->took_us == 0)
        return false;
    if (p->timed == 0)
        p->took_us = took_us;
    if (took_us > p->took_us * OUTLIER)
        took_us = p->took_us * OUTLIER;
    if (p->timed < CALLS_SMOOTHED)
        p->timed++;
    p->took_us += (took_us - p->took_us) / p->timed;
    if (p->timed < CALLS_SMOOTHED)
        return false;
    p->best_us *= BEST_RISE;
    if (p->best_us <= 0 || p->took_us < p->best_us)
        p->best_us = p->took_us;
    return p->took_us > p->best_us * SLOW;
}

static void
adapt(struct pacer *p, const struct paced_call *call,
      const struct paced_end *end)
{
    if (call->round == p->round && is_slow(p, end))
        halve(p, call);
    else if (call->is_crowded && call->round == p->round)
        p->limit += 1 / p->limit;
    if (p->limit > (double)p->spec.calls_max)
        p->limit = (double)p->spec.calls_max;
}

static uint64_t
bounded_retry_after(const struct pacer *p, uint64_t ms)
{
    return ms < p->spec.retry_after_max_ms ? ms : p->spec.retry_after_max_ms;
}

void
pacer_end(struct pacer *p, const struct paced_call *call,
          const struct paced_end *end, uint64_t now_ms)
{
    uint64_t after_ms =
        later(now_ms, bounded_retry_after(p, end->retry_after_ms));

    assert(p->under_way > 0);
    p->under_way--;
    if (call->is_probe)
        p->is_probing = false;
    if (end->retry_after_ms > 0 && after_ms > p->not_before_ms)
        p->not_before_ms = after_ms;
    switch (end->end) {
    case PACED_ANSWERED:
        count_answer(p);
        adapt(p, call, end);
        break;
    case PACED_BUSY:
        halve(p, call);
        break;
    case PACED_LATE:
        halve(p, call);
        count_failure(p, call, now_ms);
        break;
    case PACED_FAILED:
        count_failure(p, call, now_ms);
        break;
    case PACED_DROPPED:
        break;
    }
}

uint64_t
pacer_retry_ms(struct pacer *p, unsigned failures, uint64_t retry_after_ms)
{
    uint64_t most = p->spec.retry_min_ms;
    uint64_t least = bounded_retry_after(p, retry_after_ms);
    uint64_t wait;

    assert(failures >= 1);
    for (unsigned i = 1; i < failures && i < DOUBLINGS_MAX; i++)
        most =
            most > p->spec.retry_max_ms / 2 ? p->spec.retry_max_ms : most * 2;
    wait = draw(p, most);
    return wait > least ? wait : least;
}

const char *
pacer_state_name(enum pacer_state s)
{
    return state_names[s];
}
