/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_STUDENT_H
#define ANNOTATE_STUDENT_H

#include "stages/event/spec.h"

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * The student as its trainer publishes or keeps it, to ask how sure it is. Only
 * reads: what it looks at is somebody else's. All calls block: not for the
 * loop. Thread: one at a time.
 */
struct student;

/*
 * student_open loads the checkpoint that path means. With follows it looks for
 * a newer one now and then, and there need be none yet; without, path has to
 * name one version itself, so that nothing depends on time: CONFIG. Borrows
 * path and events until student_free.
 */
must_check enum status student_open(struct student **out, const char *path,
                                    const struct event_spec *events,
                                    size_t batch_max, bool follows,
                                    struct error *err);

/* student_free frees *self and sets it NULL; NULL is fine. */
void student_free(struct student **self);

/*
 * student_doubt says how unsure it is about each row: from 0, sure, to 1. The
 * most of its tasks; 4 p (1 - p) of a binary one, 1 less the lead of the best
 * class over the next one, 1 of a regression, and 1 while there is no student.
 *
 * doubts (B) written
 */
void student_doubt(struct student *s, const struct columns *c, float *doubts);

#endif
