/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_TERMINAL_H
#define IO_TERMINAL_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The person at a terminal, for commands that go on until they are told to
 * stop: by SIGINT or SIGTERM, or by the key q where standard input is a
 * terminal. Nothing runs between two calls. Thread: the process's first.
 */
struct terminal;

/* terminal_open takes the signals over, and keys where there are any. */
must_check enum status terminal_open(struct terminal **out, struct error *err);

/* terminal_close gives everything back; NULL is fine. */
void terminal_close(struct terminal **self);

/* terminal_is_left says whether the person wants to go, now or before. */
bool terminal_is_left(struct terminal *t);

/* terminal_wait waits until the person wants to go, the window changed its
 * size, or timeout_ms have passed. */
void terminal_wait(struct terminal *t, uint64_t timeout_ms);

/* terminal_size writes the columns and rows of standard output, 80 and 24
 * where it is no terminal. */
void terminal_size(size_t *columns, size_t *rows);

#endif
