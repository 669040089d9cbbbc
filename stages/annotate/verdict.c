/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of statuses and HTTP codes.
 */
#include "stages/annotate/verdict.h"

static const char *const names[] = {
    [VERDICT_ANSWER] = "answer",   [VERDICT_BUSY] = "busy",
    [VERDICT_RETRY] = "retry",     [VERDICT_BROKEN] = "broken",
    [VERDICT_UNREADY] = "unready", [VERDICT_REJECT] = "reject",
    [VERDICT_FATAL] = "fatal",
};

static enum verdict
of_code(unsigned code)
{
    switch (code) {
    case 400:
    case 413:
    case 422:
        return VERDICT_REJECT;
    case 404:
        return VERDICT_UNREADY;
    case 408:
    case 409: /* TF Serving: aborted */
    case 421:
    case 425:
    case 499: /* TF Serving: canceled */
        return VERDICT_RETRY;
    case 429:
    case 503:
        return VERDICT_BUSY;
    case 500:
        return VERDICT_BROKEN;
    case 501:
    case 505:
        return VERDICT_FATAL;
    default:
        break;
    }
    if (code >= 200 && code < 300)
        return VERDICT_ANSWER;
    return code >= 300 && code < 500 ? VERDICT_FATAL : VERDICT_RETRY;
}

enum verdict
verdict_of(enum status st, unsigned code)
{
    switch ((int)st) {
    case STATUS_OK:
        return of_code(code);
    case STATUS_TOOBIG: /* the reply; that to fewer rows is smaller */
        return VERDICT_REJECT;
    case STATUS_CONFIG:
    case STATUS_DENIED:
        return VERDICT_FATAL;
    case STATUS_MALFORMED: /* what came is no reply */
        return VERDICT_BROKEN;
    default:
        return VERDICT_RETRY;
    }
}

enum verdict
verdict_settle(enum verdict v, const struct verdict_past *past)
{
    switch (v) {
    case VERDICT_BROKEN:
        return past->failures >= VERDICT_BROKEN_MAX &&
                       (past->rows > 1 || past->others_answered)
                   ? VERDICT_REJECT
                   : VERDICT_RETRY;
    case VERDICT_UNREADY:
        return VERDICT_RETRY;
    case VERDICT_FATAL:
        return past->is_proven ? VERDICT_RETRY : VERDICT_FATAL;
    case VERDICT_ANSWER:
    case VERDICT_BUSY:
    case VERDICT_RETRY:
    case VERDICT_REJECT:
        break;
    }
    return v;
}

const char *
verdict_name(enum verdict v)
{
    return names[v];
}
