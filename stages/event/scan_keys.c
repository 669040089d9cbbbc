/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys. A key that comes twice is found by a filter of 64 bits and a short
 * search while an object is small, by a hash table from SMALL_MAX members on;
 * and not at all while the record has the keys of the last one.
 *
 * What is remembered is at all times the beginning of the keys of one record
 * in their order, each checked: a key that differs drops all behind it. So
 * keys of one object that are all as remembered differ from each other. Long
 * keys are remembered by their hash alone, and their objects always searched.
 */
#include "stages/event/scan_priv.h"

#include <assert.h>
#include <string.h>

#define SMALL_MAX   16 /* members until an object gets a table */
#define TABLE_BITS  11
#define FILTER_BITS 6

_Static_assert(SCAN_TABLE_SLOTS == 1 << TABLE_BITS, "bits of the table");
_Static_assert(SCAN_TABLE_SLOTS >= 2 * JSON_MEMBERS_MAX, "half of it free");

/* Are two long keys with the same hash and length the same text? */
static bool
is_same_text(struct scan *s, const struct scan_seen *a,
             const struct scan_seen *b)
{
    const char *x = s->start + a->raw;
    const char *y = s->start + b->raw;
    char *middle = scan_resolve(s->scratch, x, x + a->raw_bytes);
    char *end = scan_resolve(middle, y, y + b->raw_bytes);
    size_t len = (size_t)(middle - s->scratch);

    return (size_t)(end - middle) == len &&
           memcmp(s->scratch, middle, len) == 0;
}

static inline bool
is_same_key(struct scan *s, const struct scan_seen *a,
            const struct scan_seen *b)
{
    return a->low == b->low && a->high == b->high &&
           (a->high < KEY_LONG_MARK || is_same_text(s, a, b));
}

static void
put_into_table(uint16_t *table, uint64_t hash, size_t i)
{
    size_t slot = (size_t)(hash >> (64 - TABLE_BITS));

    while (table[slot] != 0)
        slot = (slot + 1) % SCAN_TABLE_SLOTS;
    table[slot] = (uint16_t)(i + 1);
}

static void
fill_table(uint16_t *table, const struct scan_seen *all, size_t count)
{
    memset(table, 0, SCAN_TABLE_SLOTS * sizeof(*table));
    for (size_t i = 0; i < count; i++) {
        struct key key = {.low = all[i].low, .high = all[i].high};

        key_mix(&key);
        put_into_table(table, key.hash, i);
    }
}

/* A large object: was the key there? */
static bool
find_in_table(struct scan *s, const struct scan_level *level, size_t count,
              uint64_t hash, const struct scan_seen *key)
{
    uint16_t *table = s->tables + ((size_t)s->depth - 1) * SCAN_TABLE_SLOTS;
    const struct scan_seen *all = s->seen + level->first;
    size_t slot = (size_t)(hash >> (64 - TABLE_BITS));

    if (count == SMALL_MAX)
        fill_table(table, all, count);
    for (; table[slot] != 0; slot = (slot + 1) % SCAN_TABLE_SLOTS) {
        if (is_same_key(s, &all[table[slot] - 1], key))
            return true;
    }
    table[slot] = (uint16_t)(count + 1);
    return false;
}

static bool
find_in_small(struct scan *s, const struct scan_level *level, size_t count,
              const struct scan_seen *key)
{
    const struct scan_seen *all = s->seen + level->first;

    for (size_t i = 0; i < count; i++) {
        if (is_same_key(s, &all[i], key))
            return true;
    }
    return false;
}

/* Notes a key that is not on the stack yet; false when it is. */
static bool
push_key(struct scan *s, struct scan_level *level, size_t i,
         const struct key *key)
{
    uint64_t bit = UINT64_C(1) << (key->hash >> (64 - FILTER_BITS));
    struct scan_seen *seen = &s->seen[level->first + i];
    bool is_twice = false;

    seen->low = key->low;
    seen->high = key->high;
    seen->raw = (uint32_t)(key->raw - s->start);
    seen->raw_bytes = (uint32_t)key->raw_bytes;
    if (i >= SMALL_MAX)
        is_twice = find_in_table(s, level, i, key->hash, seen);
    else if ((level->filter & bit) != 0)
        is_twice = find_in_small(s, level, i, seen);
    level->filter |= bit;
    s->seen_count = level->first + i + 1;
    return !is_twice;
}

/* Notes the keys of an object that were as remembered until now. */
static void
push_known(struct scan *s, struct scan_level *level)
{
    const struct scan_memo *m = s->memo + level->owner;

    for (size_t i = 0; i < level->count; m++) {
        bool is_new = true;

        if (m->owner == level->owner)
            is_new = push_key(s, level, i++, &m->key);
        assert(is_new);
    }
    level->known = SCAN_STRANGE;
}

