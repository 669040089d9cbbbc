/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_STORE_H
#define CHECKPOINT_STORE_H

#include "stages/checkpoint/checkpoint.h"

#include "daemon/base/error.h"
#include "daemon/io/directory.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The directory in which one role of one process keeps its checkpoints
 * (versions.h has the layout). It is locked: a second process is refused. The
 * newest valid version is where work goes on; a corrupt one is set aside.
 */
struct store;

/*
 * store_open makes the directory when it is missing, locks it, and removes
 * what a crash left half-written. keep (at least 1) versions stay when a newer
 * one comes. LOCKED names the process that holds it. Blocks. Allocates.
 */
must_check enum status store_open(struct store **out, const char *dir,
                                  size_t keep, struct error *err);

/* store_close releases the lock, frees *self and sets it NULL; NULL is fine. */
void store_close(struct store **self);

/* What is called for each version that was set aside, newest first. */
typedef void (*store_aside_fn)(void *ctx, uint64_t version,
                               const struct error *why);

/*
 * store_open_newest opens the newest version whose digests are right. Corrupt
 * ones before it become "<version>.corrupt" and are told to aside (which may
 * be NULL). *out is NULL, with OK, when there never was one: a fresh start.
 * BADDATA when there were some and none is valid: starting afresh must be
 * someone's decision. Blocks: reads all of it.
 */
must_check enum status store_open_newest(struct store *s,
                                         struct checkpoint **out,
                                         store_aside_fn aside, void *ctx,
                                         struct error *err);

/* store_take_version gives the next version's number; each number is given
 * once. Thread: the one that writes checkpoints. */
uint64_t store_take_version(struct store *s);

/* store_path and store_keep lend what store_open was given. */
const char *store_path(const struct store *s);
size_t store_keep(const struct store *s);

/*
 * store_publish makes publish_dir/<version> with the model and a manifest of
 * its own but no state (linked when the file system allows, else copied),
 * moves its `latest`, and keeps the newest `keep` there. Publishing what is
 * there already changes nothing; BADDATA when another model has that number.
 * Thread: any that may block, one at a time.
 */
must_check enum status store_publish(const struct store *s, uint64_t version,
                                     const char *publish_dir, size_t keep,
                                     struct error *err);

#endif
