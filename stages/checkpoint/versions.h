/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_VERSIONS_H
#define CHECKPOINT_VERSIONS_H

#include "daemon/base/error.h"
#include "daemon/io/directory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A directory of numbered versions, as model servers read them:
 *
 *   <dir>/<version>/...           complete, never changed again
 *   <dir>/latest -> <version>     moved last
 *   <dir>/.<version>.tmp-<pid>/   being written, or left by a crash
 *   <dir>/<version>.corrupt/      set aside; its number is not used again
 *
 * Plain functions on paths; who may write is store.h's business. All block.
 */

#define VERSION_MAX      ((uint64_t)1 << 53)
#define VERSIONS_LISTED  65536
#define VERSIONS_POINTER "latest"

/* What is there. */
struct versions {
    uint64_t *numbers; /* complete ones, rising */
    size_t count;
    size_t corrupt_count;
    uint64_t highest; /* of all numbers ever seen here, corrupt ones too */
    uint64_t latest;  /* where the pointer points; 0: none */
};

/* versions_parse reads a version's name, a decimal without leading zeros; 0
 * when it is none. */
uint64_t versions_parse(const char *name);

/* versions_latest gives the version that the pointer names; 0: it names none,
 * or there is no pointer. */
uint64_t versions_latest(const char *dir);

/* versions_list lists a directory. After it: versions_fini. Allocates. */
must_check enum status versions_list(struct versions *out, const char *dir,
                                     struct error *err);

/* versions_fini frees the list and clears it; a cleared one is fine. */
void versions_fini(struct versions *v);

/* versions_path writes "<dir>/<version>". */
must_check enum status versions_path(char out[PATH_TEXT_MAX], const char *dir,
                                     uint64_t version, struct error *err);

/*
 * versions_clean removes the temporary names that an earlier process left;
 * with all, of living processes too (the caller holds the directory's lock).
 */
must_check enum status versions_clean(const char *dir, bool all,
                                      struct error *err);

/* versions_begin makes the empty temporary directory of a version and writes
 * its path. */
must_check enum status versions_begin(char temp[PATH_TEXT_MAX], const char *dir,
                                      uint64_t version, struct error *err);

/*
 * versions_commit makes a temporary directory, all of whose files are synced,
 * the version: syncs, renames (an existing version is never replaced), syncs,
 * moves the pointer. The version is there as soon as the rename is.
 */
must_check enum status versions_commit(const char *temp, const char *dir,
                                       uint64_t version, struct error *err);

/* versions_prune removes all but the newest keep versions and the one that
 * the pointer names. */
must_check enum status versions_prune(const char *dir, size_t keep,
                                      struct error *err);

/* versions_set_aside renames a version to "<version>.corrupt". */
must_check enum status versions_set_aside(const char *dir, uint64_t version,
                                          struct error *err);

/* versions_point moves the pointer to a version, where it is not yet. */
must_check enum status versions_point(const char *dir, uint64_t version,
                                      struct error *err);

#endif
