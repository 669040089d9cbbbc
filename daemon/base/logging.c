/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log on stderr. Level and form are the process's, set once at start.
 */
#include "daemon/base/logging.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static atomic_uint log_level_now = LOG_LEVEL_INFO;
static enum log_format log_format_now = LOG_FORMAT_LOGFMT;
static const char *line_start = ""; /* clears a progress line */

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static void
format_time(char out[64])
{
    struct timespec now;
    struct tm utc;
    char seconds[24];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out, 64, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Escapes text for a JSON string; cuts what does not fit. */
static void
escape_json(char *out, size_t room, const char *text)
{
    size_t used = 0;

    for (const char *p = text; *p != '\0' && used + 7 < room; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\') {
            out[used++] = '\\';
            out[used++] = (char)c;
        } else if (c < 0x20) {
            used += (size_t)snprintf(out + used, room - used, "\\u%04x", c);
        } else {
            out[used++] = (char)c;
        }
    }
    out[used] = '\0';
}

void
log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level_now, level, memory_order_relaxed);
}

void
log_open(enum log_level level, enum log_format format)
{
    log_set_level(level);
    log_format_now = format;
    line_start = isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "";
}

int
log_enabled(enum log_level level)
{
    return level <= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

void
log_line(enum log_level level, const char *event, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    char escaped[2 * LINE_MAX_BYTES];
    char time_text[64];
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    format_time(time_text);
    if (log_format_now == LOG_FORMAT_LOGFMT) {
        for (char *p = text; *p != '\0'; p++) {
            if ((unsigned char)*p < 0x20)
                *p = ' ';
        }
        (void)fprintf(stderr, "%s%s %s %s%s%s\n", line_start, time_text,
                      level_names[level], event, text[0] != '\0' ? " " : "",
                      text);
    } else {
        escape_json(escaped, sizeof(escaped), text);
        (void)fprintf(stderr,
                      "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\","
                      "\"text\":\"%s\"}\n",
                      time_text, level_names[level], event, escaped);
    }
}
