/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_EVENT_TIME_H
#define EVENT_EVENT_TIME_H

#include "stages/event/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An event's own time, in milliseconds since 1970. Accepted are times after
 * 1970-01-01T00:00:00Z and before the year 10000. Numbers are rounded to the
 * nearest millisecond; of texts, the digits after the third are cut off.
 */

/* event_time_number reads a number in a unit; false when out of range. */
bool event_time_number(double value, enum time_unit unit, int64_t *out);

/*
 * event_time_text reads RFC 3339 (T, t or a space in the middle, any number of
 * digits of a second, Z or an offset; without either, UTC), or plain digits in
 * the unit. A 60th second counts as the 59th. False for everything else.
 */
bool event_time_text(const char *text, size_t len, enum time_unit unit,
                     int64_t *out);

#endif
