/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `distilld top`: asks for the status again and again, and draws it on the
 * terminal's other screen, so that nothing of before is lost.
 */
#include "stages/admin_url.h"
#include "stages/commands.h"
#include "stages/top_view.h"

#include "daemon/base/clock.h"
#include "daemon/io/http_client.h"
#include "daemon/io/terminal.h"

#include <stdlib.h>
#include <string.h>

#define ASK_MS     5000
#define SCREEN_ON  "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define SCREEN_OFF "\033[?25h\033[?1049l"
#define HOME       "\033[H"
#define CLEAR_REST "\033[J"

struct top {
    const struct top_options *options;
    FILE *out;
    struct http_client *client;
    struct terminal *terminal; /* NULL: once */
    char url[ADMIN_URL_MAX];
    struct bytes page;
    struct top_sample sample;
    struct top_history history;
    bool has_sample;
    struct error trouble; /* OK, or why the last question has no answer */
    uint64_t answered_ns; /* when the last answer came, or it all began */
};

static bool
is_left(void *ctx)
{
    struct top *t = ctx;

    return t->terminal != NULL && terminal_is_left(t->terminal);
}

/* Asks once; t->trouble says what came of it. */
static void
ask(struct top *t)
{
    struct top_sample sample;
    struct http_client_request request = {
        .url = t->url,
        .token = "",
        .timeout_ms = ASK_MS,
        .is_stopped = is_left,
        .ctx = t,
    };
    enum status st =
        http_client_get(t->client, &request, &t->page, &t->trouble);

    if (st == STATUS_OK)
        st = top_sample_read(&sample, t->page.data, t->page.used, &t->trouble);
    if (st != STATUS_OK)
        return;
    error_clear(&t->trouble);
    t->sample = sample;
    t->has_sample = true;
    t->answered_ns = clock_now_ns();
    top_history_add(&t->history, &sample);
}

/* The screen's head names the address already. */
static const char *
shorten_trouble(const struct top *t)
{
    size_t n = strlen(t->url);

    if (t->trouble.status == STATUS_OK)
        return NULL;
    return strncmp(t->trouble.text, t->url, n) == 0 &&
                   strncmp(t->trouble.text + n, ": ", 2) == 0
               ? t->trouble.text + n + 2
               : t->trouble.text;
}

static void
draw(struct top *t)
{
    size_t columns;
    size_t rows;
    struct top_screen screen = {
        .url = t->options->url,
        .sample = t->has_sample ? &t->sample : NULL,
        .history = &t->history,
        .trouble = shorten_trouble(t),
        .trouble_seconds = clock_seconds_since(t->answered_ns),
        .has_color = t->options->has_color,
    };

    terminal_size(&columns, &rows);
    screen.rows = t->terminal != NULL ? rows : SIZE_MAX;
    if (t->terminal != NULL)
        (void)fputs(HOME, t->out);
    top_view_draw(&screen, t->out);
    if (t->terminal != NULL)
        (void)fputs(CLEAR_REST, t->out);
    (void)fflush(t->out);
}

static enum status
watch_daemon(struct top *t, struct error *err)
{
    enum status st = terminal_open(&t->terminal, err);

    if (st != STATUS_OK)
        return st;
    (void)fputs(SCREEN_ON, t->out);
    while (!terminal_is_left(t->terminal) && ferror(t->out) == 0) {
        ask(t);
        if (terminal_is_left(t->terminal))
            break;
        draw(t);
        terminal_wait(t->terminal, t->options->interval_ms);
    }
    (void)fputs(SCREEN_OFF, t->out);
    (void)fflush(t->out);
    terminal_close(&t->terminal);
    return STATUS_OK;
}

static enum status
show_once(struct top *t, struct error *err)
{
    ask(t);
    if (!t->has_sample) {
        *err = t->trouble;
        return err->status;
    }
    draw(t);
    return STATUS_OK;
}

enum status
top_command(const struct top_options *options, FILE *out, struct error *err)
{
    struct top *t = calloc(1, sizeof(*t));
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a screen");
    t->options = options;
    t->out = out;
    t->answered_ns = clock_now_ns();
    top_history_init(&t->history);
    bytes_init(&t->page, TOP_STATUS_BYTES);
    st = admin_url_make(t->url, options->url, "/status", err);
    if (st == STATUS_OK)
        st = http_client_new(&t->client, err);
    if (st == STATUS_OK)
        st = options->is_once ? show_once(t, err) : watch_daemon(t, err);
    http_client_free(&t->client);
    bytes_fini(&t->page);
    free(t);
    return st;
}
