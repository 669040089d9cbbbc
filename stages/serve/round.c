/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading, asking the model, answering. Where the rows of a round do not fit
 * into one batch, it becomes several.
 */
#include "stages/serve/round.h"

#include "stages/event/batch_columns.h"
#include "stages/serve/response.h"

#include "daemon/base/clock.h"

#include <assert.h>

#define CODE_OK       200
#define CODE_BAD      400
#define CODE_INTERNAL 500

/* The memory of an answer ended: this one needs none. */
static void
refuse(struct job *job, unsigned code, const char *text)
{
    struct error err;

    bytes_clear(&job->answer);
    job->code = code;
    if (response_write_error(&job->answer, text, &err) != STATUS_OK)
        job->code = CODE_INTERNAL;
    job->answer_json_len = job->answer.used;
}

/* Answers the jobs from first up to end, as far as they were read. */
static void
answer_batch(struct round *r, struct job *first, const struct job *end)
{
    struct version *v = r->version;
    struct error err;
    uint64_t began;

    if (v->columns->row_count == 0)
        return;
    began = clock_now_ns();
    model_predict(v->loaded.model, v->columns, v->logits);
    r->model_ns += clock_now_ns() - began;
    r->calls++;
    r->rows += v->columns->row_count;
    for (struct job *job = first; job != end; job = job->next) {
        if (job->code != 0)
            continue;
        job->code = CODE_OK;
        if (response_write(&job->answer, &job->answer_json_len, r->model, v,
                           &job->request, &err) != STATUS_OK)
            refuse(job, CODE_INTERNAL, err.text);
    }
    columns_clear(v->columns);
}

void
round_run(struct round *r)
{
    struct version *v = r->version;
    struct job *first = r->first;
    struct error err;

    assert(v->columns->row_count == 0);
    for (struct job *job = r->first; job != NULL; job = job->next) {
        enum status st =
            request_read(v->reader, job->body.data, job->body.used,
                         job->json_len, v->columns, &job->request, &err);

        if (st == STATUS_AGAIN) {
            answer_batch(r, first, job);
            first = job;
            st = request_read(v->reader, job->body.data, job->body.used,
                              job->json_len, v->columns, &job->request, &err);
        }
        if (st != STATUS_OK)
            refuse(job, CODE_BAD, err.text);
    }
    answer_batch(r, first, NULL);
}
