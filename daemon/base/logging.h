/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOGGING_H
#define BASE_LOGGING_H

#include "daemon/base/macros.h"

/*
 * One line an event on stderr, `key=value`, the first key a stable event name:
 *
 *   2026-11-23T16:21:02.120Z info checkpoint_done version=42 bytes=7695
 *
 * Levels: error, a person must act; warn, the daemon coped; info, life and
 * configuration changes; debug, the rest. Payloads and user identifiers are
 * never logged. Thread: any; a line is written whole.
 */

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_LOGFMT,
    LOG_FORMAT_JSON, /* {"time","level","event","text"} */
};

/* log_open sets level and form for the process, once, before threads start. On
 * a terminal every line first clears what progress was drawn there. */
void log_open(enum log_level level, enum log_format format);

/* log_set_level sets the level alone, at any time. */
void log_set_level(enum log_level level);

/* log_enabled says whether a line of this level would be written. */
int log_enabled(enum log_level level);

/* log_line writes one line; the format makes the rest of it, key=value. */
print_like(3, 4) void log_line(enum log_level level, const char *event,
                               const char *format, ...);

#define log_error(event, ...) log_line(LOG_LEVEL_ERROR, (event), __VA_ARGS__)
#define log_warn(event, ...)  log_line(LOG_LEVEL_WARN, (event), __VA_ARGS__)
#define log_info(event, ...)  log_line(LOG_LEVEL_INFO, (event), __VA_ARGS__)
#define log_debug(event, ...) log_line(LOG_LEVEL_DEBUG, (event), __VA_ARGS__)

#endif
