/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to values, by kind and range, with messages that say what was expected;
 * and values to fields.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 9007199254740992.0 /* 2^53: exact in JSON too */
#define TEXT_MAX  64                 /* of a number, a size, a duration */

struct unit {
    const char *name;
    double factor;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"KiB", 1024.0},
    {"MiB", 1048576.0},
    {"GiB", 1073741824.0},
    {"TiB", 1099511627776.0},
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3},
};

bool
setting_is_list(const struct setting_row *row)
{
    return setting_item_kind(row->kind) != row->kind;
}

enum setting_kind
setting_item_kind(enum setting_kind kind)
{
    static const enum setting_kind items[] = {
        [SETTING_COUNTS] = SETTING_COUNT,
        [SETTING_NUMBERS] = SETTING_NUMBER,
        [SETTING_STRINGS] = SETTING_STRING,
        [SETTING_ENUMS] = SETTING_ENUM,
        [SETTING_PROPERTIES] = SETTING_PROPERTIES,
    };

    return kind < SETTING_COUNTS ? kind : items[kind];
}

size_t
setting_bytes(enum setting_kind kind)
{
    static const size_t bytes[] = {
        [SETTING_BOOL] = sizeof(bool),
        [SETTING_COUNT] = sizeof(uint64_t),
        [SETTING_BYTES] = sizeof(uint64_t),
        [SETTING_DURATION] = sizeof(uint64_t),
        [SETTING_NUMBER] = sizeof(double),
        [SETTING_STRING] = sizeof(const char *),
        [SETTING_NAME] = sizeof(const char *),
        [SETTING_PATH] = sizeof(const char *),
        [SETTING_ENUM] = sizeof(unsigned),
        [SETTING_TIME] = sizeof(int64_t),
        [SETTING_COUNTS] = sizeof(struct setting_counts),
        [SETTING_NUMBERS] = sizeof(struct setting_numbers),
        [SETTING_STRINGS] = sizeof(struct setting_strings),
        [SETTING_ENUMS] = sizeof(struct setting_enums),
        [SETTING_PROPERTIES] = sizeof(struct setting_properties),
    };

    assert(kind < COUNT(bytes));
    return bytes[kind];
}

/* "<shown> <what>, expected <description of the row>". */
static enum status
refuse(const struct setting_row *row, const char *shown, const char *what,
       struct error *err)
{
    char expected[SETTING_DESCRIPTION_MAX];

    return error_set(err, STATUS_CONFIG, "%.200s %s, expected %s", shown, what,
                     setting_describe(expected, row));
}

/*
 * Reads the number at the beginning of text, digits with single underscores
 * between them, fraction and exponent, into *out; *rest is what follows. False
 * when there is none (hexadecimal, inf and nan are none).
 */
static bool
scan_number(const char *text, double *out, const char **rest)
{
    char digits[TEXT_MAX];
    const char *p = text;
    size_t n = 0;

    for (; *p != '\0' && n + 1 < sizeof(digits); p++) {
        bool is_sign = *p == '+' || *p == '-';
        bool is_exponent =
            n > 0 && (*p == 'e' || *p == 'E') &&
            (isdigit((unsigned char)p[1]) || p[1] == '+' || p[1] == '-');

        if (*p == '_' && n > 0 && isdigit((unsigned char)p[-1]) &&
            isdigit((unsigned char)p[1]))
            continue;
        if (is_sign && n > 0 && p[-1] != 'e' && p[-1] != 'E')
            break;
        if (!isdigit((unsigned char)*p) && *p != '.' && !is_sign &&
            !is_exponent)
            break;
        digits[n++] = *p;
    }
    digits[n] = '\0';
    if (n > 0) {
        char *end;

        errno = 0;
        *out = strtod(digits, &end);
        *rest = p;
        return end != digits && *end == '\0' && isfinite(*out);
    }
    return false;
}

static enum status
check_range(const struct setting_row *row, const char *shown, double value,
            struct error *err)
{
    if (value < row->min)
        return refuse(row, shown, "is too small", err);
    if (value > row->max)
        return refuse(row, shown, "is too large", err);
    return STATUS_OK;
}

