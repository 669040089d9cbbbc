/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_SPEC_H
#define CHECKPOINT_SPEC_H

#include "stages/model/model.h"

#include "daemon/base/digest.h"
#include "daemon/base/error.h"

/*
 * A model's specification as JSON, so that a checkpoint can be opened without
 * the configuration that made it; and whether two of them fit.
 */

#define SPEC_BYTES_MAX    ((size_t)4 << 20)
#define SPEC_FEATURES_MAX 1024
#define SPEC_TASKS_MAX    64
#define SPEC_DIFFERENCES  4096 /* bytes of text that are enough for people */

/* A specification that owns its features, tasks and names. */
struct spec_owned {
    struct model_spec spec;
    struct model_feature *features;
    struct model_task *tasks;
    char *names;
};

/* spec_write gives the JSON (malloc's, NUL behind it). TOOBIG beyond the
 * limits above. threads is not written: it is the process's. Thread: any. */
must_check enum status spec_write(const struct model_spec *spec, char **text,
                                  struct error *err);

/*
 * spec_parse reads what spec_write wrote; threads is 1. BADDATA names the
 * member. Whether the model makes sense is model_new's business. After it:
 * spec_fini. Thread: any. Allocates.
 */
must_check enum status spec_parse(struct spec_owned *out, const char *text,
                                  size_t len, const char *name,
                                  struct error *err);

/* spec_fini frees what it owns and clears it; a cleared one is fine. */
void spec_fini(struct spec_owned *s);

/*
 * spec_shape_digest writes the SHA-256 of what decides which parameters there
 * are and what they mean: features, tasks, layers. Rates, optimizers, seeds,
 * and limits of tables do not. Thread: any.
 */
must_check enum status spec_shape_digest(const struct model_spec *spec,
                                         char hex[DIGEST_HEX_SIZE],
                                         struct error *err);

/* How two specifications fit. */
enum spec_fit {
    SPEC_FITS,      /* restores exactly */
    SPEC_OPTIMIZER, /* parameters fit, the optimizers' state does not */
    SPEC_SHAPE,     /* needs --migrate */
};

/*
 * spec_compare says how a checkpoint's specification fits a configuration's
 * and writes every difference that matters, one a line without a final
 * newline: "student embedding width 4 in the checkpoint, 8 in the
 * configuration". Thread: any. Allocates: nothing.
 */
enum spec_fit spec_compare(const struct model_spec *checkpoint,
                           const struct model_spec *configuration,
                           char text[SPEC_DIFFERENCES]);

#endif
