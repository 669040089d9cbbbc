/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imagined events.
 */
#include "stages/annotate/recombine.h"

#include "stages/annotate/draw.h"
#include "stages/event/decoder.h"
#include "stages/event/imagine.h"

#include "daemon/base/object.h"

#include <stdlib.h>

#define RECOMBINER_MAGIC 0x5245434fu

struct recombiner {
    unsigned magic;
    struct imagine *imagine;
    struct decoder *decoder;
    struct imagine_span *spans; /* (row_max, span_count) of the batch */
    bool *is_usable;            /* (row_max) its values were found */
    size_t row_max;
    size_t K;
    uint64_t seed;
};

enum status
recombiner_new(struct recombiner **out, const struct event_spec *spec,
               size_t row_max, size_t K, uint64_t seed, struct error *err)
{
    struct recombiner *r = calloc(1, sizeof(*r));
    size_t bytes_max = spec->record_bytes_max > 0 ? spec->record_bytes_max
                                                  : EVENT_RECORD_BYTES_MAX;
    enum status st;

    assert(K > 0 && K <= LABEL_IMAGINED_MAX && row_max > 0);
    *out = NULL;
    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for imagined events");
    r->magic = RECOMBINER_MAGIC;
    r->row_max = row_max;
    r->K = K;
    r->seed = seed;
    st = imagine_new(&r->imagine, spec, bytes_max, err);
    if (st == STATUS_OK)
        st = decoder_new(&r->decoder, spec, err);
    if (st == STATUS_OK) {
        r->spans =
            calloc(row_max * imagine_span_count(r->imagine), sizeof(*r->spans));
        r->is_usable = calloc(row_max, sizeof(*r->is_usable));
        if (r->spans == NULL || r->is_usable == NULL)
            st = error_set(err, STATUS_NOMEM, "no memory for imagined events");
    }
    if (st != STATUS_OK) {
        recombiner_free(&r);
        return st;
    }
    *out = r;
    return STATUS_OK;
}

void
recombiner_free(struct recombiner **self)
{
    struct recombiner *r;

    if (*self == NULL)
        return;
    OBJ_TAKE(r, self, RECOMBINER_MAGIC);
    imagine_free(&r->imagine);
    decoder_free(&r->decoder);
    free(r->spans);
    free(r->is_usable);
    r->magic = 0;
    free(r);
}

static const struct imagine_span *
spans_of(const struct recombiner *r, size_t row)
{
    return r->spans + row * imagine_span_count(r->imagine);
}

/* Writes the event of a row's user side and another's item side behind the
 * batch's bytes. */
static enum status
write_event(struct recombiner *r, struct batch *b, size_t user, size_t item,
            struct row *out, struct error *err)
{
    struct bytes *raw = &b->raw;
    struct imagine_part parts[2];
    enum status st = bytes_reserve(
        raw,
        imagine_bytes_max(r->imagine, b->rows[user].bytes, b->rows[item].bytes),
        err);

    if (st != STATUS_OK)
        return st;
    parts[0] = (struct imagine_part){raw->data + b->rows[user].start,
                                     spans_of(r, user)};
    parts[1] = (struct imagine_part){raw->data + b->rows[item].start,
                                     spans_of(r, item)};
    *out = (struct row){.start = raw->used,
                        .key_bytes = KEY_NONE,
                        .source = b->rows[user].source};
    out->bytes =
        imagine_write(r->imagine, &parts[0], &parts[1], raw->data + raw->used);
    raw->used += out->bytes;
    return STATUS_OK;
}

/* Makes a row of the event that was written; one that is too long for a record
 * is none. */
static void
add_row(struct recombiner *r, struct batch *b, size_t user,
        const struct row *event)
{
    struct columns *c = b->columns;
    size_t row = c->row_count;
    struct error ignored;

    if (decoder_decode(r->decoder, b->raw.data + event->start, event->bytes, c,
                       row, NULL, &ignored) != STATUS_OK) {
        b->raw.used = event->start;
        return;
    }
    b->rows[row] = *event;
    for (size_t t = 0; t < c->task_count; t++) {
        c->tasks[t].has_outcome[row] = 0;
        c->tasks[t].has_teacher[row] = 0;
    }
    c->weight[row] = c->weight[user];
    c->time_ms[row] = c->time_ms[user];
    c->imagined_count++;
    b->rows[user].imagined_count++;
}

/* The turn-th partner of a row among those before it, none twice. */
static size_t
choose(const struct recombiner *r, const struct batch *b, size_t row,
       const size_t *chosen, size_t turn)
{
    size_t at = draw_bits(r->seed, &b->rows[row].source, turn) % row;

    for (size_t i = 0; i < turn; i++) {
        if (chosen[i] != at)
            continue;
        at = (at + 1) % row;
        i = SIZE_MAX; /* look at all of them again */
    }
    return at;
}

static enum status
recombine_row(struct recombiner *r, struct batch *b, size_t row,
              struct error *err)
{
    size_t chosen[LABEL_IMAGINED_MAX];
    size_t count = row < r->K ? row : r->K;
    struct row event;
    enum status st = STATUS_OK;

    b->rows[row].imagined_at = b->columns->row_count;
    for (size_t k = 0; k < count && st == STATUS_OK; k++) {
        chosen[k] = choose(r, b, row, chosen, k);
        if (!r->is_usable[chosen[k]])
            continue;
        st = write_event(r, b, row, chosen[k], &event, err);
        if (st == STATUS_OK)
            add_row(r, b, row, &event);
    }
    return st;
}

enum status
recombine(struct recombiner *r, struct batch *b, struct error *err)
{
    size_t real = b->columns->row_count;
    size_t width;
    enum status st = STATUS_OK;

    OBJ_CHECK(r, RECOMBINER_MAGIC);
    assert(real <= r->row_max && b->columns->imagined_count == 0);
    assert(b->columns->row_max >= r->row_max * (1 + r->K));
    width = imagine_span_count(r->imagine);
    for (size_t row = 0; row < real; row++) {
        b->rows[row].imagined_count = 0;
        r->is_usable[row] =
            imagine_find(r->imagine, b->raw.data + b->rows[row].start,
                         b->rows[row].bytes, r->spans + row * width);
    }
    for (size_t row = 1; row < real && st == STATUS_OK; row++) {
        if (r->is_usable[row] && b->is_chosen[row])
            st = recombine_row(r, b, row, err);
    }
    return st;
}
