/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and times of events, and the partitioner of Kafka's Java clients.
 */
#include "stages/replay/route.h"

#include "stages/event/event_time.h"

#include "daemon/base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EVENT_BYTES_MAX (1u << 20)
#define MURMUR_SEED     0x9747b28cu
#define MURMUR_M        0x5bd1e995u

static void
read_key(const struct route *r, const struct cJSON *root, struct routed *out)
{
    const struct cJSON *value = json_find(root, r->key_path);
    const char *text = json_string(value);
    char number[24];
    int64_t integer;
    bool boolean;
    size_t len;

    if (text == NULL && json_integer(value, &integer)) {
        (void)snprintf(number, sizeof(number), "%" PRId64, integer);
        text = number;
    } else if (text == NULL && json_boolean(value, &boolean)) {
        text = boolean ? "true" : "false";
    }
    len = text != NULL ? strlen(text) : 0;
    if (text == NULL || len > sizeof(out->key))
        return;
    memcpy(out->key, text, len);
    out->key_bytes = len;
    out->has_key = true;
}

static void
read_time(const struct route *r, const struct cJSON *root, struct routed *out)
{
    const struct cJSON *value = json_find(root, r->time_path);
    const char *text = json_string(value);
    double number;

    if (text != NULL)
        out->has_time =
            event_time_text(text, strlen(text), r->time_unit, &out->time_ms);
    else if (json_number(value, &number))
        out->has_time = event_time_number(number, r->time_unit, &out->time_ms);
}

void
route_read(const struct route *r, const char *event, size_t len,
           struct routed *out)
{
    const struct json_limits limits = {EVENT_BYTES_MAX, JSON_DEPTH_MAX};
    struct cJSON *root = NULL;
    struct error err;

    out->key_bytes = 0;
    out->has_key = false;
    out->has_time = false;
    if (r->key_path == NULL && r->time_path == NULL)
        return;
    if (json_parse(&root, event, len, &limits, NULL, &err) != STATUS_OK)
        return;
    if (r->key_path != NULL)
        read_key(r, root, out);
    if (r->time_path != NULL)
        read_time(r, root, out);
    json_free(&root);
}

/* MurmurHash2 with the seed of org.apache.kafka.common.utils.Utils. */
static uint32_t
murmur2(const unsigned char *data, size_t len)
{
    uint32_t h = MURMUR_SEED ^ (uint32_t)len;
    size_t i = 0;

    for (; i + 4 <= len; i += 4) {
        uint32_t k = (uint32_t)data[i] | (uint32_t)data[i + 1] << 8 |
                     (uint32_t)data[i + 2] << 16 | (uint32_t)data[i + 3] << 24;

        k *= MURMUR_M;
        k ^= k >> 24;
        h = h * MURMUR_M ^ k * MURMUR_M;
    }
    for (size_t left = len - i; left > 0; left--)
        h ^= (uint32_t)data[i + left - 1] << (8 * (left - 1));
    if (i < len)
        h *= MURMUR_M;
    h ^= h >> 13;
    h *= MURMUR_M;
    return h ^ h >> 15;
}

int32_t
route_partition(const void *key, size_t len, int32_t partition_count)
{
    assert(partition_count > 0);
    return (int32_t)((murmur2(key, len) & 0x7fffffff) %
                     (uint32_t)partition_count);
}
