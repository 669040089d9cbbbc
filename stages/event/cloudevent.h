/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_CLOUDEVENT_H
#define EVENT_CLOUDEVENT_H

#include "stages/event/envelope.h"

/*
 * CloudEvents 1.0 for envelope.c: attributes, and structured mode in JSON.
 * Thread: any. Allocates: nothing.
 */

/*
 * cloudevent_open reads the object at out->event, of out->event_bytes, and
 * narrows both to the event in its `data`. MALFORMED otherwise, with the
 * reason.
 */
must_check enum status cloudevent_open(struct envelope *out, struct error *err);

/* cloudevent_check_type: MALFORMED unless the content-type of data is that of
 * JSON in UTF-8. what is where it stood. */
must_check enum status cloudevent_check_type(const char *what, const char *text,
                                             size_t len, struct error *err);

/* cloudevent_refuse_type fills *err; MALFORMED. */
enum status cloudevent_refuse_type(const char *what, const char *text,
                                   size_t len, const char *expected,
                                   struct error *err);

/* cloudevent_take_id and cloudevent_take_time note an attribute; one that
 * cannot be used is as if it were not there. */
void cloudevent_take_id(const char *text, size_t len, struct envelope *out);
void cloudevent_take_time(const char *text, size_t len, struct envelope *out);

#endif
