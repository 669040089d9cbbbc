/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "daemon/base/error.h"

#include <stddef.h>

/*
 * SHA-256, in one go or piece by piece. The only user of libcrypto.
 */

#define DIGEST_BYTES    32
#define DIGEST_HEX_SIZE 65 /* with the final NUL */

struct digest;

/* digest_new gives a digest of nothing yet. Allocates. Thread: any. */
must_check enum status digest_new(struct digest **out, struct error *err);

/* digest_add takes n more bytes in. Thread: the owner's. */
void digest_add(struct digest *d, const void *data, size_t n);

/* digest_finish writes the digest of all that was added, as lower-case hex,
 * and starts anew. Thread: the owner's. */
void digest_finish(struct digest *d, char hex[DIGEST_HEX_SIZE]);

/* digest_free frees *self and sets it NULL; NULL is fine. */
void digest_free(struct digest **self);

/* digest_once writes the digest of n bytes as hex. Thread: any. */
void digest_once(const void *data, size_t n, char hex[DIGEST_HEX_SIZE]);

/* digest_hex writes DIGEST_BYTES bytes as lower-case hex. Thread: any. */
void digest_hex(const unsigned char bytes[DIGEST_BYTES],
                char hex[DIGEST_HEX_SIZE]);

#endif
