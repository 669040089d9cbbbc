/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses, kept out of everybody else's way.
 */
#include "daemon/io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static enum status
complain(const char *text, struct error *err)
{
    return error_set(err, STATUS_CONFIG,
                     "address \"%.100s\", expected a numeric address and a "
                     "port, such as 127.0.0.1:8642 or [::1]:8642",
                     text);
}

/* A port in plain digits. */
static bool
parse_port(const char *text, uint16_t *port)
{
    unsigned value = 0;

    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

enum status
address_parse(struct address *out, const char *text, struct error *err)
{
    char host[ADDRESS_TEXT_MAX];
    const char *colon = strrchr(text, ':');
    const char *first = text;
    size_t len;

    memset(out, 0, sizeof(*out));
    if (colon == NULL || !parse_port(colon + 1, &out->port))
        return complain(text, err);
    len = (size_t)(colon - text);
    out->is_v6 = *text == '[';
    if (out->is_v6) {
        if (len < 2 || text[len - 1] != ']')
            return complain(text, err);
        first++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(host))
        return complain(text, err);
    memcpy(host, first, len);
    host[len] = '\0';
    if (inet_pton(out->is_v6 ? AF_INET6 : AF_INET, host, out->bytes) != 1)
        return complain(text, err);
    return STATUS_OK;
}

bool
address_is_loopback(const struct address *a)
{
    static const uint8_t v6[16] = {[15] = 1};

    return a->is_v6 ? memcmp(a->bytes, v6, sizeof(v6)) == 0
                    : a->bytes[0] == 127;
}

void
address_format(const struct address *a, char text[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(a->is_v6 ? AF_INET6 : AF_INET, a->bytes, host,
                    sizeof(host));
    (void)snprintf(text, ADDRESS_TEXT_MAX, a->is_v6 ? "[%s]:%u" : "%s:%u", host,
                   a->port);
}

static socklen_t
fill_socket_address(const struct address *a, union socket_address *out)
{
    memset(out, 0, sizeof(*out));
    if (a->is_v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(a->port);
        memcpy(&out->v6.sin6_addr, a->bytes, sizeof(out->v6.sin6_addr));
        return sizeof(out->v6);
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(a->port);
    memcpy(&out->v4.sin_addr, a->bytes, sizeof(out->v4.sin_addr));
    return sizeof(out->v4);
}

static enum status
explain_errno(const struct address *a, int errno_value, struct error *err)
{
    char text[ADDRESS_TEXT_MAX];

    address_format(a, text);
    if (errno_value == EADDRINUSE)
        return error_set(err, STATUS_REFUSED,
                         "%s: something else listens there", text);
    if (errno_value == EADDRNOTAVAIL)
        return error_set(err, STATUS_NOTFOUND,
                         "%s: this machine has no such address", text);
    return error_errno(err, errno_value, "listening at %s", text);
}

enum status
address_listen(struct address *a, int *fd, struct error *err)
{
    union socket_address at;
    socklen_t len = fill_socket_address(a, &at);
    int one = 1;
    int s =
        socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (s < 0)
        return explain_errno(a, errno, err);
    if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(s, &at.any, len) != 0 || listen(s, BACKLOG) != 0 ||
        getsockname(s, &at.any, &len) != 0) {
        int cause = errno;

        (void)close(s);
        return explain_errno(a, cause, err);
    }
    a->port = ntohs(a->is_v6 ? at.v6.sin6_port : at.v4.sin_port);
    *fd = s;
    return STATUS_OK;
}
