/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_HEADERS_H
#define EVENT_HEADERS_H

#include "daemon/base/bytes.h"
#include "daemon/base/record.h"

/*
 * Headers of a record as one run of bytes: they travel with an event while the
 * teacher is asked, and go out with its label. Each is two lengths (16 bits of
 * the name, 32 bits of the value, all ones: null; little-endian), the name with
 * a closing NUL, the value.
 */

/* headers_pack appends headers to *out. TOOBIG for a name over 65,535 bytes or
 * a value over 4 GiB, NOMEM. Thread: any. */
must_check enum status headers_pack(struct bytes *out,
                                    const struct record_header *headers,
                                    size_t count, struct error *err);

/* headers_unpack lends what headers_pack wrote, until the bytes change, and
 * gives the count. Thread: any. Allocates: nothing. */
size_t headers_unpack(const char *bytes, size_t len,
                      struct record_header out[RECORD_HEADERS_MAX]);

/* The header of a label record that has the event's time, in milliseconds since
 * 1970: the record's own timestamp is that of its arrival. */
#define HEADER_EVENT_TIME "distilld-event-time"

/* headers_event_time reads it; 0 where there is none that can be read. Thread:
 * any. */
int64_t headers_event_time(const struct record_header *headers, size_t count);

#endif
