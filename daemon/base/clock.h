/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/*
 * clock_now_ns gives nanoseconds since an arbitrary moment; they only ever
 * grow. For measuring how long something takes. Thread: any.
 */
uint64_t clock_now_ns(void);

/* clock_seconds_since gives the seconds from a clock_now_ns to now. Thread:
 * any. */
double clock_seconds_since(uint64_t start_ns);

/* clock_wall_ms gives milliseconds since 1970 by the machine's clock, which
 * may jump. For telling people when something was. Thread: any. */
int64_t clock_wall_ms(void);

#endif
