/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_LETTERS_H
#define TRAIN_LETTERS_H

#include "stages/pipeline.h"

/*
 * Dead letters of the train role in a topic: a batch goes to the trainer when
 * its letters are acknowledged, so no checkpoint passes one that is not.
 * Thread: loop.
 */
struct letters;

/* letters_open gets ready; on_acknowledged follows each letters_send. */
must_check enum status letters_open(struct letters **out, struct pipeline *p,
                                    void (*on_acknowledged)(void *ctx),
                                    void *ctx, struct error *err);

/* letters_send sends the letters of one batch, which is borrowed until
 * on_acknowledged. CONFIG. */
must_check enum status letters_send(struct letters *l, const struct batch *b,
                                    struct error *err);

/* letters_stop gives up what is not acknowledged, without a call: the batch is
 * the caller's, to be kept until the pipeline's calls have ended. */
void letters_stop(struct letters *l);

void letters_free(struct letters **self);

#endif
