/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_PACE_H
#define REPLAY_PACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When the next event is due: at a rate, at a multiple of the speed at which
 * events happened, or at once. A delay is made up for afterwards: what was due
 * meanwhile is sent in a burst, as events of the world would wait.
 */
struct pace {
    double rate;  /* events a second; 0: not by a rate */
    double speed; /* seconds of the events' time a second; 0: not by it */
    uint64_t start_ns;
    uint64_t count;  /* events since start_ns */
    uint64_t due_ns; /* of the last */
    int64_t first_ms;
    int64_t latest_ms; /* of the events so far: time never goes back */
    bool has_first;
};

/* pace_start says that the next event is the first. */
void pace_start(struct pace *p, uint64_t now_ns);

/* pace_again says that the next event is the first of another pass: its time
 * goes on where the last one's was. */
void pace_again(struct pace *p);

/* pace_due gives when an event is due, and counts it. One without a time is
 * due with the one before it. */
uint64_t pace_due(struct pace *p, bool has_time, int64_t time_ms);

#endif
