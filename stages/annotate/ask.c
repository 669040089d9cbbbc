/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions, and the answers in them.
 */
#include "stages/annotate/ask.h"

#include "daemon/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REASONS_BYTES_MAX ((size_t)1 << 30)

enum status
ask_init(struct ask *a, size_t row_max, size_t width, struct error *err)
{
    assert(row_max > 0 && width > 0);
    memset(a, 0, sizeof(*a));
    a->row_max = row_max;
    a->width = width;
    a->wanted = calloc(row_max, 1);
    a->answers = calloc(row_max, 1);
    a->version_of = calloc(row_max, 1);
    a->reason_at = calloc(row_max, sizeof(a->reason_at[0]));
    a->logits = calloc(row_max * width, sizeof(a->logits[0]));
    bytes_init(&a->reasons, REASONS_BYTES_MAX);
    if (a->wanted == NULL || a->answers == NULL || a->version_of == NULL ||
        a->reason_at == NULL || a->logits == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for %zu answers",
                         row_max);
    return STATUS_OK;
}

void
ask_fini(struct ask *a)
{
    assert(!a->is_under_way);
    free(a->wanted);
    free(a->answers);
    free(a->version_of);
    free(a->reason_at);
    free(a->logits);
    bytes_fini(&a->reasons);
    memset(a, 0, sizeof(*a));
}

void
ask_begin(struct ask *a, const struct batch *b)
{
    size_t rows = b->columns->row_count;

    assert(rows <= a->row_max && !a->is_under_way);
    a->batch = b;
    a->wanted_count = 0;
    memset(a->wanted, 0, rows);
    memset(a->answers, ANSWER_NONE, rows);
    a->version_count = 0;
    bytes_clear(&a->reasons);
    error_clear(&a->error);
    a->work_ns = 0;
    a->began_ns = 0;
    a->is_canceled = false;
    a->was_asked = false;
    a->own = NULL;
}

void
ask_want(struct ask *a, size_t row)
{
    assert(row < a->batch->columns->row_count);
    a->wanted_count += a->wanted[row] == 0;
    a->wanted[row] = 1;
}

enum status
ask_version(struct ask *a, const char *version, size_t *index,
            struct error *err)
{
    size_t len = strnlen(version, LABEL_VERSION_MAX + 1);

    for (size_t i = 0; i < a->version_count; i++) {
        if (strcmp(a->versions[i], version) == 0) {
            *index = i;
            return STATUS_OK;
        }
    }
    if (len > LABEL_VERSION_MAX)
        return error_set(err, STATUS_TOOBIG,
                         "the teacher's version has more than %d bytes",
                         LABEL_VERSION_MAX);
    if (text_utf8_prefix(version, len) != len)
        return error_set(err, STATUS_MALFORMED,
                         "the teacher's version is no UTF-8 text");
    if (a->version_count == ASK_VERSIONS_MAX)
        return error_set(err, STATUS_TOOBIG,
                         "more than %d versions of the teacher answer for one "
                         "batch",
                         ASK_VERSIONS_MAX);
    memcpy(a->versions[a->version_count], version, len + 1);
    *index = a->version_count++;
    return STATUS_OK;
}

float *
ask_give(struct ask *a, size_t row, size_t version)
{
    float *logits = a->logits + row * a->width;

    assert(row < a->batch->columns->row_count && a->wanted[row]);
    assert(version < a->version_count);
    a->answers[row] = ANSWER_GIVEN;
    a->version_of[row] = (uint8_t)version;
    for (size_t i = 0; i < a->width; i++)
        logits[i] = NAN;
    return logits;
}

void
ask_reject(struct ask *a, size_t row, const char *reason)
{
    size_t len = strnlen(reason, ERROR_TEXT_MAX);
    size_t at = a->reasons.used;

    assert(row < a->batch->columns->row_count && a->wanted[row]);
    if (bytes_reserve(&a->reasons, len + 1, &a->error) != STATUS_OK)
        return;
    memcpy(a->reasons.data + at, reason, len);
    a->reasons.data[at + len] = '\0';
    a->reasons.used += len + 1;
    a->answers[row] = ANSWER_REJECTED;
    a->reason_at[row] = (uint32_t)at;
}

const char *
ask_reason(const struct ask *a, size_t row)
{
    assert(a->answers[row] == ANSWER_REJECTED);
    return a->reasons.data + a->reason_at[row];
}
