/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_HTTP_CURL_PRIV_H
#define IO_HTTP_CURL_PRIV_H

#include "daemon/base/status.h"

#include <curl/curl.h>

/*
 * What the users of libcurl share; for http_client.c and http_calls.c.
 */

/* http_curl_restrict sets what holds for every transfer: http and https alone,
 * no signal, no proxy whatever the environment says. */
void http_curl_restrict(CURL *curl);

/* http_curl_status says in our words how a transfer ended. */
enum status http_curl_status(CURLcode rc);

#endif
