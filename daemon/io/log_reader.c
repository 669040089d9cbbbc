/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a log in files. zlib reads plain and gzip files through one call;
 * what follows the last line feed is held back for the next chunk.
 */
#include "daemon/base/digest.h"
#include "daemon/base/object.h"
#include "daemon/io/directory.h"
#include "daemon/io/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define READER_MAGIC  0x4c524452u
#define CHUNK_BYTES   (256u << 10)
#define CUT_BYTES     4096u /* what is kept of a line that is too long */
#define PARTITION_MAX 1024u

struct log_reader {
    unsigned magic;
    enum log_tail tail;
    size_t record_bytes_max;
    char **paths; /* one a partition */
    uint32_t path_count;
    uint32_t path_room;
    gzFile file; /* of paths[at.partition]; NULL: not open */
    int pipe;    /* of file, where it is no regular one; -1: it is */
    bool is_gzip;
    struct log_position at; /* of the first byte not given yet */
    struct bytes held;      /* read from at on, no line feed in it */
};

const char *
log_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

uint64_t
log_size_hint(const char *path)
{
    unsigned char magic[2] = {0, 0};
    unsigned char tail[4] = {0, 0, 0, 0};
    struct stat info;
    uint64_t size = 0;
    FILE *f;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return 0;
    f = fopen(path, "rbe");
    if (f == NULL)
        return 0;
    if (fread(magic, 1, 2, f) == 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        /* RFC 1952: a member ends with its size, modulo 2^32. */
        if (fseek(f, -4, SEEK_END) == 0 && fread(tail, 1, 4, f) == 4)
            size = (uint64_t)tail[0] | (uint64_t)tail[1] << 8 |
                   (uint64_t)tail[2] << 16 | (uint64_t)tail[3] << 24;
    } else {
        size = (uint64_t)info.st_size;
    }
    (void)fclose(f);
    return size;
}

enum status
log_chunk_new(struct log_chunk **out, size_t record_bytes_max,
              struct error *err)
{
    struct log_chunk *c = calloc(1, sizeof(*c));
    size_t capacity = record_bytes_max + 1;
    enum status st;