static enum status
parse_number(const struct setting_row *row, const char *text, const char *shown,
             double *out, struct error *err)
{
    const char *rest = text;

    if (row->words != NULL && strcmp(text, row->words[0]) == 0) {
        *out = SETTING_WORD;
        return STATUS_OK;
    }
    if (!scan_number(text, out, &rest) || *rest != '\0')
        return refuse(row, shown, "is not a number", err);
    return check_range(row, shown, *out, err);
}

static enum status
parse_count(const struct setting_row *row, const char *text, const char *shown,
            uint64_t *out, struct error *err)
{
    const char *rest = text;
    double value = 0;
    enum status st;

    if (!scan_number(text, &value, &rest) || *rest != '\0' ||
        (value > -COUNT_MAX && value < COUNT_MAX && value != floor(value)))
        return refuse(row, shown, "is not a whole number", err);
    st = check_range(row, shown, value, err);
    if (st == STATUS_OK)
        *out = (uint64_t)value;
    return st;
}

/* A number with one of the units, as a whole number of the smallest. */
static enum status
parse_units(const struct setting_row *row, const struct unit *units,
            size_t unit_count, const char *text, const char *shown,
            uint64_t *out, struct error *err)
{
    const char *what =
        row->kind == SETTING_BYTES ? "is not a size" : "is not a duration";
    const char *rest = text;
    double value = 0;
    enum status st;
    size_t i = 0;

    if (!scan_number(text, &value, &rest))
        return refuse(row, shown, what, err);
    while (*rest == ' ')
        rest++;
    if (*rest == '\0' && row->kind == SETTING_DURATION && value != 0)
        return refuse(row, shown, "has no unit", err);
    while (i < unit_count && strcmp(rest, units[i].name) != 0)
        i++;
    if (i == unit_count && *rest != '\0')
        return refuse(row, shown, what, err);
    if (i < unit_count)
        value *= units[i].factor;
    st = check_range(row, shown, value, err);
    if (st != STATUS_OK)
        return st;
    if (value != floor(value))
        return refuse(row, shown, "is not whole in the smallest unit", err);
    *out = (uint64_t)value;
    return STATUS_OK;
}

static enum status
parse_word(const struct setting_row *row, const char *text, const char *shown,
           unsigned *out, struct error *err)
{
    char expected[SETTING_DESCRIPTION_MAX];
    size_t nearest = SIZE_MAX;
    unsigned best = 0;

    for (unsigned i = 0; row->words[i] != NULL; i++) {
        size_t d = settings_distance(text, row->words[i]);

        if (d < nearest) {
            nearest = d;
            best = i;
        }
    }
    *out = best;
    if (nearest == 0)
        return STATUS_OK;
    if (row->flags & SETTING_SECRET || !settings_is_near(text, nearest))
        return refuse(row, shown, "is not known", err);
    return error_set(err, STATUS_CONFIG,
                     "%.200s is not known, expected %s, did you mean '%s'?",
                     shown, setting_describe(expected, row), row->words[best]);
}

static enum status
parse_bool(const struct setting_row *row, const char *text, const char *shown,
           bool *out, struct error *err)
{
    static const char *const yes[] = {"yes", "on", "True", "TRUE", "1", "y"};
    static const char *const no[] = {"no", "off", "False", "FALSE", "0", "n"};
    const char *meant = NULL;

    *out = strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0)
        return STATUS_OK;
    for (size_t i = 0; i < COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0)
            meant = "true";
        if (strcmp(text, no[i]) == 0)
            meant = "false";
    }
    if (meant == NULL || row->flags & SETTING_SECRET)
        return refuse(row, shown, "is neither", err);
    return error_set(err, STATUS_CONFIG,
                     "%.200s is neither, expected true or false, did you mean "
                     "'%s'?",
                     shown, meant);
}

