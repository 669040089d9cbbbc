/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

/*
 * Writes HTML and SVG. Markup comes from literals in the program; everything
 * else goes through html_text, which escapes it. The first failure sticks in
 * st, so look once, at the end.
 */
struct html {
    struct bytes *out;
    struct error *err;
    enum status st;
};

/* html_init borrows out and err until the last call. */
void html_init(struct html *h, struct bytes *out, struct error *err);

/* html_raw puts markup as it is. */
void html_raw(struct html *h, const char *markup);

/* html_text puts text, escaped for elements and for quoted attributes. */
void html_text(struct html *h, const char *text);

/* html_format puts markup with numbers in it: its strings are not escaped. */
print_like(2, 3) void html_format(struct html *h, const char *format, ...);

/* html_element puts <tag class="kind">text</tag>, the text escaped. */
void html_element(struct html *h, const char *tag, const char *kind,
                  const char *text);

#endif
