/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of problems, the memory pool, and the nearness of words.
 */
#include "daemon/settings_priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES      ((size_t)16 * 1024)
#define POOL_BYTES_MAX   ((size_t)64 * 1024 * 1024)
#define COMPARE_TEXT_MAX 64

struct settings_block {
    struct settings_block *next;
    size_t bytes;
    /* The memory that is lent, aligned for every kind of value. */
    _Alignas(16) unsigned char data[];
};

static bool
grow_pool(struct settings_pool *pool, size_t bytes)
{
    struct settings_block *b;

    if (bytes > POOL_BYTES_MAX - pool->total)
        return false;
    b = calloc(1, sizeof(*b) + bytes);
    if (b == NULL)
        return false;
    b->next = pool->blocks;
    b->bytes = bytes;
    pool->blocks = b;
    pool->used = 0;
    pool->total += bytes;
    return true;
}

void *
settings_pool_get(struct settings_pool *pool, size_t bytes)
{
    void *p;

    assert(pool != NULL);
    if (bytes > POOL_BYTES_MAX)
        return NULL;
    bytes = bytes == 0 ? 16 : (bytes + 15) / 16 * 16;
    if (pool->blocks == NULL || pool->blocks->bytes - pool->used < bytes) {
        if (!grow_pool(pool, bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES))
            return NULL;
    }
    p = pool->blocks->data + pool->used;
    pool->used += bytes;
    return p;
}

char *
settings_pool_text(struct settings_pool *pool, const char *text, size_t n)
{
    char *copy = settings_pool_get(pool, n + 1);

    if (copy != NULL)
        memcpy(copy, text, n);
    return copy;
}

void
settings_pool_fini(struct settings_pool *pool)
{
    assert(pool != NULL);
    while (pool->blocks != NULL) {
        struct settings_block *b = pool->blocks;

        pool->blocks = b->next;
        free(b);
    }
    memset(pool, 0, sizeof(*pool));
}

void
settings_problems_add(struct settings_problems *problems,
                      struct setting_mark mark, const char *format, ...)
{
    struct settings_problem *p;
    char text[ERROR_TEXT_MAX];
    va_list args;

    assert(problems != NULL);
    if (problems->items == NULL)
        problems->items = calloc(SETTINGS_PROBLEMS_MAX, sizeof(*p));
    if (problems->items == NULL || problems->count == SETTINGS_PROBLEMS_MAX) {
        problems->dropped++;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    p = &problems->items[problems->count];
    p->mark = mark;
    p->text = strdup(text);
    if (p->text == NULL)
        problems->dropped++;
    else
        problems->count++;
}

static bool
comes_after(const struct settings_problem *a, const struct settings_problem *b)
{
    if (a->mark.line != b->mark.line)
        return a->mark.line > b->mark.line;
    return a->mark.column > b->mark.column;
}

void
settings_problems_sort(struct settings_problems *problems)
{
    assert(problems != NULL);
    /* Insertion keeps the order of equals; there are few. */
    for (size_t i = 1; i < problems->count; i++) {
        struct settings_problem p = problems->items[i];
        size_t j = i;

        for (; j > 0 && comes_after(&problems->items[j - 1], &p); j--)
            problems->items[j] = problems->items[j - 1];
        problems->items[j] = p;
    }
}

void
settings_problems_print(const struct settings_problems *problems,
                        const char *name, FILE *f)
{
    assert(problems != NULL && name != NULL && f != NULL);
    for (size_t i = 0; i < problems->count; i++) {
        const struct settings_problem *p = &problems->items[i];

        if (p->mark.line == 0)
            (void)fprintf(f, "%s: %s\n", name, p->text);
        else
            (void)fprintf(f, "%s:%zu:%zu: %s\n", name, p->mark.line,
                          p->mark.column, p->text);
    }
    if (problems->dropped > 0)
        (void)fprintf(f, "%s: and %zu more\n", name, problems->dropped);
}

void
settings_problems_fini(struct settings_problems *problems)
{
    assert(problems != NULL);
    for (size_t i = 0; i < problems->count; i++)
        free(problems->items[i].text);
    free(problems->items);
    memset(problems, 0, sizeof(*problems));
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t
settings_distance(const char *a, const char *b)
{
    size_t row[3][COMPARE_TEXT_MAX + 1];
    size_t n = strlen(a);
    size_t m = strlen(b);

    if (n > COMPARE_TEXT_MAX || m > COMPARE_TEXT_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3];
        const size_t *last = row[(i + 2) % 3];
        const size_t *older = row[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);

            d = least(d, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = least(d, older[j - 2] + 1);
            now[j] = d;
        }
    }
    return row[n % 3][m];
}

bool
settings_is_near(const char *text, size_t distance)
{
    return distance <= least(1 + strlen(text) / 4, 3);
}

const char *
settings_show_text(char buf[SETTINGS_SHOWN_MAX], const char *text)
{
    size_t n = 0;

    buf[n++] = '\'';
    for (; *text != '\0' && n < SETTINGS_SHOWN_MAX - 12; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c != 0x7f)
            buf[n++] = (char)c;
        else
            n += (size_t)snprintf(buf + n, 5, "\\x%02x", c);
    }
    /* A cut text must not end within a character. */
    while (*text != '\0' && n > 1 && ((unsigned char)*text & 0xc0) == 0x80) {
        text--;
        n--;
    }
    (void)snprintf(buf + n, SETTINGS_SHOWN_MAX - n, "%s",
                   *text == '\0' ? "'" : "...'");
    return buf;
}
