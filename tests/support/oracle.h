/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_ORACLE_H
#define SUPPORT_ORACLE_H

#include "stages/event/decoder.h"

/*
 * The decoder once more, slow and obvious: cJSON builds a tree, every path is
 * walked through it for itself. What it says is what decoder.h means, and the
 * decoder must agree with it in everything but the wording of its reasons. It
 * is right about specs that decoder_new has accepted.
 */

struct oracle;

/* The functions are those of decoder.h. */
must_check enum status oracle_new(struct oracle **out,
                                  const struct event_spec *spec,
                                  struct error *err);
void oracle_free(struct oracle **self);
must_check enum status oracle_decode(struct oracle *o, const char *bytes,
                                     size_t len, struct columns *c, size_t row,
                                     struct event_meta *meta,
                                     struct error *err);
const struct decoder_counters *oracle_counters(const struct oracle *o);
const struct feature_counters *oracle_feature(const struct oracle *o, size_t i);
const struct task_counters *oracle_task(const struct oracle *o, size_t i);

/* oracle_id is feature_id, computed by the library. */
uint64_t oracle_id(const char *name, const char *text, size_t len);

#endif
