/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States, and the moves between them.
 */
#include "daemon/lifecycle.h"

#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/io/service_manager.h"

#include <assert.h>
#include <stddef.h>

#define LIFE_COUNT 5

static const bool allowed[LIFE_COUNT][LIFE_COUNT] = {
    [LIFE_STARTING] = {[LIFE_RUNNING] = true, [LIFE_DRAINING] = true},
    [LIFE_RUNNING] = {[LIFE_PAUSED] = true, [LIFE_DRAINING] = true},
    [LIFE_PAUSED] = {[LIFE_RUNNING] = true, [LIFE_DRAINING] = true},
    [LIFE_DRAINING] = {[LIFE_STOPPED] = true},
};

const char *
life_name(enum life life)
{
    static const char *const names[LIFE_COUNT] = {
        "starting", "running", "paused", "draining", "stopped"};

    assert((size_t)life < COUNT(names));
    return names[life];
}

bool
lifecycle_may_enter(const struct lifecycle *l, enum life next)
{
    return allowed[l->life][next];
}

/* The only place that writes l->life. */
void
lifecycle_enter(struct lifecycle *l, enum life next)
{
    enum life before = l->life;

    assert(allowed[before][next]);
    log_info("life", "from=%s to=%s", life_name(before), life_name(next));
    l->life = next;
    if (before == LIFE_STARTING && next == LIFE_RUNNING)
        service_manager_tell("READY=1\nSTATUS=running");
    else if (next == LIFE_DRAINING)
        service_manager_tell("STOPPING=1\nSTATUS=draining");
    else
        service_manager_tell("STATUS=%s", life_name(next));
}
