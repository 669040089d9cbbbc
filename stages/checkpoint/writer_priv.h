/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKPOINT_WRITER_PRIV_H
#define CHECKPOINT_WRITER_PRIV_H

#include "stages/checkpoint/checkpoint.h"
#include "stages/checkpoint/writer.h"

#include <stdbool.h>

/*
 * What the trainer's side (writer.c) and the file thread's side
 * (writer_output.c) of the checkpoint writer say to each other.
 */

#define WRITER_PIECES_MAX 64

/* A checkpoint on its way. Belongs to the trainer until its first buffer is
 * sent, then to the file thread, and comes back with the last buffer. */
struct job {
    struct checkpoint_result result;
    size_t model_count;
    char prefixes[CHECKPOINT_MODELS_MAX][MODEL_NAME_MAX];
    char alias[MODEL_NAME_MAX];          /* of the first; "": none */
    size_t first[CHECKPOINT_MODELS_MAX]; /* of each model's tensors below */
    struct tensor *tensors; /* of all models, with prefixes; is_state: belongs
                               into the state file */
    size_t tensor_count;
    void *progress;
    size_t progress_bytes;
    const char *sync_path;
    struct manifest manifest;
};

/* job_free frees *self and sets it NULL; NULL is fine. */
void job_free(struct job **self);

/* A piece of a tensor in a buffer; they follow each other without gaps. */
struct buffered_piece {
    size_t tensor; /* in job->tensors */
    uint64_t offset;
    size_t bytes;
};

/* A buffer has one owner, like all that goes through a ring. */
struct buffer {
    struct job *job; /* there: with the first one; back: with the last */
    bool is_last;
    bool is_given_up; /* the last one: remove what was written */
    bool has_failed;  /* back: the job cannot succeed any more */
    size_t piece_count;
    struct buffered_piece pieces[WRITER_PIECES_MAX];
    size_t used;
    unsigned char *data;
};

struct output;

/* output_new gives the file thread's side, for checkpoints in s (borrowed
 * until output_free). */
must_check enum status output_new(struct output **out, const struct store *s,
                                  struct error *err);

/* output_free gives up what is running and frees *self. */
void output_free(struct output **self);

/* output_take does what a buffer asks for and readies it for its way back.
 * Thread: the file thread. Blocks. */
void output_take(struct output *o, struct buffer *b);

#endif
