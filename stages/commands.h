/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_COMMANDS_H
#define STAGES_COMMANDS_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The subcommands that look at what `distilld run` does or left. Each writes
 * what was asked for to out; all block. Thread: the process's first.
 */

struct inspect_options {
    const char *path; /* a version's directory, or one with `latest` */
    const char *ids;  /* feature, or NULL */
    bool verifies;
};

must_check enum status inspect_command(const struct inspect_options *options,
                                       FILE *out, struct error *err);

#define REPORT_RUNS_MAX 16

struct report_options {
    const char *configs[REPORT_RUNS_MAX];
    size_t config_count;
    const char *output; /* directory for report.json and report.html, or NULL */
    bool has_color;
};

/* report_command reads the last checkpoints of the runs of these
 * configurations. CONFIG, NOTFOUND, BADDATA, FULL, IO. */
must_check enum status report_command(const struct report_options *options,
                                      FILE *out, struct error *err);

struct settings;

/*
 * connect_command says of each thing outside that the settings name whether it
 * is there and fits: topics, the teacher's checkpoint. The first that is not is
 * in *err.
 */
must_check enum status connect_command(const struct settings *settings,
                                       FILE *out, struct error *err);

#define EVAL_MODELS_MAX 16

struct eval_options {
    const char *models[EVAL_MODELS_MAX];
    size_t model_count;
    const char *input;
    const char *config; /* how to read events */
    bool is_json;
    bool has_color;
};

/* eval_command compares checkpoints on an events or labels file. */
must_check enum status eval_command(const struct eval_options *options,
                                    FILE *out, struct error *err);

#define ADMIN_URL_DEFAULT "http://127.0.0.1:8642"

struct top_options {
    const char *url; /* of an admin port; the scheme may be left out */
    uint64_t interval_ms;
    bool is_once; /* one plain page, without escapes that move the cursor */
    bool has_color;
};

/* top_command shows a running daemon until the person leaves, or once.
 * Once: REFUSED, TIMEOUT, BADDATA when there is none to show. */
must_check enum status top_command(const struct top_options *options, FILE *out,
                                   struct error *err);

struct tap_options {
    const char *url;
    const char *what;  /* events, labels, dead-letters */
    const char *token; /* bearer token; "": none */
    uint64_t rate;     /* records a second */
    uint64_t limit;    /* records; 0: until the person or the daemon goes */
};

/* tap_command prints a live sample. OK also when the daemon ended the stream
 * or nobody reads out any more; REFUSED when it broke off, DENIED. */
must_check enum status tap_command(const struct tap_options *options, FILE *out,
                                   struct error *err);

#define SERVE_OPTIONS_MODELS_MAX 32

struct serve_options {
    const char *models[SERVE_OPTIONS_MODELS_MAX]; /* [NAME=]CHECKPOINT */
    size_t model_count;
    const char *listen;   /* address and port */
    uint64_t batch_max;   /* rows */
    uint64_t batch_delay; /* ms */
    uint64_t threads;
    uint64_t body_max; /* bytes */
    uint64_t connections;
    uint64_t waiting_max;           /* requests a model */
    void (*give_up)(int exit_code); /* a second signal; does not return */
};

/* serve_command serves models over HTTP until SIGTERM or SIGINT. */
must_check enum status serve_command(const struct serve_options *options,
                                     struct error *err);

struct replay_options;
struct settings;

/* replay_command sends events of a file to the events topic (replay_run in
 * stages/replay/replay.h) and prints the counts. */
must_check enum status replay_command(const struct settings *settings,
                                      const struct replay_options *options,
                                      FILE *out, struct error *err);

#endif
