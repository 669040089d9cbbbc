/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling struct error.
 */
#include "daemon/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#undef error_set
#undef error_errno

static enum status
pick_status(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STATUS_FULL;
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_DENIED;
    case ENOMEM:
        return STATUS_NOMEM;
    default:
        return STATUS_IO;
    }
}

enum status
error_set(struct error *err, enum status st, const char *format, ...)
{
    va_list args;

    assert(err != NULL);
    err->status = st;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return st;
}

enum status
error_errno(struct error *err, int errno_value, const char *format, ...)
{
    va_list args;
    char buf[128];
    size_t used;

    assert(err != NULL);
    err->status = pick_status(errno_value);
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                   strerror_r(errno_value, buf, sizeof(buf)));
    return err->status;
}

void
error_clear(struct error *err)
{
    assert(err != NULL);
    err->status = STATUS_OK;
    err->text[0] = '\0';
}
