/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

/*
 * One enum for every way a call can end. The class of a status is the policy:
 * RETRY backs off and repeats, POISON gives up on this input alone, FATAL
 * drains and ends the process with the status's exit code (sysexits.h).
 */

enum status {
#define STATUS(name, class, exit_code, text) STATUS_##name,
#include "daemon/base/status.def"
#undef STATUS
};

enum status_class {
    CLASS_NONE,
    CLASS_RETRY,
    CLASS_POISON,
    CLASS_FATAL,
};

/* status_name lends the upper-case name, such as "TIMEOUT". Thread: any. */
const char *status_name(enum status st);

/* status_text lends what it means, in words. Thread: any. */
const char *status_text(enum status st);

/* status_class says what to do about it. Thread: any. */
enum status_class status_class(enum status st);

/* status_exit_code gives the process's exit code for it. Thread: any. */
int status_exit_code(enum status st);

#endif