static enum status
parse_text(const struct setting_row *row, const char *text, const char *shown,
           const char **out, struct error *err)
{
    size_t n = strlen(text);

    if (row->kind == SETTING_NAME &&
        n != strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789_.-"))
        return refuse(row, shown, "has other characters", err);
    if (n == 0 && row->min > 0)
        return refuse(row, shown, "is empty", err);
    if ((double)n < row->min)
        return refuse(row, shown, "is too short", err);
    if ((double)n > row->max)
        return refuse(row, shown, "is too long", err);
    *out = text;
    return STATUS_OK;
}

/* n digits at *p as a number; moves *p behind them. -1 when they are not. */
static int
scan_digits(const char **p, int n)
{
    int value = 0;

    for (; n > 0; n--, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return -1;
        value = 10 * value + (**p - '0');
    }
    return value;
}

static bool
scan_mark(const char **p, const char *allowed)
{
    if (**p == '\0' || strchr(allowed, **p) == NULL)
        return false;
    (*p)++;
    return true;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t
count_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 -
           719468;
}

static int
month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* "Z" or "+hh:mm" at p, to the end of the text, as minutes. */
static bool
scan_zone(const char *p, int *minutes)
{
    int sign = *p == '-' ? -1 : 1;
    int h;
    int m;

    *minutes = 0;
    if (scan_mark(&p, "Zz"))
        return *p == '\0';
    if (!scan_mark(&p, "+-"))
        return false;
    h = scan_digits(&p, 2);
    if (h < 0 || h > 23 || !scan_mark(&p, ":"))
        return false;
    m = scan_digits(&p, 2);
    *minutes = sign * (60 * h + m);
    return m >= 0 && m <= 59 && *p == '\0';
}

/* "2026-11-23", "2026-11-23T12:00:00Z", "2026-11-23 12:00:00.5+01:00". */
static bool
scan_date(const char *p, int64_t *time_ms)
{
    int year = scan_digits(&p, 4);
    int month = year < 0 || !scan_mark(&p, "-") ? -1 : scan_digits(&p, 2);
    int day = month < 0 || !scan_mark(&p, "-") ? -1 : scan_digits(&p, 2);
    int64_t ms = 0;
    int zone = 0;
    int h;
    int m;
    int s;

    if (month < 1 || month > 12 || day < 1 || day > month_days(year, month))
        return false;
    *time_ms = count_days(year, month, day) * 86400000;
    if (*p == '\0')
        return true;
    h = scan_mark(&p, "Tt ") ? scan_digits(&p, 2) : -1;
    m = h < 0 || !scan_mark(&p, ":") ? -1 : scan_digits(&p, 2);
    s = m < 0 || !scan_mark(&p, ":") ? -1 : scan_digits(&p, 2);
    if (h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60)
        return false;
    if (scan_mark(&p, ".")) {
        int scale = 100;

        if (!isdigit((unsigned char)*p))
            return false;
        for (; isdigit((unsigned char)*p); p++, scale /= 10)
            ms += (int64_t)scale * (*p - '0');
    }
    if (!scan_zone(p, &zone))
        return false;
    *time_ms += ((h * INT64_C(60) + m - zone) * 60 + s) * 1000 + ms;
    return true;
}

static enum status
parse_time(const struct setting_row *row, const char *text, const char *shown,
           int64_t *out, struct error *err)
{
    const char *rest = text;
    double seconds = 0;

    for (size_t i = 0; row->words[i] != NULL; i++) {
        if (strcmp(text, row->words[i]) == 0) {
            *out =
                strcmp(text, "latest") == 0 ? SETTING_LATEST : SETTING_EARLIEST;
            return STATUS_OK;
        }
    }
    if (scan_date(text, out))
        return STATUS_OK;
    if (!scan_number(text, &seconds, &rest) || *rest != '\0' || seconds < 0)
        return refuse(row, shown, "is not a time", err);
    if (seconds >= 1e11) /* the year 5138 */
        return refuse(row, shown, "looks like milliseconds", err);
    *out = llround(seconds * 1000);
    return STATUS_OK;
}

enum status
setting_parse(const struct setting_row *row, const char *text,
              const char *shown, union setting_value *out, struct error *err)
{
    enum setting_kind kind = setting_item_kind(row->kind);

    assert(text != NULL && shown != NULL && out != NULL);
    assert(kind < SETTING_COUNTS);
    switch (kind) {
    case SETTING_BOOL:
        return parse_bool(row, text, shown, &out->is_true, err);
    case SETTING_COUNT:
        return parse_count(row, text, shown, &out->count, err);
    case SETTING_BYTES:
        return parse_units(row, byte_units, COUNT(byte_units), text, shown,
                           &out->count, err);
    case SETTING_DURATION:
        return parse_units(row, duration_units, COUNT(duration_units), text,
                           shown, &out->count, err);
    case SETTING_NUMBER:
        out->number = (double)NAN;
        if (*text == '\0' && *row->initial == '\0')
            return STATUS_OK; /* unset */
        return parse_number(row, text, shown, &out->number, err);
    case SETTING_STRING:
    case SETTING_NAME:
    case SETTING_PATH:
        return parse_text(row, text, shown, &out->text, err);
    case SETTING_ENUM:
        return parse_word(row, text, shown, &out->word, err);
    case SETTING_TIME:
        return parse_time(row, text, shown, &out->time_ms, err);
    case SETTING_COUNTS:
    case SETTING_NUMBERS:
    case SETTING_STRINGS:
    case SETTING_ENUMS:
    case SETTING_PROPERTIES:
        break;
    }
    return error_set(err, STATUS_INTERNAL, "settings: kind %d", (int)kind);
}

void
setting_store(const struct setting_row *row, void *base,
              const union setting_value *value)
{
    assert(!setting_is_list(row));
    /* Every member of the union begins where the union does. */
    memcpy((char *)base + row->offset, value, setting_bytes(row->kind));
}

static enum status
refuse_repeats(const struct setting_row *row, const union setting_value *items,
               size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (items[i].word == items[j].word)
                return error_set(err, STATUS_CONFIG,
                                 "'%s' comes twice, expected it once",
                                 row->words[items[i].word]);
        }
    }
    return STATUS_OK;
}

