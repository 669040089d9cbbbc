/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_KAFKA_PRIV_H
#define IO_KAFKA_PRIV_H

#include "daemon/io/kafka.h"

#include <librdkafka/rdkafka.h>

/*
 * What the files of the kafka family share.
 */

/*
 * kafka_conf_new gives a configuration: our defaults, then the user's
 * properties, then what delivery depends on (forced, ended by a NULL name). The
 * caller hands it to rd_kafka_new or destroys it. CONFIG.
 */
must_check enum status kafka_conf_new(rd_kafka_conf_t **out,
                                      enum kafka_role role,
                                      const struct kafka_properties *properties,
                                      const struct kafka_property *forced,
                                      struct error *err);

/* kafka_client_new makes a handle; takes *conf in any case. */
must_check enum status kafka_client_new(rd_kafka_t **out, enum kafka_role role,
                                        rd_kafka_conf_t **conf,
                                        struct error *err);

/* kafka_status is the status that stands for a code of librdkafka's. */
enum status kafka_status(rd_kafka_resp_err_t code);

/* kafka_log passes a log event on to our log. */
void kafka_log(rd_kafka_event_t *event);

#endif