    if (c == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a chunk");
    if (capacity < CHUNK_BYTES)
        capacity = CHUNK_BYTES;
    bytes_init(&c->bytes, capacity);
    st = bytes_reserve(&c->bytes, capacity, err);
    if (st != STATUS_OK) {
        free(c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

void
log_chunk_free(struct log_chunk **self)
{
    if (*self == NULL)
        return;
    bytes_fini(&(*self)->bytes);
    free(*self);
    *self = NULL;
}

bool
log_chunk_next(struct log_chunk *chunk, struct log_line *line)
{
    while (chunk->cursor < chunk->bytes.used) {
        const char *start = chunk->bytes.data + chunk->cursor;
        size_t left = chunk->bytes.used - chunk->cursor;
        const char *end = memchr(start, '\n', left);
        size_t n = end != NULL ? (size_t)(end - start) : left;

        line->offset = chunk->first.offset + chunk->cursor;
        chunk->cursor += end != NULL ? n + 1 : n;
        line->next_offset = chunk->is_cut ? chunk->after.offset
                                          : chunk->first.offset + chunk->cursor;
        line->data = start;
        line->bytes = n;
        if (strspn(start, " \t\r") < n)
            return true;
    }
    return false;
}

static enum status
add_path(void *ctx, const char *name, struct error *err)
{
    struct log_reader *r = ctx;
    char **grown;

    if (name[0] == '.')
        return STATUS_OK;
    if (r->path_count == PARTITION_MAX)
        return error_set(err, STATUS_TOOBIG,
                         "more than %u files in one log directory",
                         PARTITION_MAX);
    if (r->path_count == r->path_room) {
        uint32_t room = r->path_room == 0 ? 16 : r->path_room * 2;

        grown = realloc(r->paths, room * sizeof(char *));
        if (grown == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for file names");
        r->paths = grown;
        r->path_room = room;
    }
    r->paths[r->path_count] = strdup(name);
    if (r->paths[r->path_count] == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a file name");
    r->path_count++;
    return STATUS_OK;
}

static int
compare_paths(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;

    return strcmp(*left, *right);
}

/* Replaces the names in r->paths by whole paths below the directory. */
static enum status
prefix_paths(struct log_reader *r, const char *dir, struct error *err)
{
    char joined[PATH_TEXT_MAX];

    for (uint32_t i = 0; i < r->path_count; i++) {
        enum status st = path_join(joined, dir, r->paths[i], err);
        char *copy = st == STATUS_OK ? strdup(joined) : NULL;

        if (st != STATUS_OK)
            return st;
        if (copy == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for a path");
        free(r->paths[i]);
        r->paths[i] = copy;
    }
    return STATUS_OK;
}

static enum status
list_partitions(struct log_reader *r, const char *path, struct error *err)
{
    struct stat info;
    enum status st;

    if (stat(path, &info) != 0)
        return error_errno(err, errno, "log %s", path);
    if (!S_ISDIR(info.st_mode))
        return add_path(r, path, err);
    st = directory_each(path, add_path, r, err);
    if (st != STATUS_OK)
        return st;
    if (r->path_count == 0)
        return error_set(err, STATUS_NOTFOUND,
                         "log %s: an empty directory, expected files of "
                         "NDJSON",
                         path);
    qsort(r->paths, r->path_count, sizeof(char *), compare_paths);
    return prefix_paths(r, path, err);
}

/* zlib would wait until its buffer is full. */
static gzFile
open_pipe(const char *path, int *fd)
{
    gzFile file = NULL;

    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0)
        file = gzdopen(*fd, "rb");
    if (*fd >= 0 && file == NULL)
        (void)close(*fd);
    return file;
}

/* Opens the file of partition r->at and moves to its offset. */
static enum status
open_partition(struct log_reader *r, struct error *err)
{
    const char *path = r->paths[r->at.partition];
    char before = '\n';
    struct stat info;

    if (stat(path, &info) != 0)
        return error_errno(err, errno, "log %s", path);
    r->pipe = -1;
    if (S_ISREG(info.st_mode))
        r->file = gzopen(path, "rb");
    else
        r->file = open_pipe(path, &r->pipe);
    if (r->file == NULL)
        return error_errno(err, errno != 0 ? errno : ENOMEM, "log %s", path);
    (void)gzbuffer(r->file, CHUNK_BYTES);
    r->is_gzip = r->pipe < 0 && info.st_size > 0 && gzdirect(r->file) == 0;
    bytes_clear(&r->held);
    if (r->at.offset == 0)
        return STATUS_OK;
    if (gzseek(r->file, (z_off_t)(r->at.offset - 1), SEEK_SET) < 0 ||
        gzread(r->file, &before, 1) != 1 ||
        (before != '\n' && r->tail == LOG_TAIL_WAIT))
        return error_set(err, STATUS_BADDATA,
                         "log %s: no line begins at offset %llu: the file was "
                         "replaced or cut since; --accept-reset starts from "
                         "its beginning",
                         path, (unsigned long long)r->at.offset);
    return STATUS_OK;
}

enum status
log_reader_open(struct log_reader **out, const char *path, enum log_tail tail,
                size_t record_bytes_max, struct log_position start,
                struct error *err)
{
    struct log_reader *r = calloc(1, sizeof(*r));
    enum status st;

    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a log reader");
    r->magic = READER_MAGIC;
    r->tail = tail;
    r->record_bytes_max = record_bytes_max;
    r->at = start;
    bytes_init(&r->held, record_bytes_max + 1 > CHUNK_BYTES
                             ? record_bytes_max + 1
                             : CHUNK_BYTES);
    st = list_partitions(r, path, err);
    if (st == STATUS_OK && start.partition >= r->path_count)
        st = error_set(err, STATUS_BADDATA,
                       "log %s: partition %u is gone, there are %u; "
                       "--accept-reset starts from its beginning",
                       path, start.partition, r->path_count);
    if (st == STATUS_OK)
        st = open_partition(r, err);
    if (st != STATUS_OK) {
        log_reader_close(&r);
        return st;
    }
    *out = r;
    return STATUS_OK;
}

void
log_reader_close(struct log_reader **self)
{
    struct log_reader *r;

    if (*self == NULL)
        return;
    OBJ_TAKE(r, self, READER_MAGIC);
    if (r->file != NULL)
        (void)gzclose_r(r->file);
    for (uint32_t i = 0; i < r->path_count; i++)
        free(r->paths[i]);
    free(r->paths);
    bytes_fini(&r->held);
    r->magic = 0;
    free(r);
}

/* Reads what has come. */
static enum status
read_pipe(struct log_reader *r, char *data, size_t n, size_t *got,
          struct error *err)
{
    ssize_t rc = read(r->pipe, data, n);

    *got = rc > 0 ? (size_t)rc : 0;
    if (rc < 0)
        return error_errno(err, errno, "log %s: reading",
                           r->paths[r->at.partition]);
    return STATUS_OK;
}

/* Reads up to n bytes; *got is 0 at the end of what is there now. */
static enum status
read_some(struct log_reader *r, char *data, size_t n, size_t *got,
          struct error *err)
{
    const char *path = r->paths[r->at.partition];
    const char *text;
    int zlib_error = Z_OK;
    int rc;

    if (r->pipe >= 0)
        return read_pipe(r, data, n, got, err);
    rc = gzread(r->file, data, (unsigned)n);
    text = gzerror(r->file, &zlib_error);
    *got = rc > 0 ? (size_t)rc : 0;
    if (rc > 0)
        return STATUS_OK;
    if (zlib_error == Z_ERRNO)
        return error_errno(err, errno, "log %s: reading", path);
    if (zlib_error != Z_OK && zlib_error != Z_STREAM_END)
        return error_set(err, STATUS_BADDATA,
                         "log %s: damaged or truncated gzip after offset "
                         "%llu: %s",
                         path, (unsigned long long)r->at.offset, text);
    gzclearerr(r->file); /* a plain file may grow */
    return STATUS_OK;
}

/* Reads the rest of a line that is too long, keeping its beginning. */
static enum status
cut_line(struct log_reader *r, struct log_chunk *chunk, struct error *err)
{
    struct digest *digest = NULL;
    char buf[4096];
    size_t got = 0;
    char *end = NULL;
    enum status st = digest_new(&digest, err);

    if (st != STATUS_OK)
        return st;
    digest_add(digest, chunk->bytes.data, chunk->bytes.used);
    chunk->whole_bytes = chunk->bytes.used;
    while (end == NULL) {
        size_t n;

        st = read_some(r, buf, sizeof(buf), &got, err);
        if (st != STATUS_OK || got == 0)
            break;
        end = memchr(buf, '\n', got);
        n = end != NULL ? (size_t)(end - buf) : got;
        digest_add(digest, buf, n);
        chunk->whole_bytes += n;
    }
    digest_finish(digest, chunk->sha256);
    digest_free(&digest);
    if (st != STATUS_OK)
        return st;
    chunk->is_cut = true;
    chunk->bytes.used = CUT_BYTES;
    chunk->after.offset =
        chunk->first.offset + chunk->whole_bytes + (end != NULL);
    if (end == NULL)
        return STATUS_OK;
    return bytes_append(&r->held, end + 1, got - (size_t)(end + 1 - buf), err);
}

/* Fills the chunk until it holds a line feed, is full, or nothing is left. */
static enum status
fill_chunk(struct log_reader *r, struct log_chunk *chunk, bool *is_end,
           struct error *err)
{
    struct bytes *b = &chunk->bytes;
    size_t got;

    *is_end = false;
    while (b->used < b->capacity) {
        enum status st =
            read_some(r, b->data + b->used, b->capacity - b->used, &got, err);

        if (st != STATUS_OK)
            return st;
        if (got == 0) {
            *is_end = true;
            return STATUS_OK;
        }
        b->used += got;
        if (memchr(b->data + b->used - got, '\n', got) != NULL)
            return STATUS_OK;
    }
    return STATUS_OK;
}

/* Gives what the chunk holds up to its last line feed; holds the rest. */
static enum status
settle_chunk(struct log_reader *r, struct log_chunk *chunk, bool is_end,
             struct error *err)
{
    struct bytes *b = &chunk->bytes;
    const char *feed = memrchr(b->data, '\n', b->used);
    size_t whole = feed != NULL ? (size_t)(feed - b->data) + 1 : 0;
    enum status st = STATUS_OK;

    if (feed == NULL && !is_end && b->used > r->record_bytes_max) {
        st = cut_line(r, chunk, err);
    } else if (feed == NULL && is_end && r->tail == LOG_TAIL_TAKE &&
               b->used <= r->record_bytes_max) {
        chunk->after.offset = chunk->first.offset + b->used;
    } else {
        st = bytes_append(&r->held, b->data + whole, b->used - whole, err);
        b->used = whole;
        chunk->after.offset = chunk->first.offset + whole;
    }
    if (st == STATUS_OK)
        r->at = chunk->after;
    return st;
}

/* Moves on to the next file; false when this was the last. */
static bool
next_partition(struct log_reader *r)
{
    if (r->at.partition + 1 >= r->path_count)
        return false;
    (void)gzclose_r(r->file);
    r->file = NULL;
    r->at = (struct log_position){.partition = r->at.partition + 1};
    return true;
}

enum status
log_reader_read(struct log_reader *r, struct log_chunk *chunk,
                struct error *err)
{
    bool is_end;
    enum status st;

    OBJ_CHECK(r, READER_MAGIC);
    for (;;) {
        if (r->file == NULL) {
            st = open_partition(r, err);
            if (st != STATUS_OK)
                return st;
        }
        bytes_clear(&chunk->bytes);
        chunk->cursor = 0;
        chunk->is_cut = false;
        chunk->first = r->at;
        chunk->after = r->at;
        st = bytes_append(&chunk->bytes, r->held.data, r->held.used, err);
        if (st != STATUS_OK)
            return st;
        bytes_clear(&r->held);
        st = fill_chunk(r, chunk, &is_end, err);
        if (st != STATUS_OK)
            return st;
        st = settle_chunk(r, chunk, is_end, err);
        if (st != STATUS_OK)
            return st;
        if (chunk->bytes.used > 0)
            return STATUS_OK;
        if (is_end && !next_partition(r))
            return STATUS_END;
    }
}