/* Refuses a key that was there. */
static bool
check_key(struct scan *s, struct scan_level *level, const struct key *key)
{
    if (level->known != SCAN_STRANGE)
        push_known(s, level);
    if (level->count == JSON_MEMBERS_MAX)
        return scan_fail(s, key->raw - 1,
                         "more than 1024 members in an object");
    if (push_key(s, level, level->count, key))
        return true;
    s->problem_key = key->raw;
    s->problem_key_bytes = key->raw_bytes;
    return scan_fail(s, key->raw - 1, "duplicate key");
}

/* Makes what the next record is compared with; key and owner are set. */
static void
make_pattern(struct scan_memo *m, bool is_first)
{
    char text[SCAN_PATTERN] = {0};
    char keep[SCAN_PATTERN] = {0};

    m->indent = is_first ? 1 : 2;
    m->advance = m->indent + m->key.len + 2;
    if (m->key.text == m->key.raw && m->advance <= SCAN_PATTERN) {
        memcpy(text, is_first ? "\"" : ",\"", m->indent);
        memcpy(text + m->indent, m->key.text, m->key.len);
        memcpy(text + m->indent + m->key.len, "\":", 2);
        memset(keep, 0xFF, m->advance);
    } else {
        memset(text, 0xFF, SCAN_PATTERN); /* nothing is so, kept nowhere */
    }
    memcpy(m->pattern, text, SCAN_PATTERN);
    memcpy(m->keep, keep, SCAN_PATTERN);
}

/* A key that is long, has escapes or more than ASCII, or stands where the
 * record ends. */
static bool
read_any_key(struct scan *s, struct key *key)
{
    struct value v;
    const char *raw = s->at + 1;
    size_t raw_bytes;

    if (!scan_string(s, &v))
        return false;
    raw_bytes = v.len;
    scan_unescape(s, &v);
    key_set(key, v.text, v.len);
    key->raw = raw;
    key->raw_bytes = raw_bytes;
    return true;
}

/* `at` is on the quote. */
static inline bool
read_key(struct scan *s, struct key *key)
{
#ifdef __SSE2__
    static const unsigned char keep[2 * STEP] = {255, 255, 255, 255, 255, 255,
                                                 255, 255, 255, 255, 255, 255,
                                                 255, 255, 255, 255};
    const char *text = s->at + 1;

    if (s->end - text >= STEP) {
        __m128i bytes = load(text);
        unsigned special = find_special(bytes);
        unsigned n = (unsigned)__builtin_ctz(special | 1u << STEP);

        if (n < STEP && text[n] == '"') {
            uint64_t words[2];

            bytes = _mm_and_si128(bytes, load((const char *)keep + STEP - n));
            _mm_storeu_si128((__m128i *)(void *)words, bytes);
            key->low = words[0];
            key->high = words[1];
            key_mix(key);
            key->text = text;
            key->len = n;
            key->raw = text;
            key->raw_bytes = n;
            s->at = text + n + 1;
            return true;
        }
    }
#endif
    return read_any_key(s, key);
}

/* Reads the next key, and remembers it where it is another than the last
 * record's. */
static struct scan_memo *
take_key(struct scan *s, struct scan_level *level)
{
    struct scan_memo *m = s->upcoming;
    bool has_room = m < s->memo + SCAN_MEMO_MAX;
    bool is_same;
    struct key key;

    if (!read_key(s, &key))
        return NULL;
    is_same = m->owner == level->owner && m->key.low == key.low &&
              m->key.high == key.high;
    if (!is_same)
        m->owner = SCAN_UNKNOWN;
    if ((!is_same || level->known == SCAN_STRANGE ||
         key.high >= KEY_LONG_MARK) &&
        !check_key(s, level, &key))
        return NULL;
    if (!has_room)
        m = &s->own;
    m->key = key;
    if (!is_same) {
        m->parent = SCAN_UNKNOWN;
        make_pattern(m, level->count == 0);
    }
    if (has_room) {
        m->owner = level->owner;
        s->upcoming = m + 1;
        if (!is_same)
            m[1].owner = SCAN_UNKNOWN;
    }
    level->count++;
    return m;
}

static struct scan_memo *
refuse_member(struct scan *s, const char *why)
{
    (void)scan_fail(s, s->at, why);
    return NULL;
}

struct scan_memo *
scan_next_member(struct scan *s, struct scan_level *level)
{
    struct scan_memo *m;

    scan_pass_space(s);
    if (s->at == s->end)
        return refuse_member(s, "object without an end, expected }");
    if (*s->at == '}') {
        s->at++;
        s->depth--;
        s->seen_count = level->first;
        return NULL;
    }
    if (level->count > 0) {
        if (*s->at != ',')
            return refuse_member(s, "expected , or }");
        s->at++;
        scan_pass_space(s);
    }
    if (s->at == s->end || *s->at != '"')
        return refuse_member(s, "expected a key in quotes");
    m = take_key(s, level);
    if (m == NULL)
        return NULL;
    scan_pass_space(s);
    if (s->at == s->end || *s->at != ':')
        return refuse_member(s, "expected :");
    s->at++;
    return m;
}
