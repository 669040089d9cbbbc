/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: atomic writing, bounded reading, mapping, locking.
 */
#include "daemon/io/file.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"
#include "daemon/io/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAGIC  0xf11e0001u
#define LOCK_MAGIC  0xf11e0002u
#define COPY_BYTES  ((size_t)1 << 20)
#define CHUNK_BYTES ((size_t)1 << 30) /* most in one system call */

struct file {
    unsigned magic;
    int fd;
    bool is_temp; /* temp_path still has to become path */
    char path[PATH_TEXT_MAX];
    char temp_path[PATH_TEXT_MAX];
};

struct file_lock {
    unsigned magic;
    int fd;
};

/* Splits path into its directory and a lent name. */
static const char *
split_path(const char *path, char dir[PATH_TEXT_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len;

    if (slash == NULL) {
        memcpy(dir, ".", 2);
        return path;
    }
    len = (size_t)(slash - path);
    memcpy(dir, len == 0 ? "/" : path, len == 0 ? 1 : len);
    dir[len == 0 ? 1 : len] = '\0';
    return slash + 1;
}

static enum status
new_file(struct file **out, const char *path, struct error *err)
{
    size_t len = strlen(path);
    struct file *f;

    *out = NULL;
    if (len == 0 || len >= PATH_TEXT_MAX)
        return error_set(err, STATUS_TOOBIG, "\"%s\": not a usable path", path);
    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return error_set(err, STATUS_NOMEM, "%s: no memory to open it", path);
    f->magic = FILE_MAGIC;
    f->fd = -1;
    memcpy(f->path, path, len + 1);
    *out = f;
    return STATUS_OK;
}

enum status
file_open_temp(struct file **out, const char *path, struct error *err)
{
    char dir[PATH_TEXT_MAX];
    const char *name;
    struct file *f;
    enum status st = new_file(&f, path, err);
    int n;

    *out = NULL;
    if (st != STATUS_OK)
        return st;
    assert(f != NULL);
    name = split_path(path, dir);
    n = snprintf(f->temp_path, sizeof(f->temp_path), "%s/.%s.tmp-%ld", dir,
                 name, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof(f->temp_path)) {
        st = error_set(err, STATUS_TOOBIG, "%s: path is too long", path);
        goto out;
    }
    f->fd = open(f->temp_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
                 (mode_t)0644);
    if (f->fd < 0) {
        st = error_errno(err, errno, "%s: cannot create", f->temp_path);
        goto out;
    }
    f->is_temp = true;
    *out = f;
    f = NULL;
out:
    file_close(&f);
    return st;
}

enum status
file_open_new(struct file **out, const char *path, struct error *err)
{
    struct file *f;
    enum status st = new_file(&f, path, err);

    *out = NULL;
    if (st != STATUS_OK)
        return st;
    assert(f != NULL);
    f->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)0644);
    if (f->fd < 0) {
        st = error_errno(err, errno, "%s: cannot create", path);
        file_close(&f);
        return st;
    }
    *out = f;
    return STATUS_OK;
}

enum status
file_write(struct file *f, const void *data, size_t n, struct error *err)
{
    const char *at = data;

    OBJ_CHECK(f, FILE_MAGIC);
    while (n > 0) {
        ssize_t done = write(f->fd, at, n < CHUNK_BYTES ? n : CHUNK_BYTES);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, errno, "%s: cannot write", f->path);
        at += done;
        n -= (size_t)done;
    }
    return STATUS_OK;
}

enum status
file_write_at(struct file *f, const void *data, size_t n, uint64_t offset,
              struct error *err)
{
    const char *at = data;

