/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values and expectations to text.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Text that is cut where it does not fit. */
struct text {
    char *at;
    size_t left; /* with the final NUL */
};

print_like(2, 3) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n >= t->left)
        n = (int)t->left - 1;
    t->at += n;
    t->left -= (size_t)n;
}

const char *
setting_text_number(char buf[SETTING_NUMBER_MAX], double number)
{
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(buf, SETTING_NUMBER_MAX, "%.*g", digits, number);
        if (strtod(buf, NULL) == number)
            break;
    }
    return buf;
}

/* The largest unit that divides the value. */
static const char *
text_units(char buf[SETTING_NUMBER_MAX], double value, const char *const *names,
           const double *factors, size_t n)
{
    size_t best = 0;
    char digits[SETTING_NUMBER_MAX];

    for (size_t i = 1; i < n && value > 0; i++) {
        if (fmod(value, factors[i]) == 0)
            best = i;
    }
    (void)snprintf(digits, sizeof(digits), "%.0f", value / factors[best]);
    (void)snprintf(buf, SETTING_NUMBER_MAX, "%.24s%s", digits, names[best]);
    return buf;
}

const char *
setting_text_limit(char buf[SETTING_NUMBER_MAX], enum setting_kind kind,
                   double number)
{
    static const char *const sizes[] = {"", "KiB", "MiB", "GiB", "TiB"};
    static const double powers[] = {1, 1024.0, 1048576.0, 1073741824.0,
                                    1099511627776.0};
    static const char *const times[] = {"ms", "s", "m", "h", "d"};
    static const double lengths[] = {1, 1e3, 60e3, 3600e3, 86400e3};

    if (kind == SETTING_BYTES)
        return text_units(buf, number, sizes, powers, COUNT(sizes));
    if (kind == SETTING_DURATION)
        return text_units(buf, number, times, lengths, COUNT(times));
    if (kind == SETTING_COUNT)
        (void)snprintf(buf, SETTING_NUMBER_MAX, "%.0f", number);
    else
        (void)setting_text_number(buf, number);
    return buf;
}

static void
put_range(struct text *t, const struct setting_row *row)
{
    enum setting_kind kind = setting_item_kind(row->kind);
    char low[SETTING_NUMBER_MAX];
    char high[SETTING_NUMBER_MAX];

    (void)setting_text_limit(low, kind, row->min);
    (void)setting_text_limit(high, kind, row->max);
    if (row->min > -HUGE_VAL && row->max < HUGE_VAL)
        put(t, " from %s to %s", low, high);
    else if (row->min > -HUGE_VAL)
        put(t, " of at least %s", low);
    else if (row->max < HUGE_VAL)
        put(t, " of at most %s", high);
}

static void
put_words(struct text *t, const struct setting_row *row)
{
    for (size_t i = 0; row->words[i] != NULL; i++) {
        const char *before = i == 0                      ? ""
                             : row->words[i + 1] == NULL ? " or "
                                                         : ", ";

        put(t, "%s%s", before, row->words[i]);
    }
}

static void
put_kind(struct text *t, const struct setting_row *row)
{
    const char *unit = *row->unit == '\0' ? "" : " of ";

    switch (setting_item_kind(row->kind)) {
    case SETTING_BOOL:
        put(t, "true or false");
        break;
    case SETTING_COUNT:
        put(t, "a whole number%s%s", unit, row->unit);
        put_range(t, row);
        break;
    case SETTING_BYTES:
        put(t, "a size such as 64KiB");
        put_range(t, row);
        break;
    case SETTING_DURATION:
        put(t, "a duration such as 5ms, 30s or 7d");
        put_range(t, row);
        break;
    case SETTING_NUMBER:
        if (row->words != NULL)
            put(t, "%s or ", row->words[0]);
        put(t, "a number%s%s", unit, row->unit);
        put_range(t, row);
        break;
    case SETTING_STRING:
        put(t, "%s", *row->unit == '\0' ? "text" : row->unit);
        put(t, " of %.0f to %.0f bytes", row->min, row->max);
        break;
    case SETTING_NAME:
        put(t, "a name of %.0f to %.0f letters, digits, '_', '.' or '-'",
            row->min, row->max);
        break;
    case SETTING_PATH:
        put(t, "a path of %.0f to %.0f bytes", row->min, row->max);
        break;
    case SETTING_ENUM:
        put_words(t, row);
        break;
    case SETTING_TIME:
        for (size_t i = 0; row->words[i] != NULL; i++)
            put(t, "%s, ", row->words[i]);
        put(t, "a time such as 2026-11-23T12:00:00Z, or seconds since 1970");
        break;
    case SETTING_COUNTS:
    case SETTING_NUMBERS:
    case SETTING_STRINGS:
    case SETTING_ENUMS:
        break;
    case SETTING_PROPERTIES:
        put(t, "at most %zu lines of 'property: text'", row->items_max);
        break;
    }
}

