/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include "stages/checkpoint/manifest.h"
#include "stages/checkpoint/safetensors.h"
#include "stages/model/model.h"

#include "daemon/base/error.h"
#include "daemon/io/directory.h"

#include <stddef.h>
#include <stdint.h>

/*
 * One checkpoint, opened for reading: a directory with
 *
 *   model.safetensors   the first model's parameters: what a server needs
 *   state.safetensors   its optimizer state and counters, the other models
 *                       under their prefixes, and `progress`
 *   manifest.json       sizes and digests of both, lineage, specification
 *
 * A published version has no state file. Models are told apart by a prefix of
 * their tensors' names, "" for the first; the state file's metadata lists
 * them, and under which prefix the first would stand if it were not the first,
 * its alias: who asks for that one gets the first. `progress` holds bytes that
 * mean something to the role alone.
 */

#define CHECKPOINT_MODEL_FILE "model.safetensors"
#define CHECKPOINT_STATE_FILE "state.safetensors"
#define CHECKPOINT_PROGRESS   "progress"
#define CHECKPOINT_MODELS_MAX 8
#define CHECKPOINT_PREFIX_KEY "prefix." /* and the number of the model */

struct checkpoint;

/* checkpoint_find writes the version's directory that path means: itself, or
 * the one that its `latest` names, by its number, so that a newer one has
 * another path. NOTFOUND when there is neither. */
must_check enum status checkpoint_find(char out[PATH_TEXT_MAX],
                                       const char *path, struct error *err);

enum checkpoint_check {
    CHECKPOINT_QUICK,  /* manifest, sizes and headers */
    CHECKPOINT_VERIFY, /* the digests of all files too */
};

/*
 * checkpoint_open opens a version's directory, or the one that the `latest`
 * of a directory of versions names. BADDATA when a file is not what the
 * manifest says (names it), NOTFOUND when one is missing. Blocks. Allocates.
 */
must_check enum status checkpoint_open(struct checkpoint **out,
                                       const char *path,
                                       enum checkpoint_check check,
                                       struct error *err);

/* checkpoint_free unmaps and frees *self and sets it NULL; NULL is fine. */
void checkpoint_free(struct checkpoint **self);

/* checkpoint_path lends the version's directory. */
const char *checkpoint_path(const struct checkpoint *ck);

/* checkpoint_manifest lends the manifest. */
const struct manifest *checkpoint_manifest(const struct checkpoint *ck);

/* checkpoint_spec lends the first model's specification, or NULL when the
 * manifest has none. */
const struct model_spec *checkpoint_spec(const struct checkpoint *ck);

/* checkpoint_model lends model.safetensors, checkpoint_state
 * state.safetensors or NULL. */
const struct safetensors *checkpoint_model(const struct checkpoint *ck);
const struct safetensors *checkpoint_state(const struct checkpoint *ck);

/* checkpoint_prefix lends the i-th model's prefix, or NULL beyond the last;
 * the first is always "". */
const char *checkpoint_prefix(const struct checkpoint *ck, size_t i);

/* checkpoint_alias lends what the first model is called when it is not the
 * first, or NULL. */
const char *checkpoint_alias(const struct checkpoint *ck);

/* checkpoint_has_model says whether there is one with this prefix or alias. */
bool checkpoint_has_model(const struct checkpoint *ck, const char *prefix);

/* checkpoint_progress lends the bytes of `progress`, or NULL. */
const void *checkpoint_progress(const struct checkpoint *ck, size_t *bytes);

/*
 * checkpoint_tensors gives (malloc's) the tensors of the model with this
 * prefix, names without it, data lent until checkpoint_free.
 */
must_check enum status checkpoint_tensors(const struct checkpoint *ck,
                                          const char *prefix,
                                          struct tensor **out, size_t *count,
                                          struct error *err);

/*
 * checkpoint_load_model builds the model with this prefix and fills it.
 * spec is borrowed; NULL means the checkpoint's own. kept (may be NULL) counts
 * the tensors used. A published version has no state: RESTORE_WEIGHTS.
 */
must_check enum status
checkpoint_load_model(const struct checkpoint *ck, const char *prefix,
                      const struct model_spec *spec, enum restore_mode mode,
                      struct model **out, size_t *kept, struct error *err);

#endif
