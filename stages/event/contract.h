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

/* A contract that was read back, with the memory that its spec points into. */
struct contract_owned {
    struct event_spec spec;
    struct event_feature *features;
    struct event_task *tasks;
    char *text;               /* names and paths */
    double *boundaries;       /* of all features */
    const char **class_names; /* of all tasks */
};

/* What contract_parse takes at most. */
#define CONTRACT_BYTES_MAX    ((size_t)16 << 20)
#define CONTRACT_FEATURES_MAX 1024
#define CONTRACT_TASKS_MAX    64

/*
 * contract_parse reads what contract_write wrote: the features and tasks of a
 * published model, so that it can be asked without the configuration that
 * made it. What a contract does not tell (where an event has its id, time and
 * weight, the teacher's answers) is as if not configured. Members that it does
 * not know are skipped. BADDATA, with `name` in front, names the member that
 * is wrong; it is so too when the rule for ids, or a test vector, is another
 * than feature_id's. After it: contract_fini. Thread: any. Allocates.
 */
must_check enum status contract_parse(struct contract_owned *out,
                                      const char *text, size_t len,
                                      const char *name, struct error *err);

/* contract_fini frees what it owns and clears it; a cleared one is fine. */
void contract_fini(struct contract_owned *c);

#endif
