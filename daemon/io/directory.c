/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories and the pointers in them.
 */
#include "daemon/io/directory.h"

#include "daemon/base/crash.h"
#include "daemon/base/object.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALK_FDS 16

enum status
path_join(char out[PATH_TEXT_MAX], const char *dir, const char *name,
          struct error *err)
{
    int n;

    assert(dir != NULL && name != NULL);
    n = snprintf(out, PATH_TEXT_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= PATH_TEXT_MAX)
        return error_set(err, STATUS_TOOBIG, "%s/%s: path is too long", dir,
                         name);
    return STATUS_OK;
}

static enum status
make_one(const char *path, struct error *err)
{
    struct stat sb;

    if (mkdir(path, 0755) == 0)
        return STATUS_OK;
    if (errno != EEXIST)
        return error_errno(err, errno, "%s: cannot make the directory", path);
    if (stat(path, &sb) != 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISDIR(sb.st_mode))
        return error_errno(err, ENOTDIR, "%s", path);
    return STATUS_OK;
}

enum status
directory_make(const char *path, struct error *err)
{
    char part[PATH_TEXT_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part))
        return error_set(err, STATUS_TOOBIG, "\"%s\": not a usable path", path);
    for (size_t i = 1; i < len; i++) {
        enum status st;

        if (path[i] != '/' || path[i - 1] == '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        st = make_one(part, err);
        if (st != STATUS_OK)
            return st;
    }
    return make_one(path, err);
}

enum status
directory_sync(const char *path, struct error *err)
{
    enum status st = STATUS_OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(err, errno, "%s: cannot open the directory", path);
    if (fsync(fd) != 0)
        st = error_errno(err, errno, "%s: fsync", path);
    (void)close(fd);
    return st;
}

static int
remove_entry(const char *path, const struct stat *sb, int kind,
             struct FTW *where)
{
    (void)sb;
    (void)kind;
    (void)where;
    return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

enum status
directory_remove(const char *path, struct error *err)
{
    if (nftw(path, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS) != 0 &&
        errno != ENOENT)
        return error_errno(err, errno, "%s: cannot remove", path);
    return STATUS_OK;
}

enum status
directory_rename(const char *source, const char *target, struct error *err)
{
    int result =
        renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE);

    /* Some file systems do not know the flag. A directory with something in
     * it is not replaced by rename either. */
    if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
        if (access(target, F_OK) == 0) {
            errno = EEXIST;
        } else {
            result = rename(source, target);
        }
    }
    if (result != 0)
        return error_errno(err, errno, "%s: cannot rename to %s", source,
                           target);
    return STATUS_OK;
}

enum status
directory_point(const char *dir, const char *name, const char *target,
                struct error *err)
{
    char link_path[PATH_TEXT_MAX];
    char temp_name[256];
    char temp_path[PATH_TEXT_MAX];
    enum status st;

    (void)snprintf(temp_name, sizeof(temp_name), ".%s.tmp-%ld", name,
                   (long)getpid());
    st = path_join(link_path, dir, name, err);
    if (st == STATUS_OK)
        st = path_join(temp_path, dir, temp_name, err);
    if (st != STATUS_OK)
        return st;
    (void)unlink(temp_path);
    if (symlink(target, temp_path) != 0)
        return error_errno(err, errno, "%s: cannot make the link", temp_path);
    crash_point("pointer_before_rename");
    if (rename(temp_path, link_path) != 0) {
        int failed = errno;

        (void)unlink(temp_path);
        return error_errno(err, failed, "%s: cannot move the link", link_path);
    }
    return directory_sync(dir, err);
}

enum status
directory_each(const char *path, directory_fn fn, void *ctx, struct error *err)
{
    enum status st = STATUS_OK;
    DIR *d = opendir(path);
    const struct dirent *entry;

    if (d == NULL)
        return error_errno(err, errno, "%s: cannot open the directory", path);
    while (st == STATUS_OK && (errno = 0, entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            st = fn(ctx, entry->d_name, err);
    }
    if (st == STATUS_OK && errno != 0)
        st = error_errno(err, errno, "%s: cannot list", path);
    (void)closedir(d);
    return st;
}
