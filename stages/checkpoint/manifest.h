/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_MANIFEST_H
#define CHECKPOINT_MANIFEST_H

#include "daemon/base/digest.h"
#include "daemon/base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * manifest.json: what a checkpoint's files are, where they came from, and how
 * to use them. Sizes and digests are its own business; what the stages know
 * (lineage, contract, metrics) comes as JSON objects and stays as it came.
 */

#define MANIFEST_NAME      "manifest.json"
#define MANIFEST_SCHEMA    "distilld.checkpoint/1"
#define MANIFEST_BYTES_MAX ((size_t)16 << 20)
#define MANIFEST_FILES_MAX 4
#define MANIFEST_WORD_MAX  128

/* The members that are JSON objects of others. */
enum manifest_part {
    MANIFEST_PRODUCER,     /* "producer": name, version, build */
    MANIFEST_FEATURE_SPEC, /* "feature_spec": hash rule, features, vectors */
    MANIFEST_SPEC,         /* "model_spec": see spec.h */
    MANIFEST_DATA,         /* "data": offsets, window, events */
    MANIFEST_TEACHER,      /* "teacher": name, version */
    MANIFEST_TRAINING,     /* "training": steps, batch, seed */
    MANIFEST_METRICS,      /* "metrics" */
    MANIFEST_PART_COUNT,
};

struct manifest_file {
    char path[MANIFEST_WORD_MAX];
    uint64_t bytes;
    char sha256[DIGEST_HEX_SIZE];
};

struct manifest {
    char model[MANIFEST_WORD_MAX];
    uint64_t version;
    uint64_t parent_version;             /* 0: none */
    char created_at[32];                 /* RFC 3339, UTC; "": not said */
    char config_sha256[DIGEST_HEX_SIZE]; /* "": not said */
    size_t file_count;
    struct manifest_file files[MANIFEST_FILES_MAX];
    const char *parts[MANIFEST_PART_COUNT]; /* JSON objects, or NULL */
    char *memory; /* what parts point into, when the manifest owns them */
};

/*
 * manifest_write gives the text of manifest.json (malloc's, NUL behind len).
 * CONFIG when a part is no JSON object. Thread: any.
 */
must_check enum status manifest_write(const struct manifest *m, char **text,
                                      size_t *len, struct error *err);

/*
 * manifest_parse reads a manifest strictly and within bounds; members that it
 * does not know are skipped. The parts are the text's own bytes. BADDATA says
 * what is wrong in name. After it: manifest_fini. Thread: any. Allocates.
 */
must_check enum status manifest_parse(struct manifest *out, const char *text,
                                      size_t len, const char *name,
                                      struct error *err);

/* manifest_read is manifest_parse for the manifest.json of a directory. */
must_check enum status manifest_read(struct manifest *out, const char *dir,
                                     struct error *err);

/* manifest_copy gives a manifest that owns its parts. */
must_check enum status manifest_copy(struct manifest *out,
                                     const struct manifest *from,
                                     struct error *err);

/* manifest_fini frees what the manifest owns and clears it; a cleared one is
 * fine. */
void manifest_fini(struct manifest *m);

/* manifest_find_file lends the entry of a file, or NULL. */
const struct manifest_file *manifest_find_file(const struct manifest *m,
                                               const char *path);

/* manifest_now writes the present time for created_at. Thread: any. */
void manifest_now(char text[32]);

#endif
