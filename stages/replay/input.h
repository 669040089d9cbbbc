/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_INPUT_H
#define REPLAY_INPUT_H

#include "daemon/base/error.h"
#include "daemon/io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines of a file, a directory of files or standard input, read on a thread
 * into a fixed pool of chunks. A line's bytes stay where they are until the
 * line is settled: it can be sent without a copy. While all chunks wait for
 * lines to be settled nothing is read.
 *
 * Thread: loop.
 */
struct replay_input;

struct replay_line {
    const char *data; /* lent until the line is settled */
    size_t bytes;     /* of all of the line, where it is cut */
    uint64_t number;  /* from 1; blank lines do not count, repetitions do */
    uint64_t pass;    /* how often the input was begun again before */
    uint64_t read;    /* bytes of its file up to its end */
    void *hold;       /* for replay_input_settle */
    bool is_cut;      /* longer than REPLAY_LINE_MAX: data is its beginning */
};

#define REPLAY_LINE_MAX (1u << 20)

struct replay_input_spec {
    const char *path; /* "-": standard input; borrowed until close */
    bool loops;       /* begins again at its end, unless it is empty */
    loop_fn on_lines; /* there may be lines again, or the end */
    void *ctx;
};

/* replay_input_open opens it and begins to read. NOTFOUND, DENIED. */
must_check enum status replay_input_open(struct replay_input **out,
                                         struct loop *l,
                                         const struct replay_input_spec *spec,
                                         struct error *err);

/* replay_input_next gives the next line; the caller settles it. AGAIN:
 * on_lines will be called. END. BADDATA: damaged gzip, after all lines before
 * it; IO. */
must_check enum status replay_input_next(struct replay_input *in,
                                         struct replay_line *line,
                                         struct error *err);

/* replay_input_settle lets go of count lines with this hold. */
void replay_input_settle(struct replay_input *in, void *hold, size_t count);

/* replay_input_is_reading says whether the thread is in the middle of reading,
 * which replay_input_free would wait for: forever, where nothing comes. */
bool replay_input_is_reading(const struct replay_input *in);

/* replay_input_free frees *self and all lines, sets it NULL; NULL is fine. */
void replay_input_free(struct replay_input **self);

#endif
