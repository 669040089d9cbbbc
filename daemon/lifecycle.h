/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_LIFECYCLE_H
#define DAEMON_LIFECYCLE_H

#include <stdbool.h>

/*
 * Where a service is in its life:
 *
 *   starting -> running <-> paused
 *        \         \          |
 *         `---------`--> draining -> stopped
 *
 * Every move is logged and told to the service manager. Thread: loop.
 */
enum life {
    LIFE_STARTING, /* opening what it needs */
    LIFE_RUNNING,
    LIFE_PAUSED,   /* an operator's wish: nothing new is read */
    LIFE_DRAINING, /* nothing new is read, what is under way is finished */
    LIFE_STOPPED,
};

struct lifecycle {
    enum life life;
};

/* lifecycle_enter moves to next. Asserts that the move is one of the above. */
void lifecycle_enter(struct lifecycle *l, enum life next);

/* lifecycle_may_enter says whether lifecycle_enter may. */
bool lifecycle_may_enter(const struct lifecycle *l, enum life next);

/* life_name lends the lower-case name. Thread: any. */
const char *life_name(enum life life);

#endif
