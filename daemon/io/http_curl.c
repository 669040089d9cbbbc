/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's options and results, as all transfers of ours see them.
 */
#include "daemon/io/http_curl_priv.h"

void
http_curl_restrict(CURL *curl)
{
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
}

enum status
http_curl_status(CURLcode rc)
{
    switch ((int)rc) {
    case CURLE_OK:
        return STATUS_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return STATUS_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return STATUS_TOOBIG;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return STATUS_DENIED;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return STATUS_CONFIG;
    case CURLE_OUT_OF_MEMORY:
        return STATUS_NOMEM;
    default: /* also what is not HTTP: CURLE_UNSUPPORTED_PROTOCOL */
        return STATUS_REFUSED;
    }
}
