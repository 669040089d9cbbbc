/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_SCAN_H
#define EVENT_SCAN_H

#include "stages/event/key.h"

#include "daemon/base/error.h"
#include "daemon/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The scanner of the hot path: walks over a record's bytes once, as its caller
 * directs, and checks on the way everything that json_parse checks, duplicate
 * keys included. It builds no tree and copies no text but what has escapes.
 *
 *   scan_value(s, &v)             a scalar, or the beginning of { or [
 *   scan_open(s, &level)          into it; then, until the end,
 *   m = scan_member(s, &level)    each member's key; or
 *   scan_element(s, &level)       each element; the caller takes the value
 *   scan_skip(s)                  over any value
 *
 * The functions say false or NULL when the record is broken; those in the loop
 * also at the end, so ask scan_failed then. To walk over a part again, set
 * `at` back to where it was at the same nesting. Thread: one at a time.
 * Nothing but scan_init allocates.
 *
 * Records of one log look alike. So the scanner remembers the keys of the last
 * one in their order, and where the next has the same, it compares 16 bytes
 * and need not look for a key's end nor for a twin: the objects of what it
 * remembers had none.
 */

enum value_kind {
    VALUE_NULL,
    VALUE_FALSE,
    VALUE_TRUE,
    VALUE_NUMBER,
    VALUE_STRING,
    VALUE_OBJECT, /* `at` is still on the bracket, as it is for a list */
    VALUE_LIST,
};

struct value {
    enum value_kind kind;
    bool is_escaped;  /* STRING: text has escapes, see scan_unescape */
    bool is_negative; /* NUMBER: and so on */
    bool is_plain;    /* digits alone, no fraction, no exponent */
    unsigned digits;  /* in the mantissa, which is wrong beyond 19 */
    int exponent;     /* of ten */
    uint64_t mantissa;
    const char *text; /* STRING, NUMBER: lent, see scan_unescape */
    size_t len;
};

/* A key that was seen in an object that is still open. */
struct scan_seen {
    uint64_t low; /* as in struct key */
    uint64_t high;
    uint32_t raw; /* where it stands, without quotes */
    uint32_t raw_bytes;
};

#define SCAN_PATTERN 16

/* No owner and no node: the caller's numbers are below. */
#define SCAN_UNKNOWN UINT32_MAX

/* No owner either, and not the same. */
#define SCAN_STRANGE (UINT32_MAX - 1)

/* The n-th key of a record, remembered for the next one. */
struct scan_memo {
    uint64_t pattern[2]; /* all from , or " to the colon, then zeros */
    uint64_t keep[2];    /* ones where the pattern has something; nowhere, for
                            a pattern of ones, where it would not fit */
    size_t advance;      /* bytes of the pattern */
    size_t indent;       /* bytes before its key */
    uint32_t owner;      /* how many keys were before its object's first;
                            SCAN_UNKNOWN behind the last that is remembered */
    uint32_t parent;     /* the caller's: two numbers that go with the key, */
    uint32_t child;      /* parent SCAN_UNKNOWN until it sets them */
    struct key key;
};

struct scan {
    const char *at;
    const char *end;
    const char *start;
    const char *problem;     /* NULL while all is well; its place is `at` */
    const char *problem_key; /* raw, or NULL */
    size_t problem_key_bytes;
    unsigned depth;   /* brackets that are open */
    unsigned deepest; /* ever */
    unsigned depth_max;
    struct scan_memo *memo;     /* (SCAN_MEMO_MAX + 1) */
    struct scan_memo *upcoming; /* of the next key */
    struct scan_memo own;       /* of a key behind all of them */
    struct scan_seen *seen;     /* (depth_max * JSON_MEMBERS_MAX), a stack */
    size_t seen_count;
    uint16_t *tables; /* (depth_max, SCAN_TABLE_SLOTS) for large objects */
    char *scratch;    /* (bytes_max) where escapes are resolved */
};

/* An object or list that is being walked over. */
struct scan_level {
    size_t first;   /* of its keys on the stack */
    size_t count;   /* members or elements so far */
    uint32_t owner; /* keys of the record before it */
    uint32_t known; /* owner while all its keys are as remembered, and so no
                       two the same and none on the stack; then SCAN_STRANGE */
    uint64_t filter;
};

/* The keys that are remembered, of the first ones of a record. */
#define SCAN_MEMO_MAX 256

/* Twice JSON_MEMBERS_MAX, a power of two. */
#define SCAN_TABLE_SLOTS 2048

/*
 * scan_init prepares it for records of at most bytes_max bytes. NOMEM leaves
 * it empty. Allocates about 26 KiB for each level of depth_max and bytes_max,
 * of which pages that no record ever needs stay untouched.
 */
must_check enum status scan_init(struct scan *s, size_t bytes_max,
                                 size_t depth_max, struct error *err);

/* scan_fini frees what scan_init allocated. */
void scan_fini(struct scan *s);

/* scan_begin puts it at the first byte of a record, which it borrows until
 * the next one. */
void scan_begin(struct scan *s, const char *bytes, size_t len);

/* scan_failed says whether the record is broken. */
static inline bool
scan_failed(const struct scan *s)
{
    return s->problem != NULL;
}

/* scan_place is the byte that the scanner is at. */
static inline size_t
scan_place(const struct scan *s)
{
    return (size_t)(s->at - s->start);
}

/* scan_error puts the place and the problem into *err, MALFORMED. */
must_check enum status scan_error(const struct scan *s, struct error *err);

/* scan_fail notes a problem at a place and says false. */
bool scan_fail(struct scan *s, const char *at, const char *problem);

/* scan_space moves over white space. */
void scan_space(struct scan *s);

/* scan_value reads a scalar, or finds where a list or object begins; white
 * space before it is fine. */
must_check bool scan_value(struct scan *s, struct value *v);

/* scan_unescape resolves the escapes of a string: text and len are then its
 * characters, lent until the next call or key. */
void scan_unescape(struct scan *s, struct value *v);

/* scan_open goes into the object or list whose bracket is at `at`. */
must_check bool scan_open(struct scan *s, struct scan_level *level);

/* scan_next_member is scan_member where the key is not as remembered. */
must_check struct scan_memo *scan_next_member(struct scan *s,
                                              struct scan_level *level);

/* scan_member reads the next key and its colon, and lends the key until the
 * next one. NULL at the end of the object or of all. */
must_check static inline struct scan_memo *
scan_member(struct scan *s, struct scan_level *level)
{
    struct scan_memo *m = s->upcoming;
    const char *at = s->at;
    uint64_t low;
    uint64_t high;

    if (m->owner != level->known || s->end - at < SCAN_PATTERN)
        return scan_next_member(s, level);
    memcpy(&low, at, sizeof(low));
    memcpy(&high, at + sizeof(low), sizeof(high));
    if ((((low & m->keep[0]) ^ m->pattern[0]) |
         ((high & m->keep[1]) ^ m->pattern[1])) != 0)
        return scan_next_member(s, level);
    m->key.text = at + m->indent;
    m->key.raw = m->key.text;
    s->at = at + m->advance;
    s->upcoming = m + 1;
    level->count++;
    return m;
}

/* scan_element goes to the next element. False as in scan_member. */
must_check bool scan_element(struct scan *s, struct scan_level *level);

/* scan_skip moves over one value, of any kind. Recursion is bounded by
 * depth_max. */
must_check bool scan_skip(struct scan *s);

/* Room for any scalar's text but a string's. */
#define VALUE_TEXT_MAX (JSON_NUMBER_MAX + 1)

/* value_double is a NUMBER as strtod reads it, which may be infinite. */
double value_double(const struct value *v);

/* value_integer: a number that is an integer within +-JSON_INTEGER_MAX. */
must_check bool value_integer(const struct value *v, int64_t *out);

/*
 * value_text gives the canonical text of a scalar whose escapes are resolved:
 * a string's characters, an integer's decimal digits ("-" before a negative
 * one, no exponent; 7, 7.0 and 70e-1 are all "7", and -0 is "0"; plain digits
 * keep every digit, however many), "true" and "false". NULL for everything
 * else. scratch has VALUE_TEXT_MAX bytes; lends until that, the record or the
 * value's text changes.
 */
const char *value_text(const struct value *v, char *scratch, size_t *len);

#endif
