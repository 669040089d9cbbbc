/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_DEAD_LETTERS_H
#define STAGES_DEAD_LETTERS_H

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * The dead-letter log of a role, a file in the directory dead_letters.path.
 * The same record is not written twice: what is not behind the last one in the
 * file is passed over.
 */
struct dead_letter;
struct dead_letters;
struct kafka_producer;
struct kafka_target;
struct topics;

/* dead_letters_open opens dir/name for appending; blocks. */
must_check enum status dead_letters_open(struct dead_letters **out,
                                         const char *dir, const char *name,
                                         struct error *err);
void dead_letters_close(struct dead_letters **self);

/* dead_letters_write appends encoded records; blocks. is_decided_anew: they may
 * be others than before a crash, and in any order, so none is passed over; one
 * may then be there twice. Thread: one at a time. */
must_check enum status dead_letters_write(struct dead_letters *d,
                                          const struct bytes *records,
                                          bool is_decided_anew,
                                          struct error *err);

/*
 * dead_letters_put encodes a letter behind those in *records. One that the
 * topic may not take as it is (topics NULL: a file) is cut, as is one that
 * comes cut: payload_max below payload_bytes. Thread: loop.
 */
must_check enum status dead_letters_put(struct bytes *records,
                                        const struct dead_letter *letter,
                                        const struct topics *topics,
                                        struct error *err);

/*
 * dead_letters_send sends encoded records to a topic, from byte *at on, which
 * moves behind what was sent; *unsettled rises by one each. AGAIN: the
 * producer's queue is full. The records are borrowed until they are delivered.
 * Thread: loop.
 */
must_check enum status dead_letters_send(struct kafka_producer *producer,
                                         struct kafka_target *topic,
                                         const struct bytes *records,
                                         size_t *at, size_t *unsettled,
                                         void *opaque, struct error *err);

#endif
