/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One datagram a message, from a socket opened for it: they are few.
 */
#include "daemon/io/service_manager.h"

#include "daemon/base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX 1024

static void
send_message(const char *text, size_t n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t path_bytes = path != NULL ? strlen(path) : 0;
    int fd;

    /* A path, or with @ a name in the abstract space. */
    if (path_bytes < 2 || path_bytes >= sizeof(to.sun_path) ||
        (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, path_bytes);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(
        fd, text, n, MSG_NOSIGNAL, (const struct sockaddr *)&to,
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes));
    (void)close(fd);
}

void
service_manager_tell(const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n > 0)
        send_message(text,
                     (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void
service_manager_tell_reloading(void)
{
    service_manager_tell("RELOADING=1\nMONOTONIC_USEC=%llu",
                         (unsigned long long)(clock_now_ns() / 1000));
}

uint64_t
service_manager_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    unsigned long long period;

    if (usec == NULL || getenv("NOTIFY_SOCKET") == NULL)
        return 0;
    if (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid())
        return 0;
    period = strtoull(usec, NULL, 10) / 2000;
    return period > 0 || *usec == '\0' ? period : 1;
}
