/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending to a log file: whole lines, or nothing.
 */
#include "daemon/base/crash.h"
#include "daemon/base/object.h"
#include "daemon/io/directory.h"
#include "daemon/io/file.h"
#include "daemon/io/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITER_MAGIC 0x4c575254u
#define TAIL_BYTES   4096u

struct log_writer {
    unsigned magic;
    int fd;
    uint64_t bytes; /* of whole lines */
    struct file_lock *lock;
    char *path;
};

/* Finds the last line feed before end; *found is 0 when there is none,
 * otherwise the offset behind it. */
static enum status
find_line_feed(struct log_writer *w, uint64_t end, uint64_t *found,
               struct error *err)
{
    char buf[TAIL_BYTES];

    *found = 0;
    while (end > 0) {
        size_t n = end < sizeof(buf) ? (size_t)end : sizeof(buf);
        ssize_t got = pread(w->fd, buf, n, (off_t)(end - n));
        const char *feed;

        if (got != (ssize_t)n)
            return error_errno(err, got < 0 ? errno : EIO, "log %s: reading",
                               w->path);
        feed = memrchr(buf, '\n', n);
        if (feed != NULL) {
            *found = end - n + (uint64_t)(feed - buf) + 1;
            return STATUS_OK;
        }
        end -= n;
    }
    return STATUS_OK;
}

/* Cuts a torn last line off and reads the last whole one. */
static enum status
read_tail(struct log_writer *w, struct bytes *last_line, struct error *err)
{
    off_t size = lseek(w->fd, 0, SEEK_END);
    uint64_t start = 0;
    enum status st;
    ssize_t got;

    bytes_clear(last_line);
    if (size < 0)
        return error_errno(err, errno, "log %s", w->path);
    st = find_line_feed(w, (uint64_t)size, &w->bytes, err);
    if (st != STATUS_OK)
        return st;
    if (w->bytes < (uint64_t)size && ftruncate(w->fd, (off_t)w->bytes) != 0)
        return error_errno(err, errno, "log %s: cutting a torn line", w->path);
    if (w->bytes == 0)
        return STATUS_OK;
    st = find_line_feed(w, w->bytes - 1, &start, err);
    if (st != STATUS_OK)
        return st;
    st = bytes_reserve(last_line, (size_t)(w->bytes - 1 - start), err);
    if (st != STATUS_OK)
        return st;
    got = pread(w->fd, last_line->data, (size_t)(w->bytes - 1 - start),
                (off_t)start);
    if (got != (ssize_t)(w->bytes - 1 - start))
        return error_errno(err, got < 0 ? errno : EIO, "log %s: reading",
                           w->path);
    last_line->used = (size_t)got;
    return STATUS_OK;
}

enum status
log_writer_open(struct log_writer **out, const char *path,
                struct bytes *last_line, struct error *err)
{
    struct log_writer *w = calloc(1, sizeof(*w));
    char *folder = strdup(path);
    char *lock_path = NULL;
    enum status st;

    if (w == NULL || folder == NULL || (w->path = strdup(path)) == NULL ||
        asprintf(&lock_path, "%s.lock", path) < 0) {
        st = error_set(err, STATUS_NOMEM, "no memory for a log writer");
        lock_path = NULL;
        goto out;
    }
    w->magic = WRITER_MAGIC;
    w->fd = -1;
    st = directory_make(dirname(folder), err);
    if (st != STATUS_OK)
        goto out;
    st = file_lock_take(&w->lock, lock_path, err);
    if (st != STATUS_OK)
        goto out;
    w->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (w->fd < 0) {
        st = error_errno(err, errno, "log %s", path);
        goto out;
    }
    st = read_tail(w, last_line, err);
    if (st != STATUS_OK)
        goto out;
    *out = w;
    w = NULL;

out:
    free(lock_path);
    free(folder);
    if (w != NULL && w->magic == WRITER_MAGIC)
        log_writer_close(&w);
    else
        free(w);
    return st;
}

enum status
log_writer_append(struct log_writer *w, const void *lines, size_t n,
                  struct error *err)
{
    const char *data = lines;
    size_t done = 0;

    OBJ_CHECK(w, WRITER_MAGIC);
    if (n == 0)
        return STATUS_OK;
    assert(data[n - 1] == '\n');
    while (done < n) {
        ssize_t rc = pwrite(w->fd, data + done, crash_piece(n - done),
                            (off_t)(w->bytes + done));

        if (rc < 0 && errno == EINTR)
            continue;
        if (rc < 0) {
            enum status st =
                error_errno(err, errno, "log %s: writing", w->path);

            (void)!ftruncate(w->fd, (off_t)w->bytes); /* whole lines only */
            return st;
        }
        done += (size_t)rc;
        if (done < n)
            crash_point("log_torn_line");
    }
    w->bytes += n;
    return STATUS_OK;
}

void
log_writer_close(struct log_writer **self)
{
    struct log_writer *w;

    if (*self == NULL)
        return;
    OBJ_TAKE(w, self, WRITER_MAGIC);
    if (w->fd >= 0)
        (void)close(w->fd);
    file_lock_release(&w->lock);
    free(w->path);
    w->magic = 0;
    free(w);
}

enum status
log_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status st = STATUS_OK;

    if (fd < 0 && errno == ENOENT)
        return STATUS_OK;
    if (fd < 0)
        return error_errno(err, errno, "log %s", path);
    if (fsync(fd) != 0)
        st = error_errno(err, errno, "log %s: syncing", path);
    (void)close(fd);
    return st;
}
