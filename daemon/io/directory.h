/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_DIRECTORY_H
#define IO_DIRECTORY_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Directories: making, syncing, listing and removing them, and the pointers
 * (symbolic links) that move in one step. Every call may block.
 */

#define PATH_TEXT_MAX 4096 /* longest path that the program builds */

/* path_join writes "dir/name" into out; TOOBIG when it does not fit. */
must_check enum status path_join(char out[PATH_TEXT_MAX], const char *dir,
                                 const char *name, struct error *err);

/* directory_make creates path and whatever is missing above it; fine when it
 * is there already. */
must_check enum status directory_make(const char *path, struct error *err);

/* directory_sync makes names that were created, renamed or removed in path
 * survive a power cut. */
must_check enum status directory_sync(const char *path, struct error *err);

/* directory_remove removes path and everything in it; fine when absent. */
must_check enum status directory_remove(const char *path, struct error *err);

/*
 * directory_rename moves source to target, which must not exist: an existing
 * target is never replaced. Does not sync.
 */
must_check enum status directory_rename(const char *source, const char *target,
                                        struct error *err);

/* directory_point makes the symbolic link dir/name point to target, in one
 * step, and syncs dir. */
must_check enum status directory_point(const char *dir, const char *name,
                                       const char *target, struct error *err);

/* What is called back for each name in a directory, but "." and "..". */
typedef enum status (*directory_fn)(void *ctx, const char *name,
                                    struct error *err);

/* directory_each calls fn for each name, in no order, until one fails. */
must_check enum status directory_each(const char *path, directory_fn fn,
                                      void *ctx, struct error *err);

#endif