    OBJ_CHECK(f, FILE_MAGIC);
    while (n > 0) {
        ssize_t done =
            pwrite(f->fd, at, n < CHUNK_BYTES ? n : CHUNK_BYTES, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, errno, "%s: cannot write", f->path);
        at += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return STATUS_OK;
}

enum status
file_resize(struct file *f, uint64_t bytes, struct error *err)
{
    OBJ_CHECK(f, FILE_MAGIC);
    if (ftruncate(f->fd, (off_t)bytes) != 0)
        return error_errno(err, errno, "%s: cannot make it %llu bytes long",
                           f->path, (unsigned long long)bytes);
    return STATUS_OK;
}

enum status
file_sync(struct file *f, struct error *err)
{
    OBJ_CHECK(f, FILE_MAGIC);
    if (fsync(f->fd) != 0)
        return error_errno(err, errno, "%s: fsync", f->path);
    return STATUS_OK;
}

enum status
file_commit(struct file *f, struct error *err)
{
    char dir[PATH_TEXT_MAX];
    enum status st;

    OBJ_CHECK(f, FILE_MAGIC);
    st = file_sync(f, err);
    if (st != STATUS_OK)
        return st;
    if (f->is_temp) {
        crash_point("file_before_rename");
        if (rename(f->temp_path, f->path) != 0)
            return error_errno(err, errno, "%s: cannot rename to %s",
                               f->temp_path, f->path);
        f->is_temp = false;
    }
    (void)split_path(f->path, dir);
    return directory_sync(dir, err);
}

void
file_close(struct file **self)
{
    struct file *f = *self;

    if (f == NULL)
        return;
    OBJ_CHECK(f, FILE_MAGIC);
    if (f->fd >= 0)
        (void)close(f->fd);
    if (f->is_temp)
        (void)unlink(f->temp_path);
    f->magic = 0;
    free(f);
    *self = NULL;
}

enum status
file_replace(const char *path, const void *data, size_t n, struct error *err)
{
    struct file *f = NULL;
    enum status st;

    st = file_open_temp(&f, path, err);
    if (st != STATUS_OK)
        goto out;
    st = file_write(f, data, n, err);
    if (st != STATUS_OK)
        goto out;
    st = file_commit(f, err);
out:
    file_close(&f);
    return st;
}

/* Opens a regular file for reading and gives its size. */
static enum status
open_regular(int *fd, uint64_t *bytes, const char *path, struct error *err)
{
    struct stat sb;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum status st = STATUS_OK;

    *fd = -1;
    if (opened < 0)
        return error_errno(err, errno, "%s", path);
    if (fstat(opened, &sb) != 0)
        st = error_errno(err, errno, "%s", path);
    else if (!S_ISREG(sb.st_mode))
        st = error_set(err, STATUS_NOTFOUND, "%s: not a regular file", path);
    if (st != STATUS_OK) {
        (void)close(opened);
        return st;
    }
    *fd = opened;
    *bytes = (uint64_t)sb.st_size;
    return STATUS_OK;
}

/* Reads up to n bytes; *got is less only at the end of the file. */
static enum status
read_full(int fd, void *buf, size_t n, size_t *got, const char *path,
          struct error *err)
{
    char *at = buf;

    *got = 0;
    while (*got < n) {
        ssize_t done = read(fd, at + *got, n - *got);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, errno, "%s: cannot read", path);
        if (done == 0)
            break;
        *got += (size_t)done;
    }
    return STATUS_OK;
}

enum status
file_read_all(const char *path, size_t bytes_max, char **data, size_t *len,
              struct error *err)
{
    uint64_t bytes = 0;
    char *buf = NULL;
    int fd = -1;
    enum status st;

    *data = NULL;
    *len = 0;
    st = open_regular(&fd, &bytes, path, err);
    if (st != STATUS_OK)
        goto out;
    if (bytes > bytes_max) {
        st = error_set(err, STATUS_TOOBIG,
                       "%s: %llu bytes, at most %zu are read", path,
                       (unsigned long long)bytes, bytes_max);
        goto out;
    }
    buf = malloc((size_t)bytes + 1);
    if (buf == NULL) {
        st = error_set(err, STATUS_NOMEM, "%s: no memory for %llu bytes", path,
                       (unsigned long long)bytes);
        goto out;
    }
    st = read_full(fd, buf, (size_t)bytes, len, path, err);
    if (st != STATUS_OK)
        goto out;
    buf[*len] = '\0';
    *data = buf;
    buf = NULL;
out:
    free(buf);
    if (fd >= 0)
        (void)close(fd);
    return st;
}

enum status
file_digest(const char *path, char hex[DIGEST_HEX_SIZE], uint64_t *size,
            struct error *err)
{
    struct digest *digest = NULL;
    uint64_t bytes = 0;
    uint64_t total = 0;
    size_t got = 1;
    char *buf = NULL;
    int fd = -1;
    enum status st;

