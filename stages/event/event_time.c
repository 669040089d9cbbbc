/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event times: numbers by magnitude, and RFC 3339 by hand, since the C
 * library's parsers depend on the locale and the time zone of the process.
 */
#include "stages/event/event_time.h"

#include <assert.h>
#include <math.h>
#include <string.h>

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

/* Reads exactly count digits and moves *at behind them; -1 if they are not. */
static int
read_digits(const char **at, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        char c = (*at)[i];

        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *at += count;
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
read_date(const char **at, int64_t *days)
{
    int year = read_digits(at, 4);
    int month;
    int day;

    if (year < 0 || *(*at)++ != '-')
        return false;
    month = read_digits(at, 2);
    if (month < 1 || month > 12 || *(*at)++ != '-')
        return false;
    day = read_digits(at, 2);
    if (day < 1 || day > days_of_month(year, month))
        return false;
    *days = count_days(year, month, day);
    return true;
}

static bool
read_clock(const char **at, int64_t *ms)
{
    int hour = read_digits(at, 2);
    int minute;
    int second;
    int scale = 100;

    if (hour < 0 || hour > 23 || *(*at)++ != ':')
        return false;
    minute = read_digits(at, 2);
    if (minute < 0 || minute > 59 || *(*at)++ != ':')
        return false;
    second = read_digits(at, 2);
    if (second < 0 || second > 60)
        return false;
    second = second == 60 ? 59 : second;
    *ms = INT64_C(3600000) * hour + INT64_C(60000) * minute +
          INT64_C(1000) * second;
    if (**at != '.')
        return true;
    for (++*at; **at >= '0' && **at <= '9'; ++*at) {
        *ms += INT64_C(1) * (**at - '0') * scale;
        scale /= 10;
    }
    return (*at)[-1] != '.';
}

/* What is to be added to local time to get UTC. */
static bool
read_offset(const char **at, int64_t *ms)
{
    int sign = **at == '-' ? 1 : -1;
    int hour;
    int minute;

    *ms = 0;
    if (**at == '\0')
        return true;
    if (**at == 'Z' || **at == 'z') {
        ++*at;
        return true;
    }
    if (**at != '+' && **at != '-')
        return false;
    ++*at;
    hour = read_digits(at, 2);
    if (hour < 0 || hour > 23 || *(*at)++ != ':')
        return false;
    minute = read_digits(at, 2);
    if (minute < 0 || minute > 59)
        return false;
    *ms = sign * (INT64_C(3600000) * hour + INT64_C(60000) * minute);
    return true;
}

bool
event_time_text(const char *text, enum time_unit unit, int64_t *out)
{
    const char *at = text;
    int64_t days;
    int64_t clock_ms;
    int64_t offset_ms;
    size_t digits;

    assert(out != NULL);
    digits = strspn(text, "0123456789");
    if (digits > 0 && digits <= 20 && text[digits] == '\0') {
        double number = 0;

        for (; *at != '\0'; at++)
            number = number * 10 + (*at - '0');
        return event_time_number(number, unit, out);
    }
    if (!read_date(&at, &days) || strchr("Tt ", *at) == NULL || *at == '\0')
        return false;
    at++;
    if (!read_clock(&at, &clock_ms) || !read_offset(&at, &offset_ms) ||
        *at != '\0')
        return false;
    return accept(days * 86400000 + clock_ms + offset_ms, out);
}
