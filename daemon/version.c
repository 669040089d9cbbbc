/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that is compiled with the version, so that a new commit
 * rebuilds nothing else.
 */
#include "daemon/version.h"

#ifndef DISTILLD_VERSION
#define DISTILLD_VERSION "unknown"
#endif

const char *
version_text(void)
{
    return DISTILLD_VERSION;
}
