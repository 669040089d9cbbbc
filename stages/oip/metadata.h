/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OIP_METADATA_H
#define OIP_METADATA_H

#include "stages/oip/datatype.h"
#include "stages/oip/response.h"

#include <stdint.h>

/*
 * What servers say of themselves and their models, beside the calls. Small
 * bodies, now and then. Thread: any. Allocate: a tree, until return.
 */

#define OIP_TENSORS_MAX 64
#define OIP_NAME_MAX    255

/* oip_server_has says whether GET /v2 lists an extension. */
bool oip_server_has(const char *body, size_t len, const char *extension);

/* oip_config_batch_max reads max_batch_size of Triton's .../config; false: it
 * has none. 0: the model has no batches. */
bool oip_config_batch_max(const char *body, size_t len, size_t *out);

/*
 * tfs_status_version reads which version of GET /v1/models/M can be asked: the
 * highest that is AVAILABLE, or `wanted` unless that is "". out has room for
 * OIP_VERSION_MAX + 1. MALFORMED when it is no such answer, AGAIN when there
 * is none yet.
 */
must_check enum status tfs_status_version(const char *body, size_t len,
                                          const char *wanted, char *out,
                                          struct error *err);

/* A tensor of a model's metadata. */
struct oip_tensor {
    char name[OIP_NAME_MAX + 1];
    char datatype[16];
    int64_t shape[8]; /* -1: any */
    size_t rank;
};

/* Of GET /v2/models/M. Lists that a server leaves out are empty. */
struct oip_metadata {
    struct oip_tensor inputs[OIP_TENSORS_MAX];
    size_t input_count;
    struct oip_tensor outputs[OIP_TENSORS_MAX];
    size_t output_count;
};

/* oip_metadata_read; MALFORMED. What exceeds the maxima is left out. */
must_check enum status oip_metadata_read(struct oip_metadata *out,
                                         const char *body, size_t len,
                                         struct error *err);

#endif
