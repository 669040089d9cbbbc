/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_KAFKA_SETTINGS_H
#define STAGES_KAFKA_SETTINGS_H

#include "stages/settings.h"

#include "daemon/io/kafka.h"

/*
 * librdkafka's properties as the settings have them: those of kafka, and over
 * them those of kafka.consumer or kafka.producer.
 */
struct kafka_settings {
    struct kafka_properties consumer;
    struct kafka_properties producer;
    struct kafka_property *items; /* of both */
};

/* kafka_settings_init borrows s until kafka_settings_fini. NOMEM. */
must_check enum status kafka_settings_init(struct kafka_settings *k,
                                           const struct settings *s,
                                           struct error *err);
void kafka_settings_fini(struct kafka_settings *k);

#endif
