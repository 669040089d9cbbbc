/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event times: numbers by magnitude, and RFC 3339 by hand, since the C
 * library's parsers depend on the locale and the time zone of the process.
 */
#include "stages/event/event_time.h"

#include <assert.h>
#include <math.h>

#define TIME_MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static bool
accept(int64_t ms, int64_t *out)
{
    if (ms <= 0 || ms > TIME_MS_MAX)
        return false;
    *out = ms;
    return true;
}

bool
event_time_number(double value, enum time_unit unit, int64_t *out)
{
    double ms = value;

    assert(out != NULL);
    if (unit == TIME_AUTO)
        unit = value < 1e11   ? TIME_SECONDS
               : value < 1e14 ? TIME_MILLISECONDS
               : value < 1e17 ? TIME_MICROSECONDS
                              : TIME_NANOSECONDS;
    if (unit == TIME_SECONDS)
        ms = value * 1e3;
    else if (unit == TIME_MICROSECONDS)
        ms = value / 1e3;
    else if (unit == TIME_NANOSECONDS)
        ms = value / 1e6;
    if (!(ms > 0.0 && ms <= (double)TIME_MS_MAX))
        return false;
    return accept((int64_t)floor(ms + 0.5), out);
}

/* A text that is being read. */
struct reader {
    const char *at;
    const char *end;
};

/* The next character, NUL at the end. */
static char
peek(const struct reader *r)
{
    if (r->at == r->end)
        return '\0';
    return *r->at;
}

/* Moves over one character when it is this one. */
static bool
expect(struct reader *r, char c)
{
    bool is_there = r->at < r->end && *r->at == c;

    r->at += is_there;
    return is_there;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads exactly count digits and moves behind them; -1 if they are not. */
static int
read_digits(struct reader *r, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        char c = peek(r);

        if (!is_digit(c))
            return -1;
        value = value * 10 + (c - '0');
        r->at++;
    }
    return value;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, by years that
 * begin in March (Howard Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static int64_t
count_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 -
           year_of_era / 100 + day_of_year - 1 - 719468;
}

static int
days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && is_leap);
}

static bool
read_date(struct reader *r, int64_t *days)
{
    int year = read_digits(r, 4);
    int month;
    int day;

    if (year < 0 || !expect(r, '-'))
        return false;
    month = read_digits(r, 2);
    if (month < 1 || month > 12 || !expect(r, '-'))
        return false;
    day = read_digits(r, 2);
    if (day < 1 || day > days_of_month(year, month))
        return false;
    *days = count_days(year, month, day);
    return true;
}

static bool
read_clock(struct reader *r, int64_t *ms)
{
    int hour = read_digits(r, 2);
    int minute;
    int second;
    int scale = 100;

    if (hour < 0 || hour > 23 || !expect(r, ':'))
        return false;
    minute = read_digits(r, 2);
    if (minute < 0 || minute > 59 || !expect(r, ':'))
        return false;
    second = read_digits(r, 2);
    if (second < 0 || second > 60)
        return false;
    second = second == 60 ? 59 : second;
    *ms = INT64_C(3600000) * hour + INT64_C(60000) * minute +
          INT64_C(1000) * second;
    if (!expect(r, '.'))
        return true;
    if (!is_digit(peek(r)))
        return false;
    for (; is_digit(peek(r)); r->at++) {
        *ms += INT64_C(1) * (*r->at - '0') * scale;
        scale /= 10;
    }
    return true;
}

/* What is to be added to local time to get UTC. */
static bool
read_offset(struct reader *r, int64_t *ms)
{
    int sign = peek(r) == '-' ? 1 : -1;
    int hour;
    int minute;

    *ms = 0;
    if (r->at == r->end || expect(r, 'Z') || expect(r, 'z'))
        return true;
    if (!expect(r, '+') && !expect(r, '-'))
        return false;
    hour = read_digits(r, 2);
    if (hour < 0 || hour > 23 || !expect(r, ':'))
        return false;
    minute = read_digits(r, 2);
    if (minute < 0 || minute > 59)
        return false;
    *ms = sign * (INT64_C(3600000) * hour + INT64_C(60000) * minute);
    return true;
}

bool
event_time_text(const char *text, size_t len, enum time_unit unit, int64_t *out)
{
    struct reader r = {.at = text, .end = text + len};
    int64_t days;
    int64_t clock_ms;
    int64_t offset_ms;
    double number = 0;

    assert(out != NULL && (text != NULL || len == 0));
    while (is_digit(peek(&r)) && len <= 20)
        number = number * 10 + (*r.at++ - '0');
    if (len > 0 && len <= 20 && r.at == r.end)
        return event_time_number(number, unit, out);
    r.at = text;
    if (!read_date(&r, &days) ||
        !(expect(&r, 'T') || expect(&r, 't') || expect(&r, ' ')) ||
        !read_clock(&r, &clock_ms) || !read_offset(&r, &offset_ms) ||
        r.at != r.end)
        return false;
    return accept(days * 86400000 + clock_ms + offset_ms, out);
}
