/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_KEEPER_H
#define STAGES_KEEPER_H

#include "stages/checkpoint/store.h"
#include "stages/checkpoint/writer.h"
#include "stages/progress.h"
#include "stages/shape.h"

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * Keeps the checkpoints of models that learn: opens their directory, restores
 * them as the configuration wants them, writes the next ones beside training,
 * and logs what became of each. Used by the trainer and by a teacher that
 * learns in line. Thread: the one that owns the models; opened and closed on
 * the loop.
 */
struct keeper;

/* What a keeper keeps, fixed for its life; everything is borrowed. */
struct keeper_spec {
    const char *dir;
    uint64_t keep;
    uint64_t every; /* examples between two; 0: at the end alone */
    const char *model_name;
    const char *log_path;     /* that is read */
    const char *sync_path;    /* log to be durable before a checkpoint is */
    const char *teacher_name; /* for the lineage; NULL: none */
    const struct event_spec *events;
    const struct model_spec *spec; /* of all its models */
    const char *config_sha256;
};

/* keeper_open locks the directory. LOCKED names the holder. Blocks. */
must_check enum status keeper_open(struct keeper **out,
                                   const struct keeper_spec *spec,
                                   struct error *err);
void keeper_close(struct keeper **self);

/* keeper_store lends the store, until keeper_close. */
struct store *keeper_store(struct keeper *k);

/*
 * keeper_restore builds count models with the prefixes, from the newest valid
 * checkpoint or, when there is none, from init_from (a safetensors file; "":
 * from the seed). progress and curve are those of the checkpoint; without one
 * progress is zeroed and *curve NULL. BADDATA with every difference when its
 * shape is another, or a model is not in it, and migrates is false; with it a
 * model that is not there begins as the first one. version is the
 * checkpoint's, or 0.
 */
struct keeper_restore {
    const char *const *prefixes;
    size_t count;
    const char *init_from;
    bool migrates;
    struct model **models; /* (count) written */
    struct progress *progress;
    struct curve **curve;
    uint64_t *version;
};

must_check enum status keeper_restore(struct keeper *k,
                                      const struct keeper_restore *r,
                                      struct error *err);

/* What goes into a checkpoint. */
struct keeper_content {
    struct model *const *models;
    const char *const *prefixes;
    size_t count;
    const char *alias; /* of the first model, NULL: none */
    const struct progress *progress;
    const struct curve *curve; /* may be NULL */
    const char *teacher_version;
    double seconds; /* of this process */
    char *metrics;  /* JSON, or NULL */
};

/* keeper_is_due says whether `every` examples have gone by since the last. */
bool keeper_is_due(const struct keeper *k, uint64_t examples);

/* keeper_begin fixes a checkpoint of now; passes over it, with a warning, when
 * one is still being written. */
must_check enum status keeper_begin(struct keeper *k,
                                    const struct keeper_content *content,
                                    struct error *err);

/* keeper_saved is how many examples the newest checkpoint has that was begun
 * and did not fail; 0: there is none. */
uint64_t keeper_saved(const struct keeper *k);

/* What became of the checkpoints so far. */
struct keeper_report {
    uint64_t version;   /* newest that is durable; 0: none */
    uint64_t examples;  /* in it */
    int64_t created_ms; /* when it was made, since 1970; 0: unknown */
    uint64_t failures;  /* of this process */
    bool is_writing;
};

void keeper_report(const struct keeper *k, struct keeper_report *out);

/* keeper_step writes on; true: there is more to do. *durable is the version
 * that became durable, or 0. */
bool keeper_step(struct keeper *k, uint64_t *durable);

/* keeper_finish waits for the running one; its failure is in *err. */
must_check enum status keeper_finish(struct keeper *k, uint64_t *durable,
                                     struct error *err);

#endif
