/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_INSPECT_H
#define CHECKPOINT_INSPECT_H

#include "daemon/base/error.h"

#include <stdio.h>

/*
 * What `distilld inspect` prints. path is a version's directory, or a
 * directory of versions, whose latest is meant. All block.
 */

/* inspect_print writes what is in a checkpoint: where it came from, its
 * model, its tables, its tensors. BADDATA and NOTFOUND as checkpoint_open. */
must_check enum status inspect_print(FILE *out, const char *path,
                                     struct error *err);

/*
 * inspect_verify computes every file's digest anew, writes one line a file,
 * and checks the headers. BADDATA names the first file that is wrong.
 */
must_check enum status inspect_verify(FILE *out, const char *path,
                                      struct error *err);

/*
 * inspect_ids writes the ids of a feature's table, one a line: id, row (0: a
 * candidate that has none yet), sightings, last sighting (seconds since 1970),
 * with tabs between and a first line that names them; "-" where a published
 * version does not tell. NOTFOUND when no table has that name.
 */
must_check enum status inspect_ids(FILE *out, const char *path,
                                   const char *feature, struct error *err);

#endif
