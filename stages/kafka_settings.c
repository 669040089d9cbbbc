/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three lists in one array.
 */
#include "stages/kafka_settings.h"

#include <stdlib.h>

static struct kafka_property *
copy_properties(struct kafka_property *to, const struct setting_properties *p)
{
    for (size_t i = 0; i < p->count; i++)
        *to++ = (struct kafka_property){p->items[i].name, p->items[i].value};
    return to;
}

enum status
kafka_settings_init(struct kafka_settings *k, const struct settings *s,
                    struct error *err)
{
    struct kafka_property *at;

    *k = (struct kafka_settings){0};
    k->items = calloc(s->kafka.count + s->kafka_consumer.count +
                          s->kafka_producer.count + 1,
                      sizeof(*k->items));
    if (k->items == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for properties");
    at = copy_properties(k->items, &s->kafka);
    k->consumer = (struct kafka_properties){
        .common = k->items,
        .common_count = s->kafka.count,
        .own = at,
        .own_count = s->kafka_consumer.count,
    };
    k->producer = k->consumer;
    at = copy_properties(at, &s->kafka_consumer);
    k->producer.own = at;
    k->producer.own_count = s->kafka_producer.count;
    (void)copy_properties(at, &s->kafka_producer);
    return STATUS_OK;
}

void
kafka_settings_fini(struct kafka_settings *k)
{
    free(k->items);
    *k = (struct kafka_settings){0};
}
