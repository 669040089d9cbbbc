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
    size_t row_bytes_max;  /* beside the events */
    size_t soft_bytes_max; /* of a soft label's tasks */
};

/* label_frame_init begins an empty frame; label_frame_fini frees it. */
void label_frame_init(struct label_frame *f);
void label_frame_fini(struct label_frame *f);

/*
 * label_frame_set takes over the teacher of a label, its tasks (borrowed until
 * the next call) and, of its source, all but partition and offset. NOMEM.
 * Thread: any. Allocates: at the first calls, until a frame fits.
 */
must_check enum status label_frame_set(struct label_frame *f,
                                       const struct label *label,
                                       struct error *err);

/* label_frame_bytes_max is room for this label in this frame. */
size_t label_frame_bytes_max(const struct label_frame *f,
                             const struct label *label);

/* label_frame_imagined_max is what an imagined event of so many bytes adds to
 * a label at most. */
size_t label_frame_imagined_max(const struct label_frame *f,
                                size_t event_bytes);

/*
 * label_frame_write writes a label and its line feed, as label_write does, and
 * gives its length. Of the label it reads partition, offset, logits, choice,
 * event and imagined events; out has room for label_frame_bytes_max. Thread:
 * any. Allocates: nothing.
 */
size_t label_frame_write(const struct label_frame *f, const struct label *label,
                         char *out);

#endif
