/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer's entry: whatever the bytes are, the reader refuses them or lends
 * tensors that lie inside of them.
 */
#include "stages/checkpoint/safetensors.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *s = NULL;
    struct error err;
    size_t total = 0;

    if (safetensors_parse(&s, data, size, "input", &err) != STATUS_OK) {
        assert(s == NULL && err.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct tensor *t = &safetensors_tensors(s)[i];
        const uint8_t *at = t->data;
        size_t bytes = safetensors_type_bytes(t->type);

        for (size_t k = 0; k < t->rank; k++)
            bytes *= (size_t)t->shape[k];
        assert(at >= data && at + bytes <= data + size);
        total += bytes;
        (void)safetensors_find(s, t->name);
    }
    assert(total <= size);
    safetensors_free(&s);
    return 0;
}