enum status
setting_store_list(const struct setting_row *row, void *base,
                   struct settings_pool *pool, const union setting_value *items,
                   size_t count, struct error *err)
{
    enum setting_kind kind = setting_item_kind(row->kind);
    size_t bytes = setting_bytes(kind);
    struct setting_counts list = {.count = count};
    unsigned char *copy;

    assert(setting_is_list(row) && row->items_max <= SETTING_ITEMS_MAX);
    if (count > row->items_max)
        return error_set(err, STATUS_CONFIG, "%zu values, expected at most %zu",
                         count, row->items_max);
    if (kind == SETTING_ENUM &&
        refuse_repeats(row, items, count, err) != STATUS_OK)
        return STATUS_CONFIG;
    copy = settings_pool_get(pool, count * bytes);
    if (copy == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a setting");
    for (size_t i = 0; i < count; i++)
        memcpy(copy + i * bytes, &items[i], bytes);
    /* The four structs of lists have one layout: a pointer and a count. */
    list.items = (const void *)copy;
    memcpy((char *)base + row->offset, &list, sizeof(list));
    return STATUS_OK;
}

enum status
setting_parse_flow(const struct setting_row *row, struct settings_pool *pool,
                   const char *text, const char *shown,
                   union setting_value *items, size_t *count, struct error *err)
{
    const char *end = text + strlen(text);
    enum status st = STATUS_OK;

    *count = 0;
    if (*text == '[' && end > text + 1 && end[-1] == ']') {
        text++;
        end--;
    }
    while (st == STATUS_OK) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma != NULL ? comma : end;
        char *item;

        while (text < stop && isspace((unsigned char)*text))
            text++;
        while (stop > text && isspace((unsigned char)stop[-1]))
            stop--;
        if (comma == NULL && text == stop)
            break; /* nothing at all, or behind the last comma */
        item = settings_pool_text(pool, text, (size_t)(stop - text));
        if (item == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for a setting");
        if (*count == row->items_max)
            return error_set(err, STATUS_CONFIG,
                             "more values than expected, at most %zu",
                             row->items_max);
        st = setting_parse(row, item, shown, &items[*count], err);
        (*count)++;
        if (comma == NULL)
            break;
        text = comma + 1;
    }
    return st;
}
