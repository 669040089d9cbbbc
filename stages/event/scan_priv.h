/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_SCAN_PRIV_H
#define EVENT_SCAN_PRIV_H

#include "stages/event/scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * What scan.c (values) and scan_keys.c (keys) share. Strings go 16 bytes at a
 * time where the processor can.
 */

#define STEP 16

/* scan_pass_space is scan_space where most often there is none. */
static inline void
scan_pass_space(struct scan *s)
{
    if (s->at < s->end && (unsigned char)*s->at <= ' ')
        scan_space(s);
}

/* Bytes that end the fast run through a string: controls, quote, backslash,
 * and everything outside of ASCII. */
static inline bool
is_plain(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that is not plain. Seen as signed, controls and
 * all outside of ASCII are below the space. */
static inline unsigned
find_special(__m128i bytes)
{
    __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(low, _mm_or_si128(quote, slash)));
}

static inline __m128i
load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}
#endif

/* scan_plain gives the first byte from `at` on that is not plain, or end. */
static inline const char *
scan_plain(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= STEP; at += STEP) {
        unsigned special = find_special(load(at));

        if (special != 0)
            return at + __builtin_ctz(special);
    }
#endif
    while (at < end && is_plain(*at))
        at++;
    return at;
}

/* scan_string reads a string; `at` is on its opening quote. */
must_check bool scan_string(struct scan *s, struct value *v);

/* scan_resolve writes a string that was checked to out, its escapes resolved;
 * gives the end. */
char *scan_resolve(char *out, const char *at, const char *end);

#endif
