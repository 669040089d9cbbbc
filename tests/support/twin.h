/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_TWIN_H
#define SUPPORT_TWIN_H

#include "stages/event/decoder.h"

#include "tests/support/oracle.h"

/*
 * The decoder beside its oracle: both read every record, and where they differ
 * in a status, a value, a mask or a counter, an assertion ends the process.
 */

struct twin {
    struct decoder *decoder;
    struct oracle *oracle;
    struct columns *got;  /* the decoder's */
    struct columns *want; /* the oracle's */
};

/* What both look for: a spec with something of everything, and the words that
 * have a meaning in it, for draw_json. */
extern const struct event_spec twin_spec;
extern const char *const twin_words[];
extern const size_t twin_word_count;

/* twin_open makes both, with room for row_max rows; twin_close frees them. */
void twin_open(struct twin *t, size_t row_max);
void twin_close(struct twin *t);

/* twin_clear makes the columns of both empty. */
void twin_clear(struct twin *t);

/* twin_decode is decoder_decode into row `row` of got; meta is not NULL. */
enum status twin_decode(struct twin *t, const char *bytes, size_t len,
                        size_t row, struct event_meta *meta, struct error *err);

#endif
