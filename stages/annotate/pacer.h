/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_PACER_H
#define ANNOTATE_PACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * When a peer may be called, and how often at a time. Pure: the caller brings
 * the time, in milliseconds that only grow.
 *
 * Breaker: `breaker_failures` failed calls in a row open it, and nobody calls
 * for a while, which doubles from opening to opening. Then one call probes.
 *
 *   CLOSED --failures--> OPEN --time--> HALF_OPEN --answered--> CLOSED
 *                          ^                 |
 *                          +-----failed------+
 *
 * Limit: calls at a time rise, by up to one a round of answered calls, and
 * halve, at most once a round, when the peer is busy (429, 503), is too late,
 * or takes nearly twice as long as at its best: so they swing around what it
 * can do at a time, between 1 and calls_max.
 *
 * Thread: one at a time. Allocates: nothing.
 */
enum pacer_state {
    PACER_CLOSED,
    PACER_OPEN,
    PACER_HALF_OPEN,
};

struct pacer_spec {
    size_t calls_max;
    uint64_t retry_min_ms;       /* back-off of the first retry, at most */
    uint64_t retry_max_ms;       /* of any, and of the open breaker */
    uint64_t retry_after_max_ms; /* a Retry-After beyond counts as this */
    unsigned breaker_failures;
    uint64_t seed; /* of the jitter */
};

enum pacer_end {
    PACED_ANSWERED, /* the peer works, whatever it said of the request */
    PACED_BUSY,     /* it works, but wants less */
    PACED_LATE,     /* timeout: wants less, and may be gone */
    PACED_FAILED,   /* anything else */
    PACED_DROPPED,  /* canceled: says nothing */
};

struct pacer {
    struct pacer_spec spec;
    enum pacer_state state;
    unsigned failures; /* in a row */
    uint64_t open_ms;  /* how long it opens the next time */
    uint64_t open_until_ms;
    uint64_t not_before_ms; /* of Retry-After */
    size_t under_way;
    bool is_probing;
    double limit;
    uint64_t round;    /* counts the halvings */
    size_t rows_max;   /* of a call so far */
    double took_us;    /* of calls with many rows, smoothed */
    unsigned timed;    /* calls in it, as far as they count */
    double best_us;    /* the least of it, slowly rising; 0: none */
    uint64_t answered; /* calls ever */
    uint64_t opened;   /* how often */
    uint64_t random;
};

/* A call, between begin and end. */
struct paced_call {
    uint64_t round;
    bool is_probe;
    bool is_crowded; /* most of the limit was in use, so it may rise */
};

/* pacer_init closes the breaker; copies spec. */
void pacer_init(struct pacer *p, const struct pacer_spec *spec);

/*
 * pacer_wait_ms says in how many ms to ask again: 0, a call may begin now;
 * UINT64_MAX, when one ends.
 */
uint64_t pacer_wait_ms(struct pacer *p, uint64_t now_ms);

/* pacer_begin counts a call that begins; pacer_wait_ms said 0. */
struct paced_call pacer_begin(struct pacer *p, uint64_t now_ms);

/* How a call ended. */
struct paced_end {
    enum pacer_end end;
    uint64_t took_us;
    size_t rows;             /* asked about: the work in it */
    uint64_t retry_after_ms; /* 0: none */
};

void pacer_end(struct pacer *p, const struct paced_call *call,
               const struct paced_end *end, uint64_t now_ms);

/*
 * pacer_retry_ms gives the wait before a request is tried again that failed
 * `failures` (>= 1) times: at random up to retry_min_ms, doubled by every
 * failure up to retry_max_ms, so that many do not come back at once; at least
 * what Retry-After says, within its maximum.
 */
uint64_t pacer_retry_ms(struct pacer *p, unsigned failures,
                        uint64_t retry_after_ms);

/* pacer_limit gives the calls that may be under way now. */
size_t pacer_limit(const struct pacer *p);

const char *pacer_state_name(enum pacer_state s);

#endif
