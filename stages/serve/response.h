/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_RESPONSE_H
#define SERVE_RESPONSE_H

#include "stages/serve/request.h"
#include "stages/serve/version.h"

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

/*
 * The answer to an inference request, in JSON, and behind it the outputs that
 * were asked for in bytes.
 */

/*
 * response_write appends the answer to a request whose rows the version has
 * answered in v->logits. *json_len is how much of it is JSON; less than all of
 * it: bytes follow. INTERNAL when an output is not finite, TOOBIG, NOMEM: what
 * was appended is then without meaning. Thread: the one that has the version.
 * Allocates: out, up to its maximum.
 */
must_check enum status response_write(struct bytes *out, size_t *json_len,
                                      const char *model,
                                      const struct version *v,
                                      const struct request *request,
                                      struct error *err);

/* response_write_error appends {"error": text}. Thread: any. */
must_check enum status response_write_error(struct bytes *out, const char *text,
                                            struct error *err);

#endif
