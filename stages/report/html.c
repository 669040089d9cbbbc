/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTML and SVG.
 */
#include "stages/report/html.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FORMAT_MAX 1024

void
html_init(struct html *h, struct bytes *out, struct error *err)
{
    assert(h != NULL && out != NULL && err != NULL);
    *h = (struct html){.out = out, .err = err, .st = STATUS_OK};
}

static void
put(struct html *h, const char *data, size_t len)
{
    if (h->st == STATUS_OK)
        h->st = bytes_append(h->out, data, len, h->err);
}

void
html_raw(struct html *h, const char *markup)
{
    assert(h != NULL && markup != NULL);
    put(h, markup, strlen(markup));
}

void
html_text(struct html *h, const char *text)
{
    assert(h != NULL && text != NULL);
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            html_raw(h, "&amp;");
            break;
        case '<':
            html_raw(h, "&lt;");
            break;
        case '>':
            html_raw(h, "&gt;");
            break;
        case '"':
            html_raw(h, "&quot;");
            break;
        case '\'':
            html_raw(h, "&#39;");
            break;
        default:
            put(h, text, 1);
            break;
        }
    }
}

void
html_format(struct html *h, const char *format, ...)
{
    char buf[FORMAT_MAX];
    va_list args;
    int len;

    assert(h != NULL && format != NULL);
    va_start(args, format);
    len = vsnprintf(buf, sizeof(buf), format, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof(buf));
    put(h, buf, (size_t)len);
}

void
html_element(struct html *h, const char *tag, const char *kind,
             const char *text)
{
    html_format(h, "<%s class=\"%s\">", tag, kind);
    html_text(h, text);
    html_format(h, "</%s>", tag);
}
