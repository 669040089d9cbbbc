/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_OPERATE_H
#define STAGES_OPERATE_H

#include "stages/overview.h"
#include "stages/tap.h"

/*
 * Operating a running service: its admin port with all pages and commands, and
 * reloading its settings. Made before the roles are opened, freed before they
 * are. Thread: loop.
 */
struct operate;

struct operate_spec {
    struct loop *loop;
    struct settings *settings;     /* a reload changes what may be reloaded */
    const char *config_path;       /* to be read again; NULL: no reload */
    struct pipeline *const *roles; /* (2) by enum role; NULL: not here */
    struct lifecycle *life;
};

/*
 * operate_new opens the admin port when one is configured, and watches the
 * loop when that or a service manager's watchdog wants it. Keeps borrows of
 * what spec points to. As admin_new.
 */
must_check enum status operate_new(struct operate **out,
                                   const struct operate_spec *spec,
                                   struct error *err);
void operate_free(struct operate **self);

/* operate_is_observed says whether anybody may ask how the roles stand. */
bool operate_is_observed(const struct operate *o);

/* operate_tap lends where records may be looked at, or NULL: nowhere. */
struct tap *operate_tap(struct operate *o);

/* operate_reload reads the configuration again, on a thread of its own, and
 * takes over what may change; logs what came of it. Does nothing while one is
 * under way. */
void operate_reload(struct operate *o);

#endif
