/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks go round: read by the calls thread, given line by line, held until
 * all their lines are settled, read into again.
 *
 *   free --> being read --> filled (in order) --> held --> free
 */
#include "stages/replay/input.h"

#include "daemon/base/object.h"
#include "daemon/io/calls.h"
#include "daemon/io/log_file.h"

#include <stdlib.h>
#include <string.h>

#define INPUT_MAGIC 0x52494e50u
#define HOLD_MAGIC  0x52484c44u
#define CHUNKS      8

/* A chunk and where it is in its round. */
struct hold {
    unsigned magic;
    struct log_chunk *chunk;
    uint64_t pass;
    size_t given;   /* lines */
    size_t settled; /* lines */
    bool is_spent;  /* all its lines were given */
};

struct replay_input {
    unsigned magic;
    struct replay_input_spec spec;
    struct calls *calls;
    struct call call;
    struct log_reader *reader; /* the thread's while the call is under way */
    struct hold holds[CHUNKS];
    struct hold *free[CHUNKS];
    size_t free_count;
    struct hold *filled; /* lines are given from it; NULL: none */
    struct hold *next;   /* filled, too: one is read ahead */
    uint64_t lines;      /* given */
    uint64_t pass;       /* that is being read */
    /* Of the call: */
    struct hold *reading; /* NULL: none is under way */
    enum status status;   /* how it ended */
    struct error error;
    bool rewinds;      /* it begins at the file's beginning */
    bool has_any_line; /* was read in this pass */
};

static const char *
path_of(const struct replay_input *in)
{
    return strcmp(in->spec.path, "-") == 0 ? "/dev/stdin" : in->spec.path;
}

/* Thread: the calls'. */
static void
read_chunk(void *ctx)
{
    struct replay_input *in = ctx;
    struct log_position start = {0, 0};

    in->status = STATUS_OK;
    if (in->reader == NULL || in->rewinds) {
        log_reader_close(&in->reader);
        in->status = log_reader_open(&in->reader, path_of(in), LOG_TAIL_TAKE,
                                     REPLAY_LINE_MAX, start, &in->error);
        in->rewinds = false;
    }
    if (in->status == STATUS_OK)
        in->status =
            log_reader_read(in->reader, in->reading->chunk, &in->error);
}

static void
begin_reading(struct replay_input *in)
{
    if (in->reading != NULL || in->status != STATUS_OK || in->next != NULL ||
        in->free_count == 0)
        return;
    in->reading = in->free[--in->free_count];
    in->reading->given = 0;
    in->reading->settled = 0;
    in->reading->pass = in->pass;
    in->reading->is_spent = false;
    calls_begin(in->calls, &in->call);
}

static bool
has_line(struct log_chunk *chunk)
{
    struct log_line line;
    bool found = log_chunk_next(chunk, &line);

    chunk->cursor = 0;
    return found;
}

static void
on_chunk(void *ctx)
{
    struct replay_input *in = ctx;
    struct hold *h = in->reading;

    in->reading = NULL;
    in->has_any_line =
        in->has_any_line || (in->status == STATUS_OK && has_line(h->chunk));
    if (in->status != STATUS_OK) {
        in->free[in->free_count++] = h;
        if (in->status == STATUS_END && in->spec.loops && in->has_any_line) {
            in->status = STATUS_OK;
            in->rewinds = true;
            in->has_any_line = false;
            in->pass++;
        }
    } else if (in->filled == NULL) {
        in->filled = h;
    } else {
        in->next = h;
    }
    begin_reading(in);
    in->spec.on_lines(in->spec.ctx);
}

/* The chunk's lines were all given: it is free when they are settled. */
static void
retire(struct replay_input *in, struct hold *h)
{
    if (!h->is_spent || h->settled < h->given)
        return;
    in->free[in->free_count++] = h;
    begin_reading(in);
}

enum status
replay_input_open(struct replay_input **out, struct loop *l,
                  const struct replay_input_spec *spec, struct error *err)
{
    struct replay_input *in = calloc(1, sizeof(*in));
    enum status st;

    if (in == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for the input");
    in->magic = INPUT_MAGIC;
    in->spec = *spec;
    in->call = (struct call){read_chunk, on_chunk, in, false};
    st = calls_new(&in->calls, l, err);
    for (size_t i = 0; i < CHUNKS && st == STATUS_OK; i++) {
        in->holds[i].magic = HOLD_MAGIC;
        st = log_chunk_new(&in->holds[i].chunk, REPLAY_LINE_MAX, err);
        in->free[in->free_count++] = &in->holds[i];
    }
    if (st != STATUS_OK) {
        replay_input_free(&in);
        return st;
    }
    begin_reading(in);
    *out = in;
    return STATUS_OK;
}

enum status
replay_input_next(struct replay_input *in, struct replay_line *line,
                  struct error *err)
{
    struct log_line found;

    OBJ_CHECK(in, INPUT_MAGIC);
    while (in->filled != NULL) {
        struct hold *h = in->filled;

        if (log_chunk_next(h->chunk, &found)) {
            h->given++;
            *line = (struct replay_line){
                .data = found.data,
                .bytes = h->chunk->is_cut ? h->chunk->whole_bytes : found.bytes,
                .number = ++in->lines,
                .pass = h->pass,
                .read = found.next_offset,
                .hold = h,
                .is_cut = h->chunk->is_cut,
            };
            return STATUS_OK;
        }
        h->is_spent = true;
        in->filled = in->next;
        in->next = NULL;
        retire(in, h);
        begin_reading(in);
    }
    if (in->reading != NULL || in->status == STATUS_OK)
        return STATUS_AGAIN;
    if (in->status != STATUS_END)
        *err = in->error;
    return in->status;
}

void
replay_input_settle(struct replay_input *in, void *hold, size_t count)
{
    struct hold *h = hold;

    OBJ_CHECK(in, INPUT_MAGIC);
    OBJ_CHECK(h, HOLD_MAGIC);
    assert(h->settled + count <= h->given);
    h->settled += count;
    retire(in, h);
}

bool
replay_input_is_reading(const struct replay_input *in)
{
    OBJ_CHECK(in, INPUT_MAGIC);
    return in->reading != NULL;
}

void
replay_input_free(struct replay_input **self)
{
    struct replay_input *in;

    if (*self == NULL)
        return;
    OBJ_TAKE(in, self, INPUT_MAGIC);
    calls_free(&in->calls);
    log_reader_close(&in->reader);
    for (size_t i = 0; i < CHUNKS; i++)
        log_chunk_free(&in->holds[i].chunk);
    in->magic = 0;
    free(in);
}
