/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a batch of labels began.
 */
#include "stages/emit/labels_batch.h"

#include "stages/event/label.h"

struct search {
    size_t batch_rows;
    uint32_t generation;
    uint64_t count; /* labels of the generation so far */
    struct log_position *start;
};

static enum status
search_line(struct search *s, const struct log_line *line, struct error *err)
{
    uint32_t generation = 0;
    int32_t partition;
    int64_t offset;
    enum status st;

    /* Of the generation are all labels behind its first one. */
    if (s->count % s->batch_rows != 0) {
        s->count++;
        return STATUS_OK;
    }
    st = record_source(line->data, line->bytes, NULL, &partition, &offset,
                       &generation, err);
    if (st != STATUS_OK || (s->count == 0 && generation != s->generation))
        return st;
    s->start->partition = (uint32_t)partition;
    s->start->offset = (uint64_t)offset;
    s->count++;
    return STATUS_OK;
}

enum status
labels_batch_start(const char *path, size_t record_bytes_max, size_t batch_rows,
                   uint32_t generation, struct log_position *start,
                   struct error *err)
{
    struct search search = {batch_rows, generation, 0, start};
    struct log_reader *reader = NULL;
    struct log_chunk *chunk = NULL;
    struct log_line line;
    enum status st = log_chunk_new(&chunk, record_bytes_max, err);

    if (st == STATUS_OK)
        st = log_reader_open(&reader, path, LOG_TAIL_WAIT, record_bytes_max,
                             (struct log_position){0}, err);
    while (st == STATUS_OK) {
        st = log_reader_read(reader, chunk, err);
        while (st == STATUS_OK && log_chunk_next(chunk, &line))
            st = search_line(&search, &line, err);
    }
    log_reader_close(&reader);
    log_chunk_free(&chunk);
    return st == STATUS_END ? STATUS_OK : st;
}
