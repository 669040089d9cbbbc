/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_DECODER_H
#define EVENT_DECODER_H

#include "stages/event/feature_id.h"
#include "stages/event/label.h"
#include "stages/event/spec.h"
#include "stages/model/columns.h"

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From a record's bytes to one row of columns, by the configured paths. Reads
 * events, and label records ("schema":"distilld.label/1") with the event
 * inside. How the JSON is read is nobody's business but this file's: by one
 * walk over the bytes, see scan.h.
 *
 * A broken record is refused whole, with the byte in the reason:
 *
 *   empty, or nothing but space               MALFORMED
 *   cut off; more after its end               MALFORMED
 *   byte order mark                           MALFORMED
 *   bad UTF-8; raw control character          MALFORMED
 *   \u0000; lone surrogate                    MALFORMED
 *   NaN, Infinity, 01, +1, 1., .5             MALFORMED: not JSON
 *   number of more than 63 characters         MALFORMED
 *   the same key twice in any object          MALFORMED
 *   more than 1024 members in an object       MALFORMED
 *   nested deeper than EVENT_DEPTH_MAX        MALFORMED (an object is 1 deep)
 *   not an object                             MALFORMED
 *   longer than record_bytes_max              TOOBIG (a label record:
 *                                             EVENT_LABEL_BYTES_MAX more)
 *   "schema" that begins with "distilld." but
 *   is not distilld.label/1                   MALFORMED
 *   label record without event, source or
 *   soft_label, or one of another type        MALFORMED
 *
 * A value that cannot be used costs the value, never the record:
 *
 *   feature missing or null          missing: id 0, empty bag, value 0 and
 *                                    present 0
 *   feature ""                       missing (categorical, bag)
 *   feature of a wrong type          missing, wrong_type
 *   id that is a fraction, 1e300     missing, wrong_type
 *   id longer than 256 bytes         missing, too_long
 *   number 1e999, beyond a float,
 *   outside of its range             missing, out_of_range
 *   true, false as a number          1, 0
 *   number in quotes                 missing, wrong_type
 *   vector of another length         missing, wrong_type
 *   null or a wrong type inside a
 *   vector                           missing, wrong_type
 *   null or "" inside a bag          passed over
 *   wrong type inside a bag          passed over, wrong_type
 *   one value in place of a bag      a bag of one (cut at separator)
 *   []                               an empty bag, which is present
 *   bag longer than ids_max          its first ids_max ids, cut
 *   outcome missing or null          masked (has_outcome 0)
 *   outcome of a wrong type          masked, outcome_bad
 *   binary: neither 0, 1 nor a
 *   boolean, without a threshold     masked, outcome_bad
 *   binary: a boolean where there is
 *   a threshold                      masked, outcome_bad
 *   class outside of 0..K-1, or not
 *   among the names                  masked, outcome_bad
 *   outcome 1e999, beyond a float    masked, outcome_bad
 *   soft label missing or null       masked (has_teacher 0)
 *   soft label of a wrong type or
 *   width, not finite, probability
 *   outside of [0, 1]                masked, teacher_bad
 *   soft label of an unknown task    passed over
 *   weight missing or null           1
 *   weight negative or no number     1, weight_bad
 *   sample rate missing or null      1
 *   sample rate outside of (0, 1]    1, sample_rate_bad
 *   time missing or null             0
 *   time not readable, before 1970
 *   or after 9999                    0, time_bad
 *   sample of a label record missing
 *   or not as label_write writes it  as if the teacher was asked about all
 *   event id missing, null or ""     empty
 *   event id of a wrong type or
 *   longer than 256 bytes            empty, id_bad
 */

struct decoder;

/* How often what happened to a feature, over accepted records. */
struct feature_counters {
    uint64_t present;
    uint64_t missing; /* rows, with all that end so above */
    uint64_t wrong_type;
    uint64_t out_of_range;
    uint64_t too_long;
    uint64_t cut;
};

struct task_counters {
    uint64_t outcomes;
    uint64_t positives; /* BINARY: outcomes that are 1 */
    uint64_t outcome_bad;
    uint64_t soft_labels;
    uint64_t teacher_bad;
};

struct decoder_counters {
    uint64_t accepted;
    uint64_t labels; /* of them, label records */
    uint64_t malformed;
    uint64_t too_big;
    uint64_t id_bad;
    uint64_t time_bad;
    uint64_t weight_bad;
    uint64_t sample_rate_bad;
};

/* What a record says beside its columns. Text is NUL-terminated, "" where
 * there is none. */
struct event_meta {
    char id[FEATURE_ID_BYTES_MAX + 1];
    int64_t time_ms; /* as in the columns; 0 where unknown */
    bool is_label;
    /* Of a label record: */
    char topic[LABEL_TOPIC_MAX + 1];
    int32_t partition;
    int64_t offset;
    uint32_t generation;
    char cluster[LABEL_CLUSTER_MAX + 1];
    char topic_id[LABEL_TOPIC_ID_MAX + 1];
    char teacher_name[LABEL_TEACHER_MAX + 1];
    char teacher_version[LABEL_VERSION_MAX + 1];
    const char *imagined; /* the list of them, lent by the record, or NULL */
    size_t imagined_bytes;
};

/*
 * decoder_new prepares a decoder for spec, of which it keeps a borrow until
 * decoder_free. CONFIG names the feature or task whose path, name, boundaries,
 * width or classes make no sense. Thread: any; afterwards a decoder is used by
 * one thread at a time. Allocates.
 */
must_check enum status decoder_new(struct decoder **out,
                                   const struct event_spec *spec,
                                   struct error *err);

/* decoder_free frees *self and sets it NULL; NULL is fine. */
void decoder_free(struct decoder **self);

/*
 * decoder_decode reads one record into row `row` of columns that columns_new
 * made for the same spec; row is c->row_count, which is one more on success.
 * On MALFORMED and TOOBIG (see above) the row is still free and *meta without
 * meaning. meta may be NULL. Allocates: nothing.
 */
must_check enum status decoder_decode(struct decoder *d, const char *bytes,
                                      size_t len, struct columns *c, size_t row,
                                      struct event_meta *meta,
                                      struct error *err);

/*
 * decoder_imagine reads the imagined events of a label record, list as
 * event_meta has it, into rows behind c->row_count, at most `most` and as many
 * as there is room for, and gives their number. like is the row of `from` that
 * was read from the same record: the imagined ones have its time and weights,
 * and no outcome. One without an answer is passed over; what is no such event
 * ends the list. d is a decoder for nothing else, so that it keeps what it
 * remembers of records, and counts. Allocates: nothing.
 */
size_t decoder_imagine(struct decoder *d, const char *list, size_t len,
                       struct columns *c, size_t most,
                       const struct columns *from, size_t like);

/* These lend counters since decoder_new, valid until decoder_free. */
const struct decoder_counters *decoder_counters(const struct decoder *d);
const struct feature_counters *decoder_feature(const struct decoder *d,
                                               size_t i);
const struct task_counters *decoder_task(const struct decoder *d, size_t i);

#endif
