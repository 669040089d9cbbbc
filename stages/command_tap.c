/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld tap`: what the daemon sends, line by line.
 */
#include "stages/admin_url.h"
#include "stages/commands.h"

#include "daemon/base/macros.h"
#include "daemon/io/http_client.h"
#include "daemon/io/terminal.h"

#include <inttypes.h>
#include <string.h>

struct tap_print {
    FILE *out;
    struct terminal *terminal;
    bool is_inside_line;
    bool has_no_reader; /* out is closed */
};

static bool
is_stopped(void *ctx)
{
    struct tap_print *t = ctx;

    return terminal_is_left(t->terminal);
}

/* Prints what came. An empty line only says that the daemon is there. */
static bool
on_content(void *ctx, const char *data, size_t n)
{
    struct tap_print *t = ctx;

    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n' && !t->is_inside_line)
            continue;
        t->is_inside_line = data[i] != '\n';
        (void)putc(data[i], t->out);
    }
    t->has_no_reader = fflush(t->out) != 0 || ferror(t->out) != 0;
    return !t->has_no_reader;
}

static bool
is_known(const char *what)
{
    static const char *const known[] = {"events", "labels", "dead-letters"};

    for (size_t i = 0; i < COUNT(known); i++) {
        if (strcmp(known[i], what) == 0)
            return true;
    }
    return false;
}

enum status
tap_command(const struct tap_options *options, FILE *out, struct error *err)
{
    struct tap_print t = {.out = out};
    struct http_client *client = NULL;
    char page[128];
    char url[ADMIN_URL_MAX];
    struct http_client_request request = {
        .url = url,
        .token = options->token,
        .is_stopped = is_stopped,
        .ctx = &t,
    };
    enum status st;

    if (!is_known(options->what))
        return error_set(err, STATUS_USAGE,
                         "\"%.40s\" cannot be looked at, expected events, "
                         "labels or dead-letters",
                         options->what);
    (void)snprintf(page, sizeof(page),
                   "/tap/%s?rate=%" PRIu64 "&limit=%" PRIu64, options->what,
                   options->rate, options->limit);
    st = admin_url_make(url, options->url, page, err);
    if (st == STATUS_OK)
        st = http_client_new(&client, err);
    if (st == STATUS_OK)
        st = terminal_open(&t.terminal, err);
    if (st == STATUS_OK) {
        st = http_client_stream(client, &request, on_content, err);
        if (st == STATUS_END)
            st = STATUS_OK; /* the person left, or who read the output */
        if (t.is_inside_line && !t.has_no_reader)
            (void)putc('\n', out);
    }
    terminal_close(&t.terminal);
    http_client_free(&client);
    return st;
}
