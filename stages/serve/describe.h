/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_DESCRIBE_H
#define SERVE_DESCRIBE_H

#include "stages/serve/host.h"

#include "daemon/base/bytes.h"

/*
 * What the server says about itself and its models, as JSON. Each appends to
 * out. TOOBIG, NOMEM. Thread: loop. Allocates: out.
 */

/* describe_server: GET /v2. */
must_check enum status describe_server(struct bytes *out, struct error *err);

/* describe_model: GET /v2/models/NAME. */
must_check enum status describe_model(struct bytes *out, const struct host *h,
                                      struct error *err);

/* describe_config: GET /v2/models/NAME/config, in the form of Triton's model
 * configuration. */
must_check enum status describe_config(struct bytes *out, const struct host *h,
                                       struct error *err);

#endif
