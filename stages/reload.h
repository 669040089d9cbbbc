/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_RELOAD_H
#define STAGES_RELOAD_H

#include "stages/settings.h"

#include "daemon/io/loop.h"

/*
 * Reads the configuration again while the service runs. The file is read on a
 * thread, since files may be slow; what may change is taken over on the loop.
 * A file with a problem changes nothing. Thread: loop.
 */
struct reload;

/* reload_new starts the thread. Keeps borrows of live and path. NOMEM, IO. */
must_check enum status reload_new(struct reload **out, struct loop *l,
                                  struct settings *live, const char *path,
                                  struct error *err);

/* reload_free waits for the thread; a reload that is under way is forgotten
 * and its done not called. NULL is fine. */
void reload_free(struct reload **self);

/*
 * reload_begin begins one; false: one is under way. Afterwards done is called
 * with OK and what was taken over and what needs a restart, or why nothing
 * was, in words; that is also logged.
 */
bool reload_begin(struct reload *r,
                  void (*done)(void *ctx, enum status st, const char *text),
                  void *ctx);

#endif