    hex[0] = '\0';
    st = open_regular(&fd, &bytes, path, err);
    if (st != STATUS_OK)
        goto out;
    st = digest_new(&digest, err);
    if (st != STATUS_OK)
        goto out;
    buf = malloc(COPY_BYTES);
    if (buf == NULL) {
        st = error_set(err, STATUS_NOMEM, "%s: no memory to read it", path);
        goto out;
    }
    while (got > 0) {
        st = read_full(fd, buf, COPY_BYTES, &got, path, err);
        if (st != STATUS_OK)
            goto out;
        digest_add(digest, buf, got);
        total += got;
    }
    digest_finish(digest, hex);
    if (size != NULL)
        *size = total;
out:
    free(buf);
    digest_free(&digest);
    if (fd >= 0)
        (void)close(fd);
    return st;
}

enum status
file_copy(const char *source, const char *target, bool may_link,
          struct error *err)
{
    struct file *f = NULL;
    uint64_t bytes = 0;
    size_t got = 1;
    char *buf = NULL;
    int fd = -1;
    enum status st;

    if (may_link && link(source, target) == 0)
        return STATUS_OK;
    st = open_regular(&fd, &bytes, source, err);
    if (st != STATUS_OK)
        goto out;
    st = file_open_new(&f, target, err);
    if (st != STATUS_OK)
        goto out;
    buf = malloc(COPY_BYTES);
    if (buf == NULL) {
        st = error_set(err, STATUS_NOMEM, "%s: no memory to copy it", source);
        goto out;
    }
    while (got > 0) {
        st = read_full(fd, buf, COPY_BYTES, &got, source, err);
        if (st != STATUS_OK)
            goto out;
        st = file_write(f, buf, got, err);
        if (st != STATUS_OK)
            goto out;
    }
    st = file_sync(f, err);
out:
    free(buf);
    file_close(&f);
    if (fd >= 0)
        (void)close(fd);
    return st;
}

enum status
file_map(struct file_map *out, const char *path, struct error *err)
{
    uint64_t bytes = 0;
    void *data = NULL;
    int fd = -1;
    enum status st;

    *out = (struct file_map){0};
    st = open_regular(&fd, &bytes, path, err);
    if (st != STATUS_OK)
        return st;
    if (bytes > SIZE_MAX) {
        st = error_set(err, STATUS_TOOBIG, "%s: too large to map", path);
    } else if (bytes > 0) {
        data = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            st = error_errno(err, errno, "%s: cannot map", path);
    }
    (void)close(fd);
    if (st == STATUS_OK) {
        out->data = data;
        out->bytes = (size_t)bytes;
    }
    return st;
}

void
file_unmap(struct file_map *m)
{
    if (m->data != NULL) {
        /* munmap changes nothing of it, it only lacks the const. */
        union {
            const void *read_only;
            void *any;
        } address = {.read_only = m->data};

        (void)munmap(address.any, m->bytes);
    }
    *m = (struct file_map){0};
}

/* Reads who holds the lock, for the message; 0 when it does not say. */
static long
read_holder(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static enum status
refuse_lock(int fd, int errno_value, const char *path, struct error *err)
{
    long holder;

    if (errno_value != EWOULDBLOCK)
        return error_errno(err, errno_value, "%s: cannot lock", path);
    holder = read_holder(fd);
    if (holder <= 0)
        return error_set(err, STATUS_LOCKED, "%s: held by another process",
                         path);
    return error_set(err, STATUS_LOCKED, "%s: held by process %ld", path,
                     holder);
}

enum status
file_lock_take(struct file_lock **out, const char *path, struct error *err)
{
    struct file_lock *l = NULL;
    char text[32];
    enum status st = STATUS_OK;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, (mode_t)0644);
    int n;

    *out = NULL;
    if (fd < 0)
        return error_errno(err, errno, "%s: cannot open the lock", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        st = refuse_lock(fd, errno, path, err);
        goto out;
    }
    /* The number is for people only: a full disk may lose it. */
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && n > 0 && pwrite(fd, text, (size_t)n, 0) < 0)
        (void)ftruncate(fd, 0);
    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        st = error_set(err, STATUS_NOMEM, "%s: no memory for the lock", path);
        goto out;
    }
    l->magic = LOCK_MAGIC;
    l->fd = fd;
    fd = -1;
    *out = l;
out:
    if (fd >= 0)
        (void)close(fd);
    return st;
}

void
file_lock_release(struct file_lock **self)
{
    struct file_lock *l = *self;

    if (l == NULL)
        return;
    OBJ_CHECK(l, LOCK_MAGIC);
    (void)close(l->fd);
    l->magic = 0;
    free(l);
    *self = NULL;
}
