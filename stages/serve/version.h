/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_VERSION_H
#define SERVE_VERSION_H

#include "stages/checkpoint/manifest.h"
#include "stages/event/contract.h"
#include "stages/load.h"
#include "stages/serve/request.h"

#include "daemon/base/error.h"

/*
 * One version of a model, loaded from its checkpoint alone, with all that
 * answering needs: never changed again but for its own work space. Of a
 * binary task there are the outputs NAME (probability) and NAME_logit, of a
 * class task the same with one value a class, of a regression NAME, its value.
 */

#define OUTPUT_LOGIT_SUFFIX "_logit"

enum output_kind {
    OUTPUT_PROBABILITY,
    OUTPUT_LOGIT,
    OUTPUT_VALUE, /* of a regression */
};

struct version_output {
    char name[MODEL_NAME_MAX + sizeof(OUTPUT_LOGIT_SUFFIX)];
    enum output_kind kind;
    enum task_kind task;
    size_t at;    /* of its logits in a row of them */
    size_t width; /* values a row */
};

struct version {
    unsigned magic;
    uint64_t number;
    char number_text[24];
    char model[MANIFEST_WORD_MAX]; /* as the manifest calls it */
    struct contract_owned contract;
    struct loaded_model loaded;
    struct version_output *outputs;
    const char **output_names;
    size_t output_count;
    size_t logit_count; /* a row */
    struct columns *columns;
    float *logits; /* (rows_max, logit_count) */
    struct request_reader *reader;
};

struct version_spec {
    const char *path; /* a version's directory, or one with `latest` */
    size_t rows_max;  /* of a request, and of a call of the model */
    size_t threads;
    size_t body_bytes_max;
};

/*
 * version_open loads and verifies. NOTFOUND, BADDATA, CONFIG (two outputs of
 * one name), NOMEM. Thread: any; blocks. Allocates.
 */
must_check enum status version_open(struct version **out,
                                    const struct version_spec *spec,
                                    struct error *err);

/* version_free frees *self and sets it NULL; NULL is fine. Thread: any. */
void version_free(struct version **self);

/* version_model_reads says whether the model reads this feature of the
 * contract; the others may be sent and change nothing. */
bool version_model_reads(const struct version *v, size_t feature);

#endif
