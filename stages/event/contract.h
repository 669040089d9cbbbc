/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_CONTRACT_H
#define EVENT_CONTRACT_H

#include "stages/event/spec.h"

#include "daemon/base/error.h"
#include "daemon/base/json_writer.h"

#include <stddef.h>

/*
 * The feature contract: what someone who serves a published model must do to
 * an event before it is the model's input. Features with their kinds, paths
 * and transformations, the rule for ids with test vectors a feature, and the
 * tasks. Deterministic JSON; a digest over its bytes tells whether two models
 * read events in the same way.
 */

#define CONTRACT_SCHEMA "distilld.feature_contract/1"

/* contract_put puts the contract as one value, in an order and form that
 * depends on spec and the writer's indent alone. */
void contract_put(struct json_writer *w, const struct event_spec *spec);

/*
 * contract_write writes the contract on one line without a line feed: the
 * input of the digest. TOOBIG when it does not fit; contract_bytes_max says
 * what always does. Thread: any. Allocates: nothing.
 */
must_check enum status contract_write(const struct event_spec *spec, char *buf,
                                      size_t capacity, size_t *len,
                                      struct error *err);

size_t contract_bytes_max(const struct event_spec *spec);

#endif
