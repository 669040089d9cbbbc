/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A numeric address and port to listen at, and listening there.
 */

#define ADDRESS_TEXT_MAX 64 /* "[v6 address]:65535" and more */

struct address {
    uint8_t bytes[16]; /* network order; the first 4 of an IPv4 address */
    bool is_v6;
    uint16_t port; /* 0: any that is free */
};

/*
 * address_parse reads "127.0.0.1:8642" or "[::1]:8642". No names: nothing is
 * looked up. CONFIG says what was expected. Thread: any.
 */
must_check enum status address_parse(struct address *out, const char *text,
                                     struct error *err);

/* address_is_loopback says whether only this machine reaches it. Thread: any.
 */
bool address_is_loopback(const struct address *a);

/* address_format writes it as address_parse reads it. Thread: any. */
void address_format(const struct address *a, char text[ADDRESS_TEXT_MAX]);

/*
 * address_listen opens a non-blocking TCP socket that listens at *a and gives
 * it; a->port becomes the port it got. REFUSED when the port is taken, DENIED,
 * NOTFOUND when the machine has no such address, IO. Thread: any.
 */
must_check enum status address_listen(struct address *a, int *fd,
                                      struct error *err);

#endif
