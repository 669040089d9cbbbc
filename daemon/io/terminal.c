/* SPDX-License-Identifier: Apache-2.0 */
/*
 * termios, window size, and a loop that waits for signals and keys.
 */
#include "daemon/io/terminal.h"

#include "daemon/base/object.h"
#include "daemon/io/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define TERMINAL_MAGIC 0x5445524du
#define COLUMNS        80
#define ROWS           24

struct terminal {
    unsigned magic;
    struct loop *loop;
    struct timer *timer;
    struct watch *keys; /* NULL: there are none */
    struct termios keys_before;
    int flags_before;
    bool is_left;
};

static void
on_leave(void *ctx)
{
    struct terminal *t = ctx;

    t->is_left = true;
    loop_stop(t->loop);
}

static void
on_resize(void *ctx)
{
    struct terminal *t = ctx;

    loop_stop(t->loop);
}

static void
on_time(void *ctx)
{
    struct terminal *t = ctx;

    loop_stop(t->loop);
}

static void
on_keys(void *ctx, unsigned events)
{
    struct terminal *t = ctx;
    char keys[64];
    ssize_t n = -1;

    if ((events & WATCH_FAILED) == 0)
        n = read(STDIN_FILENO, keys, sizeof(keys));
    if (n <= 0)
        watch_stop(t->keys); /* the terminal is gone */
    for (ssize_t i = 0; i < n; i++) {
        if (keys[i] == 'q' || keys[i] == 'Q')
            on_leave(t);
    }
}

/* Keys come one by one, and are not shown. */
static enum status
take_keys(struct terminal *t, struct error *err)
{
    struct termios keys;
    enum status st;

    if (isatty(STDIN_FILENO) != 1 ||
        tcgetattr(STDIN_FILENO, &t->keys_before) != 0)
        return STATUS_OK;
    t->flags_before = fcntl(STDIN_FILENO, F_GETFL);
    st = watch_new(&t->keys, t->loop, STDIN_FILENO, on_keys, t, err);
    if (st == STATUS_OK)
        st = watch_start(t->keys, WATCH_READ, err);
    keys = t->keys_before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    if (st == STATUS_OK)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    return st;
}

enum status
terminal_open(struct terminal **out, struct error *err)
{
    struct terminal *t = calloc(1, sizeof(*t));
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a terminal");
    t->magic = TERMINAL_MAGIC;
    st = loop_new(&t->loop, err);
    if (st == STATUS_OK)
        st = timer_new(&t->timer, t->loop, on_time, t, err);
    if (st == STATUS_OK)
        st = loop_on_signal(t->loop, SIGINT, on_leave, t, err);
    if (st == STATUS_OK)
        st = loop_on_signal(t->loop, SIGTERM, on_leave, t, err);
    if (st == STATUS_OK)
        st = loop_on_signal(t->loop, SIGWINCH, on_resize, t, err);
    if (st == STATUS_OK)
        st = take_keys(t, err);
    if (st != STATUS_OK) {
        terminal_close(&t);
        return st;
    }
    *out = t;
    return STATUS_OK;
}

void
terminal_close(struct terminal **self)
{
    struct terminal *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TERMINAL_MAGIC);
    if (t->keys != NULL) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &t->keys_before);
        (void)fcntl(STDIN_FILENO, F_SETFL, t->flags_before);
    }
    watch_free(&t->keys);
    timer_free(&t->timer);
    loop_free(&t->loop);
    t->magic = 0;
    free(t);
}

void
terminal_wait(struct terminal *t, uint64_t timeout_ms)
{
    OBJ_CHECK(t, TERMINAL_MAGIC);
    if (t->is_left)
        return;
    timer_start(t->timer, timeout_ms, 0);
    loop_run(t->loop);
    timer_stop(t->timer);
}

bool
terminal_is_left(struct terminal *t)
{
    terminal_wait(t, 0);
    return t->is_left;
}

void
terminal_size(size_t *columns, size_t *rows)
{
    struct winsize size;

    *columns = COLUMNS;
    *rows = ROWS;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 ||
        size.ws_row == 0)
        return;
    *columns = size.ws_col;
    *rows = size.ws_row;
}
