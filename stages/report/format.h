/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_FORMAT_H
#define REPORT_FORMAT_H

#include <stddef.h>

/*
 * Numbers as people read them. Every one gives a value, so that it can stand
 * in an argument list; "n/a" for NaN and infinities. Thread: any.
 */

#define SHORT_TEXT 32

struct short_text {
    char text[SHORT_TEXT];
};

/* format_count gives "141,695". */
struct short_text format_count(double value);

/* format_fixed gives a number with so many digits after the point. */
struct short_text format_fixed(double value, int digits);

/* format_change is format_fixed with its sign, + or a true minus. */
struct short_text format_change(double value, int digits);

/* format_percent gives "24.5 %" for 0.245. */
struct short_text format_percent(double share);

/* format_bytes gives "912 B", "165 KB", "3.2 MB" (units of 1000). */
struct short_text format_bytes(double bytes);

/* format_times gives "132×", "4.2×", "0.83×". */
struct short_text format_times(double ratio);

/* format_seconds gives "0.8 s", "41 s", "3 min 5 s". */
struct short_text format_seconds(double seconds);

#endif
