/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8, base64 and hexadecimal, as their RFCs say and nothing more lenient.
 */
#include "daemon/base/text.h"

#include <assert.h>
#include <stdint.h>

static bool
is_tail(unsigned char byte)
{
    return (byte & 0xC0u) == 0x80u;
}

size_t
text_utf8_step(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;

    assert(len > 0);
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4 || len < 2 || !is_tail(p[1]))
        return 0;
    if (p[0] < 0xE0)
        return 2;
    if (len < 3 || !is_tail(p[2]))
        return 0;
    if (p[0] < 0xF0) {
        bool is_overlong = p[0] == 0xE0 && p[1] < 0xA0;
        bool is_surrogate = p[0] == 0xED && p[1] > 0x9F;

        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (len < 4 || !is_tail(p[3]))
        return 0;
    if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return 4;
}

size_t
text_utf8_prefix(const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t step = text_utf8_step(bytes + at, len - at);

        if (step == 0)
            break;
        at += step;
    }
    return at;
}

size_t
text_base64(char *out, const void *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/=";
    const unsigned char *p = bytes;
    char *start = out;

    assert(out != NULL && (bytes != NULL || len == 0));
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)p[i] << 16;

        if (left > 1)
            group |= (uint32_t)p[i + 1] << 8;
        if (left > 2)
            group |= p[i + 2];
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = digits[left > 1 ? group >> 6 & 63 : 64];
        *out++ = digits[left > 2 ? group & 63 : 64];
    }
    return (size_t)(out - start);
}

void
text_hex(char *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    assert(out != NULL && (bytes != NULL || len == 0));
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}
