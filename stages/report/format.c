/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people read them.
 */
#include "stages/report/format.h"

#include "daemon/base/macros.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

print_like(2, 3) static struct short_text
    print_number(double value, const char *format, ...)
{
    struct short_text out = {"n/a"};
    va_list args;

    if (!isfinite(value))
        return out;
    va_start(args, format);
    (void)vsnprintf(out.text, sizeof(out.text), format, args);
    va_end(args);
    return out;
}

struct short_text
format_count(double value)
{
    struct short_text plain = print_number(value, "%.0f", value);
    struct short_text out = {""};
    size_t len = strlen(plain.text);
    size_t first = plain.text[0] == '-' ? 1 : 0;
    size_t used = 0;

    if (!isfinite(value) || len + len / 3 >= SHORT_TEXT)
        return plain;
    for (size_t i = 0; i < len; i++) {
        if (i > first && (len - i) % 3 == 0)
            out.text[used++] = ',';
        out.text[used++] = plain.text[i];
    }
    return out;
}

struct short_text
format_fixed(double value, int digits)
{
    return print_number(value, "%.*f", digits, value);
}

struct short_text
format_change(double value, int digits)
{
    struct short_text zero = print_number(0.0, "%.*f", digits, 0.0);
    struct short_text size = print_number(value, "%.*f", digits, fabs(value));

    if (strcmp(size.text, zero.text) == 0)
        return print_number(value, "±%s", size.text);
    return print_number(value, "%s%.*f", value < 0.0 ? "−" : "+", digits,
                        fabs(value));
}

struct short_text
format_percent(double share)
{
    return print_number(share, "%.1f %%", 100.0 * share);
}

struct short_text
format_bytes(double bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    size_t unit = 0;

    while (bytes >= 999.5 && unit + 1 < COUNT(units)) {
        bytes /= 1000.0;
        unit++;
    }
    return print_number(bytes, "%.*f %s", unit > 0 && bytes < 9.95 ? 1 : 0,
                        bytes, units[unit]);
}

struct short_text
format_times(double ratio)
{
    int digits = ratio < 9.95 ? 1 : 0;

    return print_number(ratio, "%.*f×", ratio < 0.995 ? 2 : digits, ratio);
}

struct short_text
format_seconds(double seconds)
{
    double minutes = floor(seconds / 60.0);

    if (seconds < 120.0)
        return print_number(seconds, "%.*f s", seconds < 9.95 ? 1 : 0, seconds);
    return print_number(seconds, "%.0f min %.0f s", minutes,
                        seconds - 60.0 * minutes);
}
