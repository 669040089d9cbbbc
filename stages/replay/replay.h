/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * `distilld replay`: events of a file into the topic that the annotators read,
 * as if they happened now. It is a program beside the service: no role, no
 * state but what the topic itself tells.
 */
struct settings;

struct replay_options {
    const char *input;   /* a file or directory, "-": standard input */
    const char *key;     /* the JSON path of the key, or NULL */
    double rate;         /* events a second; 0: not by a rate */
    double speed;        /* times the speed at which they happened; 0: not */
    uint64_t from_line;  /* from 1 */
    bool loops;          /* begins again at the end */
    bool resumes;        /* leaves out what the topic has already */
    bool shows_progress; /* as a bar on standard error */
    /* Ends the process at once, when stopping takes too long. */
    void (*give_up)(int exit_code);
};

struct replay_counts {
    uint64_t read;
    uint64_t left_out; /* before from_line, or in the topic already */
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t failed;  /* given up by the producer */
    uint64_t too_big; /* for the topic, or REPLAY_LINE_MAX */
    uint64_t without_key;
    uint64_t last_line; /* that was sent */
    double seconds;     /* since the first was due */
    bool was_stopped;   /* by a signal */
};

/*
 * replay_run sends the events and waits until all are acknowledged; *counts is
 * written however it ends. OK at the end of the input, or after SIGTERM or
 * SIGINT with everything acknowledged that was sent. USAGE, CONFIG, NOTFOUND,
 * BADDATA (nothing tells how to resume), and whatever the broker refuses.
 * Thread: the process's first.
 */
must_check enum status replay_run(const struct settings *settings,
                                  const struct replay_options *options,
                                  struct replay_counts *counts,
                                  struct error *err);

#endif
