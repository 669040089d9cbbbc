/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_WRITER_H
#define CHECKPOINT_WRITER_H

#include "stages/checkpoint/manifest.h"
#include "stages/checkpoint/store.h"
#include "stages/model/model.h"

#include "daemon/base/digest.h"
#include "daemon/base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Writes one checkpoint after the other while training goes on. The trainer
 * thread reads the models' snapshots in slices between its steps, into a fixed
 * pool of buffers; a file thread of the writer's own does all that may block:
 *
 *   trainer  -- full buffers -->   [ring]  --> pwrite, fsync, digest, rename
 *   trainer  <-- empty ones, the result --  [ring]  <--
 *
 * All functions: thread: the trainer, which owns the models.
 */
struct checkpoint_writer;

/* What one call of writer_step reads when nobody says otherwise. */
#define WRITER_BUDGET ((size_t)1 << 20)

/* One of the models in a checkpoint; the first has the prefix "". */
struct checkpoint_model {
    struct model *model;
    const char *prefix; /* of its tensors' names, such as "baseline/" */
};

struct checkpoint_content {
    const struct checkpoint_model *models;
    size_t model_count;
    const char *alias;    /* of the first model, NULL: none */
    const void *progress; /* bytes that come back by checkpoint_progress */
    size_t progress_bytes;
    /* A log that must be durable before the checkpoint is, since its offsets
     * point into it; NULL: none. Borrowed until the result. */
    const char *sync_path;
    /* All but version and files; without created_at it is the time now. */
    const struct manifest *manifest;
};

struct checkpoint_result {
    enum status status; /* OK: durable. Else err says why not; what was written
                           is removed, and training may go on */
    struct error err;
    uint64_t version;
    char path[PATH_TEXT_MAX]; /* of the version's directory */
    uint64_t bytes;           /* of both files */
    char model_sha256[DIGEST_HEX_SIZE];
    char state_sha256[DIGEST_HEX_SIZE];
    struct error cleanup; /* OK, or why old versions could not be removed */
};

/* writer_new starts the file thread. Keeps a borrow of the store until
 * writer_free. Allocates: its buffers, 8 MiB. */
must_check enum status writer_new(struct checkpoint_writer **out,
                                  struct store *s, struct error *err);

/* writer_free gives up what is running, ends the thread, frees *self and sets
 * it NULL; NULL is fine. Blocks until the file thread is done. */
void writer_free(struct checkpoint_writer **self);

/*
 * writer_begin fixes the state of the models as of now as the content of the
 * next version. Borrows the models until writer_poll or writer_finish brings
 * the result (they go on training), the rest until return. AGAIN while one is
 * running or its result was not taken. CONFIG when names of tensors collide
 * with each other or with a prefix. Blocks: never, but for the copy of the
 * dense tensors. Allocates: the list of tensors.
 */
must_check enum status writer_begin(struct checkpoint_writer *w,
                                    const struct checkpoint_content *content,
                                    struct error *err);

/*
 * writer_step reads up to about budget bytes of the snapshots, and stops a
 * millisecond after it began. OK: there is more; AGAIN: there is more, but the
 * file thread has all buffers; END: nothing is left to read, or nothing is
 * running. Blocks: never. Allocates: nothing.
 */
must_check enum status writer_step(struct checkpoint_writer *w, size_t budget);

/* writer_poll says OK and writes the result when a checkpoint has come to its
 * end, AGAIN while one is running, END when none is. Blocks: never. */
must_check enum status writer_poll(struct checkpoint_writer *w,
                                   struct checkpoint_result *out);

/* writer_finish is writer_step and writer_poll until the running checkpoint
 * has come to its end: OK with the result, or END when none was running.
 * Blocks. */
must_check enum status writer_finish(struct checkpoint_writer *w,
                                     struct checkpoint_result *out);

#endif
