/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "daemon/base/digest.h"
#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Files that are either the old one or the new one, never half; reading them
 * whole or mapped; and the lock that lets one process own a directory. Every
 * call here may block: file threads, and start-up, only. errno ends here.
 */

struct file;

/*
 * file_open_temp begins a file that takes path's name at file_commit and not
 * before: it is written beside it, as ".<name>.tmp-<pid>". An old temporary
 * file of that name is overwritten.
 */
must_check enum status file_open_temp(struct file **out, const char *path,
                                      struct error *err);

/* file_open_new creates path itself, which must not exist yet. */
must_check enum status file_open_new(struct file **out, const char *path,
                                     struct error *err);

/* file_write appends n bytes, all of them or a failure. */
must_check enum status file_write(struct file *f, const void *data, size_t n,
                                  struct error *err);

/* file_write_at writes n bytes at an offset, all of them or a failure. */
must_check enum status file_write_at(struct file *f, const void *data, size_t n,
                                     uint64_t offset, struct error *err);

/* file_resize makes the file bytes long; what is added reads as zeros. */
must_check enum status file_resize(struct file *f, uint64_t bytes,
                                   struct error *err);

/* file_sync returns when the bytes are on the device. */
must_check enum status file_sync(struct file *f, struct error *err);

/* file_commit syncs, gives a temporary file its name, and syncs the
 * directory. The file stays open until file_close. */
must_check enum status file_commit(struct file *f, struct error *err);

/* file_close closes *self, removes it when it is a temporary file that was
 * not committed, and sets it NULL; NULL is fine. */
void file_close(struct file **self);

/* file_replace is temp, write, commit, close in one call. */
must_check enum status file_replace(const char *path, const void *data,
                                    size_t n, struct error *err);

/*
 * file_read_all gives the whole file in malloc's memory, with a NUL behind it
 * that *len does not count. TOOBIG when it is longer than bytes_max.
 */
must_check enum status file_read_all(const char *path, size_t bytes_max,
                                     char **data, size_t *len,
                                     struct error *err);

/* file_digest writes the SHA-256 of a file as hex, and its size (size may be
 * NULL). */
must_check enum status file_digest(const char *path, char hex[DIGEST_HEX_SIZE],
                                   uint64_t *size, struct error *err);

/* file_copy writes a synced copy of source as target, which must not exist;
 * hard links it instead where that is possible and may_link. */
must_check enum status file_copy(const char *source, const char *target,
                                 bool may_link, struct error *err);

/* A file's bytes in memory, read only. */
struct file_map {
    const unsigned char *data; /* NULL when the file is empty */
    size_t bytes;
};

/* file_map maps a regular file. The name in messages is path. */
must_check enum status file_map(struct file_map *out, const char *path,
                                struct error *err);

/* file_unmap ends it and clears *m; a cleared one is fine. */
void file_unmap(struct file_map *m);

struct file_lock;

/*
 * file_lock_take locks path (created when absent) for this process until
 * file_lock_release or the process's end, however it ends. LOCKED names the
 * process that holds it.
 */
must_check enum status file_lock_take(struct file_lock **out, const char *path,
                                      struct error *err);

/* file_lock_release ends the lock and sets *self NULL; NULL is fine. */
void file_lock_release(struct file_lock **self);

#endif
