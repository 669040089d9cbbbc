/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of pages.
 */
#include "stages/admin_url.h"

#include <stdio.h>
#include <string.h>

enum status
admin_url_make(char out[ADMIN_URL_MAX], const char *base, const char *page,
               struct error *err)
{
    const char *end = strstr(base, "://");
    const char *host = end != NULL ? end + 3 : base;
    int scheme_len = end != NULL ? (int)(end - base) : 4;
    size_t len = strlen(host);
    int n = -1;

    while (len > 0 && host[len - 1] == '/')
        len--;
    if (len < ADMIN_URL_MAX && scheme_len < ADMIN_URL_MAX)
        n = snprintf(out, ADMIN_URL_MAX, "%.*s://%.*s%s", scheme_len,
                     end != NULL ? base : "http", (int)len, host, page);
    if (n < 0 || n >= ADMIN_URL_MAX || len == 0)
        return error_set(err, STATUS_USAGE,
                         "\"%.100s\" is no address of an admin port, expected "
                         "one such as http://127.0.0.1:8642",
                         base);
    return STATUS_OK;
}
