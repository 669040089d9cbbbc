/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 through libcrypto's EVP interface, which picks the CPU's own
 * instructions where there are any.
 */
#include "daemon/base/digest.h"

#include "daemon/base/object.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define DIGEST_MAGIC 0xd16e57a1u

struct digest {
    unsigned magic;
    EVP_MD_CTX *evp;
};

/* SHA-256 of good arguments only fails when libcrypto is broken. */
static void
expect_done(int result)
{
    assert(result == 1);
}

void
digest_hex(const unsigned char bytes[DIGEST_BYTES], char hex[DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[DIGEST_HEX_SIZE - 1] = '\0';
}

enum status
digest_new(struct digest **out, struct error *err)
{
    struct digest *d = calloc(1, sizeof(*d));

    *out = NULL;
    if (d == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a digest");
    d->magic = DIGEST_MAGIC;
    d->evp = EVP_MD_CTX_new();
    if (d->evp == NULL || EVP_DigestInit_ex(d->evp, EVP_sha256(), NULL) != 1) {
        digest_free(&d);
        return error_set(err, STATUS_INTERNAL, "libcrypto has no SHA-256");
    }
    *out = d;
    return STATUS_OK;
}

void
digest_add(struct digest *d, const void *data, size_t n)
{
    OBJ_CHECK(d, DIGEST_MAGIC);
    if (n > 0)
        expect_done(EVP_DigestUpdate(d->evp, data, n));
}

void
digest_finish(struct digest *d, char hex[DIGEST_HEX_SIZE])
{
    unsigned char bytes[DIGEST_BYTES];

    OBJ_CHECK(d, DIGEST_MAGIC);
    expect_done(EVP_DigestFinal_ex(d->evp, bytes, NULL));
    digest_hex(bytes, hex);
    expect_done(EVP_DigestInit_ex(d->evp, EVP_sha256(), NULL));
}

void
digest_free(struct digest **self)
{
    struct digest *d = *self;

    if (d == NULL)
        return;
    OBJ_CHECK(d, DIGEST_MAGIC);
    EVP_MD_CTX_free(d->evp);
    d->magic = 0;
    free(d);
    *self = NULL;
}

void
digest_once(const void *data, size_t n, char hex[DIGEST_HEX_SIZE])
{
    unsigned char bytes[DIGEST_BYTES];

    expect_done(
        EVP_Digest(n > 0 ? data : "", n, bytes, NULL, EVP_sha256(), NULL));
    digest_hex(bytes, hex);
}
