/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that a teacher would not have.
 */
#include "stages/annotate/rejected.h"

#include "stages/dead_letters.h"
#include "stages/event/headers.h"
#include "stages/event/label.h"
#include "stages/settings.h"

#include "daemon/io/log_file.h"

enum status
reject_row(struct pipeline *p, struct batch *b, size_t row, const char *reason,
           struct error *err)
{
    const struct settings *s = p->settings;
    const struct row *r = &b->rows[row];
    const char *event = b->raw.data + r->start;
    size_t key_bytes = r->key_bytes == KEY_NONE ? 0 : r->key_bytes;
    struct record_header headers[RECORD_HEADERS_MAX];
    struct dead_letter letter = {
        .source = {.topic = s->events_log == LOG_KIND_KAFKA
                                ? s->events_topic
                                : log_name(s->events_path),
                   .partition = r->source.partition,
                   .offset = r->source.offset},
        .reason = reason,
        .stage = "annotate",
        .key = r->key_bytes == KEY_NONE ? NULL : event + r->bytes,
        .key_bytes = key_bytes,
        .headers = headers,
        .payload = event,
        .payload_bytes = r->bytes,
        .payload_max = r->bytes,
    };
    enum status st;

    if (b->is_rejected[row])
        return STATUS_OK;
    if (r->header_bytes > 0)
        letter.header_count = headers_unpack(event + r->bytes + key_bytes,
                                             r->header_bytes, headers);
    st = dead_letters_put(&b->dead_letters, &letter, p->topics, err);
    if (st != STATUS_OK)
        return st;
    b->is_rejected[row] = 1;
    b->has_rejected = true;
    p->counts.dead_letters++;
    p->stats.dead_letters[DEAD_REJECTED]++;
    return STATUS_OK;
}