const char *
setting_describe(char buf[SETTING_DESCRIPTION_MAX],
                 const struct setting_row *row)
{
    struct text t = {.at = buf, .left = SETTING_DESCRIPTION_MAX};

    buf[0] = '\0';
    if (setting_is_list(row))
        put(&t, "a list such as [a, b] of at most %zu, each ", row->items_max);
    put_kind(&t, row);
    return buf;
}

/* Whether YAML of any version reads the text, unquoted, as this string. */
static bool
is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                            "YZ0123456789_./-");

    if (n == 0 || text[n] != '\0' || n > 60)
        return false;
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcasecmp(text, words[i]) == 0)
            return false;
    }
    return isalpha((unsigned char)text[0]) || text[0] == '/';
}

/* Quoted, so that no reader takes it for a date of its own. */
static void
write_time(int64_t time_ms, FILE *f)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    char text[64];

    if (time_ms == SETTING_EARLIEST || time_ms == SETTING_LATEST) {
        (void)fputs(time_ms == SETTING_LATEST ? "latest" : "earliest", f);
        return;
    }
    if (time_ms % 1000 < 0)
        seconds--;
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)fprintf(f, "\"%s.%03dZ\"", text,
                  (int)((time_ms % 1000 + 1000) % 1000));
}

static void
write_item(const struct setting_row *row, const void *at, FILE *f)
{
    enum setting_kind kind = setting_item_kind(row->kind);
    char number[SETTING_NUMBER_MAX];
    union setting_value v = {0};

    memcpy(&v, at, setting_bytes(kind));
    switch (kind) {
    case SETTING_BOOL:
        (void)fputs(v.is_true ? "true" : "false", f);
        break;
    case SETTING_COUNT:
    case SETTING_BYTES:
    case SETTING_DURATION:
        (void)fputs(setting_text_limit(number, kind, (double)v.count), f);
        break;
    case SETTING_NUMBER:
        (void)fputs(isinf(v.number) ? row->words[0]
                                    : setting_text_number(number, v.number),
                    f);
        break;
    case SETTING_STRING:
    case SETTING_NAME:
    case SETTING_PATH:
        setting_write_text(v.text, f);
        break;
    case SETTING_ENUM:
        setting_write_text(row->words[v.word], f); /* `on` is no flag */
        break;
    case SETTING_TIME:
        write_time(v.time_ms, f);
        break;
    case SETTING_COUNTS:
    case SETTING_NUMBERS:
    case SETTING_STRINGS:
    case SETTING_ENUMS:
    case SETTING_PROPERTIES:
        break;
    }
}

bool
setting_is_unset(const struct setting_row *row, const void *base)
{
    double number;

    if (row->kind != SETTING_NUMBER)
        return false;
    memcpy(&number, (const char *)base + row->offset, sizeof(number));
    return isnan(number);
}

void
setting_format(const struct setting_row *row, const void *base, FILE *f)
{
    const char *at = (const char *)base + row->offset;
    size_t bytes = setting_bytes(setting_item_kind(row->kind));
    struct setting_counts list;

    if (!setting_is_list(row)) {
        write_item(row, at, f);
        return;
    }
    memcpy(&list, at, sizeof(list));
    (void)fputc('[', f);
    for (size_t i = 0; i < list.count; i++) {
        (void)fputs(i == 0 ? "" : ", ", f);
        write_item(row, (const char *)list.items + i * bytes, f);
    }
    (void)fputc(']', f);
}

void
setting_write_text(const char *text, FILE *f)
{
    if (is_plain(text)) {
        (void)fputs(text, f);
        return;
    }
    (void)fputc('"', f);
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\')
            (void)fprintf(f, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(f, "\\x%02x", c);
        else if (strncmp(p, "${", 2) == 0)
            (void)fputs("$$", f); /* it stands for itself */
        else
            (void)fputc(c, f);
    }
    (void)fputc('"', f);
}
