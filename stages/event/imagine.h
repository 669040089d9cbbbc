/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_IMAGINE_H
#define EVENT_IMAGINE_H

#include "stages/event/spec.h"

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Events that never happened: the values of one event's user side and of
 * another's item side, at their paths, as they stand in the two:
 *
 *   {"user":"u1","movie":"m1","rating":9,"past":{"user_mean":7,"n":3}}
 *   {"user":"u2","movie":"m2","rating":4,"past":{"user_mean":6,"n":9}}
 *   user, past.user_mean: side user   movie, past.n: side item
 *   {"user":"u1","past":{"user_mean":7,"n":9},"movie":"m2"}
 *
 * A path is cut before its first index or []: the whole list comes along.
 */
struct imagine;

/* Where a value is in an event; 0 bytes: it is not there. */
struct imagine_span {
    uint32_t start;
    uint32_t bytes;
};

/*
 * imagine_new prepares for the features of spec that have a side, and for
 * events of at most bytes_max bytes. CONFIG: no feature is of side user, or
 * none of side item, or a feature reads what would come along and is not of
 * the same side. Keeps nothing of spec. Thread: any; then one at a time.
 */
must_check enum status imagine_new(struct imagine **out,
                                   const struct event_spec *spec,
                                   size_t bytes_max, struct error *err);

/* imagine_free frees *self and sets it NULL; NULL is fine. */
void imagine_free(struct imagine **self);

/* imagine_span_count is the number of values of both sides. */
size_t imagine_span_count(const struct imagine *m);

/*
 * imagine_find finds the values of an event that a decoder has accepted.
 * spans (imagine_span_count) written. False: it is nested too deeply to be
 * inside of a label record once more. Allocates: nothing.
 */
must_check bool imagine_find(struct imagine *m, const char *bytes, size_t len,
                             struct imagine_span *spans);

/* imagine_bytes_max is room for any event of two such. */
size_t imagine_bytes_max(const struct imagine *m, size_t user_bytes,
                         size_t item_bytes);

/* One of the two events, with its values. */
struct imagine_part {
    const char *bytes;
    const struct imagine_span *spans;
};

/* imagine_write writes the event, one line, and gives its length; out has room
 * for imagine_bytes_max. Allocates: nothing. */
size_t imagine_write(const struct imagine *m, const struct imagine_part *user,
                     const struct imagine_part *item, char *out);

#endif
