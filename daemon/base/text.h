/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Small questions about bytes that claim to be text. No locale anywhere.
 */

/*
 * text_utf8_step gives the length, 1 to 4, of the character that starts at
 * bytes, of which len > 0 are there; 0 where it is not well-formed UTF-8
 * (overlong, surrogate, above U+10FFFF, cut off). Thread: any.
 */
size_t text_utf8_step(const char *bytes, size_t len);

/* text_utf8_prefix gives how many of the bytes are well-formed UTF-8; len
 * when all are. Thread: any. */
size_t text_utf8_prefix(const char *bytes, size_t len);

/* What text_base64 needs for len bytes, without a terminator. */
#define TEXT_BASE64_BYTES(len) (((len) + 2) / 3 * 4)

/*
 * text_base64 writes bytes in base64 (RFC 4648, padded, no line breaks) to
 * out, which has room for TEXT_BASE64_BYTES(len). Returns what it wrote; no
 * terminator. Thread: any.
 */
size_t text_base64(char *out, const void *bytes, size_t len);

/* text_hex writes 2 * len lower-case digits and a terminator. Thread: any. */
void text_hex(char *out, const void *bytes, size_t len);

#endif
