/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_ADMIN_URL_H
#define STAGES_ADMIN_URL_H

#include "daemon/base/error.h"

#define ADMIN_URL_MAX 512

/* admin_url_make writes the address of a page of an admin port: base may lack
 * its scheme and end with a slash. USAGE when it is too long. Thread: any. */
must_check enum status admin_url_make(char out[ADMIN_URL_MAX], const char *base,
                                      const char *page, struct error *err);

#endif
