/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters, written once each.
 */
#include "stages/dead_letters.h"

#include "stages/event/label.h"
#include "stages/topics.h"

#include "daemon/base/digest.h"
#include "daemon/base/object.h"
#include "daemon/io/directory.h"
#include "daemon/io/kafka_producer.h"
#include "daemon/io/log_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEAD_LETTERS_MAGIC 0x4445414cu
#define TAIL_BYTES_MAX     ((size_t)16 << 20)
#define PAYLOAD_MAX        4096u   /* of a value that is cut */
#define RECORD_BYTES       900000u /* that every topic takes by default */

struct dead_letters {
    unsigned magic;
    struct log_writer *writer;
    bool is_catching_up; /* records may still be in the file already */
    int32_t partition;   /* of the last record at opening */
    int64_t offset;
};

enum status
dead_letters_open(struct dead_letters **out, const char *dir, const char *name,
                  struct error *err)
{
    struct dead_letters *d = calloc(1, sizeof(*d));
    char path[PATH_TEXT_MAX];
    struct bytes last;
    uint32_t generation;
    enum status st;

    if (d == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for dead letters");
    d->magic = DEAD_LETTERS_MAGIC;
    bytes_init(&last, TAIL_BYTES_MAX);
    st = path_join(path, dir, name, err);
    if (st == STATUS_OK)
        st = log_writer_open(&d->writer, path, &last, err);
    if (st == STATUS_OK && last.used > 0) {
        d->is_catching_up = true;
        st = record_source(last.data, last.used, NULL, &d->partition,
                           &d->offset, &generation, err);
        if (st != STATUS_OK)
            st = error_set(err, STATUS_BADDATA,
                           "dead letters %s: the last line is no dead letter; "
                           "move the file away, or name another "
                           "dead_letters.path",
                           path);
    }
    bytes_fini(&last);
    if (st != STATUS_OK) {
        dead_letters_close(&d);
        return st;
    }
    *out = d;
    return STATUS_OK;
}

void
dead_letters_close(struct dead_letters **self)
{
    struct dead_letters *d;

    if (*self == NULL)
        return;
    OBJ_TAKE(d, self, DEAD_LETTERS_MAGIC);
    log_writer_close(&d->writer);
    d->magic = 0;
    free(d);
}

/* How many bytes of records are in the file already. */
static enum status
count_written(struct dead_letters *d, const struct bytes *records,
              size_t *written, struct error *err)
{
    size_t at = 0;

    while (d->is_catching_up && at < records->used) {
        const char *line = records->data + at;
        const char *feed = memchr(line, '\n', records->used - at);
        size_t n = (size_t)(feed - line) + 1;
        int32_t partition;
        int64_t offset;
        uint32_t generation;
        enum status st;

        assert(feed != NULL);
        st =
            record_source(line, n, NULL, &partition, &offset, &generation, err);
        if (st != STATUS_OK)
            return st;
        if (partition > d->partition ||
            (partition == d->partition && offset > d->offset))
            d->is_catching_up = false;
        else
            at += n;
    }
    *written = at;
    return STATUS_OK;
}

enum status
dead_letters_write(struct dead_letters *d, const struct bytes *records,
                   bool is_decided_anew, struct error *err)
{
    size_t written = 0;
    enum status st = STATUS_OK;

    OBJ_CHECK(d, DEAD_LETTERS_MAGIC);
    if (records->used == 0)
        return STATUS_OK;
    if (!is_decided_anew)
        st = count_written(d, records, &written, err);
    if (st != STATUS_OK)
        return st;
    return log_writer_append(d->writer, records->data + written,
                             records->used - written, err);
}

enum status
dead_letters_send(struct kafka_producer *producer, struct kafka_target *topic,
                  const struct bytes *records, size_t *at, size_t *unsettled,
                  void *opaque, struct error *err)
{
    while (*at < records->used) {
        const char *line = records->data + *at;
        const char *feed = memchr(line, '\n', records->used - *at);
        struct record record = {
            .value = line,
            .value_bytes = (size_t)(feed - line),
            .partition = KAFKA_PARTITION_ANY,
        };
        enum status st;

        assert(feed != NULL);
        st = kafka_producer_send(producer, topic, &record, opaque, err);
        if (st != STATUS_OK)
            return st;
        ++*unsettled;
        *at += record.value_bytes + 1;
    }
    return STATUS_OK;
}

/* Whether the topic surely takes a letter with all its payload. */
static bool
fits_topic(const struct dead_letter *letter, const struct topics *topics)
{
    size_t max;

    if (topics == NULL)
        return true;
    max = topics_dead_letters(topics)->record_bytes_max;
    return dead_letter_bytes_max(letter->payload_max) +
               dead_letter_extra_bytes(letter) <=
           (max > 0 && max < RECORD_BYTES ? max : RECORD_BYTES);
}

enum status
dead_letters_put(struct bytes *records, const struct dead_letter *letter,
                 const struct topics *topics, struct error *err)
{
    struct dead_letter mine = *letter;
    bool is_cut = mine.payload_max < mine.payload_bytes;
    char sha256[DIGEST_HEX_SIZE];
    size_t len = 0;
    enum status st;

    if (!is_cut && !fits_topic(&mine, topics)) {
        is_cut = true;
        digest_once(mine.payload, mine.payload_bytes, sha256);
        mine.sha256 = sha256;
    }
    if (is_cut && mine.payload_max > PAYLOAD_MAX)
        mine.payload_max = PAYLOAD_MAX;
    st = bytes_reserve(records,
                       dead_letter_bytes_max(mine.payload_max) +
                           dead_letter_extra_bytes(&mine),
                       err);
    if (st == STATUS_OK)
        st = dead_letter_write(&mine, records->data + records->used,
                               records->capacity - records->used, &len, err);
    records->used += len;
    return st;
}
