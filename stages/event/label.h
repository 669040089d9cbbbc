/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_LABEL_H
#define EVENT_LABEL_H

#include "stages/event/envelope.h"
#include "stages/event/spec.h"

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The records that we write: labels and dead letters, each one line of JSON.
 * Deterministic: the same input gives the same bytes, without any clock.
 * schemas/label.schema.json and schemas/dead_letter.schema.json describe them.
 */

#define LABEL_SCHEMA       "distilld.label/1"
#define DEAD_LETTER_SCHEMA "distilld.dead_letter/1"

/* The longest names, in bytes. */
#define LABEL_TOPIC_MAX    249
#define LABEL_CLUSTER_MAX  63
#define LABEL_TOPIC_ID_MAX 39
#define LABEL_TEACHER_MAX  127
#define LABEL_VERSION_MAX  127
#define LABEL_STAGE_MAX    63
#define LABEL_WAY_MAX      31

/* The most imagined events of one label, and the most bytes of all of them. */
#define LABEL_IMAGINED_MAX       16
#define LABEL_IMAGINED_BYTES_MAX 262144

/* Where an event came from. */
struct label_source {
    const char *topic;    /* or the name of the file log */
    int32_t partition;    /* >= 0 */
    int64_t offset;       /* Kafka's, or the byte where the record begins */
    uint32_t generation;  /* labels.generation */
    const char *cluster;  /* Kafka's id of the cluster; NULL: not known */
    const char *topic_id; /* Kafka's id of the topic; NULL: not known */
};

/*
 * How it was decided whether the teacher is asked about an event. Also of an
 * event that it was not asked about.
 */
struct label_choice {
    const char *by; /* the way of choosing, at most LABEL_WAY_MAX bytes */
    double rate;    /* the probability with which it was to be asked, (0, 1] */
    bool is_chosen;
};

/* An event that never happened, and what the teacher said of it. */
struct label_imagined {
    const float *logits; /* as in struct label, never NULL */
    const char *event;   /* one line of JSON without space around it */
    size_t event_bytes;
};

/* What a label record is made of; everything is borrowed. */
struct label {
    struct label_source source;
    const char *teacher_name; /* NULL: no teacher was asked */
    const char *teacher_version;
    const struct event_task *tasks;
    size_t task_count;
    const float *logits; /* all tasks side by side in order; NULL: the event
                            goes out unlabeled, "soft_label":{} */
    const struct label_choice *choice; /* NULL: all events are asked about */
    const char *event; /* the bytes as they came, accepted by a decoder */
    size_t event_bytes;
    const struct label_imagined *imagined; /* (imagined_count) */
    size_t imagined_count;                 /* at most LABEL_IMAGINED_MAX */
};

/*
 * label_write writes the record and its line feed into buf and *len. Space
 * around the event is cut off and line breaks in it become spaces (in valid
 * JSON they are outside of strings), so that a record is one line. A task with
 * a logit that is not finite is left out. TOOBIG when it does not fit;
 * label_bytes_max says what always fits. Thread: any. Allocates: nothing.
 */
must_check enum status label_write(const struct label *label, char *buf,
                                   size_t capacity, size_t *len,
                                   struct error *err);

/* label_bytes_max is room for any label of these tasks and an event of at most
 * event_bytes, without imagined ones. */
size_t label_bytes_max(const struct event_task *tasks, size_t task_count,
                       size_t event_bytes);

/*
 * record_source reads the source out of a label record or a dead letter
 * without reading the rest; topic (LABEL_TOPIC_MAX + 1 bytes) may be NULL.
 * Meant for lines that label_write and dead_letter_write wrote, with or
 * without the line feed, and only those: MALFORMED for any other. Thread: any.
 * Allocates: nothing.
 */
must_check enum status record_source(const char *bytes, size_t len, char *topic,
                                     int32_t *partition, int64_t *offset,
                                     uint32_t *generation, struct error *err);

/* What a dead letter is made of; everything is borrowed. */
struct dead_letter {
    struct label_source source;
    const char *reason; /* cut at ERROR_TEXT_MAX */
    const char *payload;
    size_t payload_bytes;
    size_t payload_max; /* more is cut off at this many bytes */
    const char *sha256; /* of the whole payload, in hex, when it is cut; may be
                           NULL otherwise */
    const char *stage;  /* that could not use it; NULL: left out */
    const void *key;    /* of the message; NULL: it had none */
    size_t key_bytes;
    const struct record_header *headers; /* of the message, never cut */
    size_t header_count;
};

/*
 * dead_letter_write writes the record and its line feed. The payload is a
 * string where it is UTF-8 without NUL, else base64 under another key; so are
 * the message's key and what its headers hold. A cut payload also has its full
 * size and SHA-256. TOOBIG when it does not fit; dead_letter_bytes_max and
 * dead_letter_extra_bytes say what always does. Thread: any. Allocates:
 * nothing.
 */
must_check enum status dead_letter_write(const struct dead_letter *letter,
                                         char *buf, size_t capacity,
                                         size_t *len, struct error *err);

/* dead_letter_bytes_max is room for any dead letter with this payload_max,
 * without a key and headers; dead_letter_extra_bytes is what its own need
 * beside that. */
size_t dead_letter_bytes_max(size_t payload_max);
size_t dead_letter_extra_bytes(const struct dead_letter *letter);

#endif
