/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VERSION_H
#define DAEMON_VERSION_H

/*
 * version_text lends what this build calls itself, such as
 * "0.1.0+g9582628b": the release and the commit. Thread: any.
 */
const char *version_text(void);

#endif
