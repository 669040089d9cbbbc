/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SERVICE_MANAGER_H
#define IO_SERVICE_MANAGER_H

#include "daemon/base/macros.h"

#include <stdint.h>

/*
 * What systemd is told of a service (sd_notify(3)): datagrams to the socket
 * that NOTIFY_SOCKET names. Without one, or while its queue is full, nothing
 * is sent and nobody waits: the protocol promises no delivery. Written here
 * since libsystemd's own blocks on a full queue. Thread: loop.
 */

/*
 * service_manager_tell sends "READY=1", "STOPPING=1", "STATUS=...",
 * "WATCHDOG=1", "RELOADING=1\nMONOTONIC_USEC=..." or another assignment.
 */
print_like(1, 2) void service_manager_tell(const char *format, ...);

/* service_manager_tell_reloading says that a reload begins, with the time that
 * systemd wants to hear. */
void service_manager_tell_reloading(void);

/* service_manager_watchdog_ms is how often "WATCHDOG=1" is due, half of the
 * time after which this process is killed; 0: nobody watches. */
uint64_t service_manager_watchdog_ms(void);

#endif
