/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_LABEL_FRAME_H
#define EVENT_LABEL_FRAME_H

#include "stages/event/label.h"

#include "daemon/base/bytes.h"

/*
 * What the labels of a batch have in common, encoded once: label_frame_write
 * then writes the same bytes as label_write, and only what differs from row to
 * row is looked at.
 */
struct label_frame {
    struct bytes text; /* head, tail, then a key a task, each with a NUL */
    size_t head_bytes; /* up to the partition */
    size_t tail_bytes; /* from behind the offset to the soft label */
    const struct event_task *tasks;
    size_t task_count;
    size_t row_bytes_max; /* beside the event */
};

/* label_frame_init begins an empty frame; label_frame_fini frees it. */
void label_frame_init(struct label_frame *f);
void label_frame_fini(struct label_frame *f);

/*
 * label_frame_set takes over all of a label but its partition, offset, logits
 * and event; borrows its tasks until the next call. NOMEM. Thread: any.
 * Allocates: at the first calls, until a frame fits.
 */
must_check enum status label_frame_set(struct label_frame *f,
                                       const struct label *label,
                                       struct error *err);

/* label_frame_bytes_max is room for any label of this frame with an event of
 * at most event_bytes. */
size_t label_frame_bytes_max(const struct label_frame *f, size_t event_bytes);

/*
 * label_frame_write writes the label and its line feed, as label_write does,
 * and gives its length. logits as in struct label, and so may be NULL; out has
 * room for label_frame_bytes_max. Thread: any. Allocates: nothing.
 */
size_t label_frame_write(const struct label_frame *f, int32_t partition,
                         int64_t offset, const float *logits, const char *event,
                         size_t event_bytes, char *out);

#endif
