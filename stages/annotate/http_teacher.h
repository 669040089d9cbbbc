/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_HTTP_TEACHER_H
#define ANNOTATE_HTTP_TEACHER_H

#include "stages/annotate/pacer.h"
#include "stages/annotate/reject_share.h"
#include "stages/annotate/teacher.h"
#include "stages/annotate/tensor_rows.h"
#include "stages/annotate/verdict.h"

#include "daemon/io/http_calls.h"
#include "daemon/io/loop.h"
#include "daemon/metrics.h"

/*
 * A model server as the teacher: what its files share. teacher_http.c takes
 * asks and fills requests, http_job.c makes calls of them, http_reply.c reads
 * what comes back, http_probe.c finds out whether the server is ready.
 *
 *   ask --> slot (its rows packed) --> queue --> job (rows of any asks)
 *                                                 | call, again and again,
 *                                                 | in halves where refused
 *   done <-- slot with no row open <--------------+
 */

#define HTTP_URL_MAX 2048

/* A question under way. */
struct slot {
    struct ask *ask; /* NULL: free */
    struct tensor_rows *rows;
    uint64_t serial;        /* changes when it is free again */
    size_t open;            /* rows without an end */
    size_t rejected;        /* rows, of those that have one */
    unsigned rounds;        /* how often its rejected rows began again */
    bool is_doubtful;       /* some were rejected while all are */
    uint64_t not_before_ms; /* then it begins again; 0: it is queued */
};

/* A row of a question. */
struct http_row {
    struct slot *slot;
    uint64_t serial;
    uint32_t row;
};

/* Rows that are asked about together: those from `at` on, `count` of them at
 * first; `size` at a time, fewer when the server refuses them. */
struct http_job {
    struct teacher *teacher;
    struct http_row *rows; /* (rows_max) */
    size_t count;          /* 0: the job is free */
    size_t at;
    size_t size;            /* of the call */
    struct http_call *call; /* under way, or NULL */
    struct paced_call paced;
    bool is_binary;    /* the call is */
    bool is_control;   /* the call is: with the canary, not with its rows */
    unsigned failures; /* of this call */
    uint64_t answered; /* calls of all jobs, when it first failed */
    uint64_t not_before_ms;
    struct bytes body; /* its capacity is there from the start */
    char id[32];
};

/* What is known of the server. */
enum probe_step {
    PROBE_MODEL,  /* is the model ready? TF Serving: which version? */
    PROBE_SERVER, /* what can the server do? */
    PROBE_CONFIG, /* how large may a batch be? */
    PROBE_DONE,
};

struct http_counts {
    uint64_t calls;
    uint64_t retries;
    uint64_t rejected;        /* rows that became dead letters */
    uint64_t answered;        /* rows */
    struct histogram seconds; /* of a call */
};

struct teacher {
    unsigned magic;
    struct pipeline *pipeline;
    const struct teacher_settings *settings;
    const struct settings *all;
    struct tensor_map *map;
    struct tensor_source *source;
    struct oip_reader *reader;
    struct http_calls *calls;
    struct timer *timer;
    struct timer *probe_timer;

    struct slot *slots; /* (slot_count) */
    size_t slot_count;
    struct http_row *queue; /* a ring of (queue_max) */
    size_t queue_max;
    size_t queue_head;
    size_t queue_count;
    uint64_t queued_ms;    /* when the oldest of it came */
    struct http_job *jobs; /* (job_count) */
    size_t job_count;
    uint64_t numbers; /* of jobs' calls */
    bool is_pumping;  /* or reading a reply: nothing else is sent now */
    bool must_pump;

    /* A request of one row that was answered once: what tells a row that the
     * server trips over from a server that is broken. */
    struct bytes canary;
    size_t canary_head_bytes; /* of binary tensors; 0: JSON */
    char canary_id[32];

    struct pacer pacer;
    struct reject_share share;
    bool is_proven;       /* the server has answered */
    size_t rows_max;      /* of a call */
    bool is_binary;       /* the next call is */
    bool has_used_binary; /* such a call was answered */

    enum probe_step step;
    struct http_call *probe;
    unsigned probe_failures;
    struct error fatal;                /* a person must act; else OK */
    struct error trouble;              /* the last one, while it lasts */
    char version[OIP_VERSION_MAX + 1]; /* that TF Serving has */
    char base[HTTP_URL_MAX];           /* of the model, without a version */
    char infer[HTTP_URL_MAX];          /* where calls go to */

    struct oip_output outputs[TASKS_MAX]; /* as a call's answer is read */
    float *logits;                        /* of one row */
    size_t width;
    struct http_counts counts;
    char trouble_said[64]; /* what the log was told last */
};

/* http_is_tfserving says whether the server is TF Serving. */
bool http_is_tfserving(const struct teacher *t);

/* http_now_ms is the loop's clock, in ms. */
uint64_t http_now_ms(void);

/* http_trouble notes why the server does not answer, and tells the log when
 * that is news. */
print_like(2, 3) void http_trouble(struct teacher *t, const char *format, ...);
void http_no_trouble(struct teacher *t);

/* ---- teacher_http.c ---- */

/* http_calls_open prepares for calls to a teacher's server; CONFIG, NOMEM. */
must_check enum status http_calls_open(struct http_calls **out, struct loop *l,
                                       const struct teacher_settings *s,
                                       struct error *err);

/* http_pump begins the calls that may begin, and otherwise waits for the time
 * when they may. */
void http_pump(struct teacher *t);

/* http_row_end ends a row that is still open: its ask was written. */
void http_row_end(struct teacher *t, const struct http_row *r,
                  bool is_rejected);

/* http_slot_of lends a row's slot while its question is still that one. */
struct slot *http_slot_of(const struct http_row *r);

/* http_fail ends all questions: a person must act. */
void http_fail(struct teacher *t, const struct error *err);

/* ---- http_job.c ---- */

/* http_job_send writes and sends a job's next call; false: its rows have all
 * ended instead, and the job is free. */
bool http_job_send(struct http_job *j);

/* ---- http_reply.c ---- */

/* http_reply_read gives the rows of a job's call their answers from a reply;
 * otherwise says why it is none, and nothing has changed. *is_row: it may be
 * some row's fault alone. */
must_check enum status http_reply_read(struct http_job *j,
                                       const struct http_reply *reply,
                                       bool *is_row, struct error *err);

/* http_reply_check reads the reply to the canary and keeps nothing of it. */
must_check enum status http_reply_check(struct teacher *t,
                                        const struct http_reply *reply,
                                        struct error *err);

/* ---- http_probe.c ---- */

/* http_probe_init writes the addresses; CONFIG. */
must_check enum status http_probe_init(struct teacher *t, struct error *err);

/* http_probe_begin asks whether the server is ready, from the first step. */
void http_probe_begin(struct teacher *t);

#endif
