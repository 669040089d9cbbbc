/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOG_FILE_H
#define IO_LOG_FILE_H

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A log in files: lines of NDJSON, plain or gzip (for reading only). A file is
 * one partition; a directory has one partition a file, in the order of their
 * names, read one after the other. An offset is the position of a line's first
 * byte in the uncompressed file. Every call may block: not for the loop.
 */

struct log_position {
    uint32_t partition;
    uint64_t offset;
};

/* log_name lends what a log is called in records: the last part of its path,
 * so that a record does not depend on where the log lies. Thread: any. */
const char *log_name(const char *path);

/* log_size_hint guesses a log's uncompressed bytes, for progress alone: 0 where
 * it cannot be known. Blocks. Thread: any. */
uint64_t log_size_hint(const char *path);

/*
 * Complete lines of one partition. A line that is longer than a record may be
 * comes alone in its chunk, cut to its beginning.
 */
struct log_chunk {
    struct bytes bytes;
    struct log_position first; /* of the first byte */
    struct log_position after; /* where reading goes on behind the chunk */
    bool is_cut;               /* one line, cut */
    uint64_t whole_bytes;      /* of the cut line */
    char sha256[65];           /* of the whole cut line */
    size_t cursor;             /* of log_chunk_next */
};

/* One line, without its line feed; lends the chunk's bytes. */
struct log_line {
    const char *data;
    size_t bytes;
    uint64_t offset;
    uint64_t next_offset; /* of the byte behind its line feed */
};

/* log_chunk_new gives an empty chunk for records up to record_bytes_max. */
must_check enum status log_chunk_new(struct log_chunk **out,
                                     size_t record_bytes_max,
                                     struct error *err);
void log_chunk_free(struct log_chunk **self);

/* log_chunk_next gives the next line that is not blank, or false. */
bool log_chunk_next(struct log_chunk *chunk, struct log_line *line);

/* What to do at the end of a file with a last line that has no line feed. */
enum log_tail {
    LOG_TAIL_WAIT, /* it is still being written: not there yet */
    LOG_TAIL_TAKE, /* nobody writes any more: it is a line */
};

struct log_reader;

/*
 * log_reader_open opens a file or directory at a position (BADDATA when the
 * file is shorter than that: it was replaced). NOTFOUND, DENIED.
 */
must_check enum status log_reader_open(struct log_reader **out,
                                       const char *path, enum log_tail tail,
                                       size_t record_bytes_max,
                                       struct log_position start,
                                       struct error *err);
void log_reader_close(struct log_reader **self);

/*
 * log_reader_read fills *chunk with the next complete lines. END: there are
 * none (a plain file may grow; then later calls give more). BADDATA: damaged
 * gzip, with the place; all complete lines before it were given.
 */
must_check enum status log_reader_read(struct log_reader *r,
                                       struct log_chunk *chunk,
                                       struct error *err);

struct log_writer;

/*
 * log_writer_open opens a plain file for appending, creating it and its
 * folders; takes its lock (LOCKED names the holder); cuts a torn last line
 * off. last_line gets the last complete line, empty when there is none.
 */
must_check enum status log_writer_open(struct log_writer **out,
                                       const char *path,
                                       struct bytes *last_line,
                                       struct error *err);

/* log_writer_append writes whole lines; on failure none of them is there. */
must_check enum status log_writer_append(struct log_writer *w,
                                         const void *lines, size_t n,
                                         struct error *err);

/* log_writer_close releases the lock; NULL is fine. */
void log_writer_close(struct log_writer **self);

/* log_sync returns when what is in the file at path is on the device. An
 * absent file is fine. */
must_check enum status log_sync(const char *path, struct error *err);

#endif
