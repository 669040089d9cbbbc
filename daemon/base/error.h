/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "daemon/base/macros.h"
#include "daemon/base/status.h"

#include <stdarg.h>

/*
 * What went wrong, in words for a person. The place that fails fills it; it is
 * printed or logged once, where it is handled.
 */

#define ERROR_TEXT_MAX 1024

struct error {
    enum status status;
    char text[ERROR_TEXT_MAX];
};

/*
 * error_set writes status and text (cut at ERROR_TEXT_MAX) into *err and
 * returns the status, so that a failing place is one `return error_set(...)`.
 * The text says what, where, and what was expected. Thread: any.
 */
print_like(3, 4) enum status
    error_set(struct error *err, enum status st, const char *format, ...);

/*
 * error_errno is error_set for a failed system call: picks the status from
 * errno_value (ENOSPC: FULL, ENOENT: NOTFOUND, EACCES: DENIED, ENOMEM: NOMEM,
 * else IO) and appends ": " and its text. Thread: any.
 */
print_like(3, 4) enum status
    error_errno(struct error *err, int errno_value, const char *format, ...);

#ifdef __clang_analyzer__
/* What the two promise, where an analyzer cannot see their bodies. */
#define error_set(err, st, ...) (error_set((err), (st), __VA_ARGS__), (st))
#define error_errno(...)        (error_errno(__VA_ARGS__), STATUS_IO)
#endif

/* error_clear makes *err say OK with an empty text. Thread: any. */
void error_clear(struct error *err);

#endif
