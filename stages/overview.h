/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_OVERVIEW_H
#define STAGES_OVERVIEW_H

#include "stages/pipeline.h"

#include "daemon/base/bytes.h"
#include "daemon/heartbeat.h"
#include "daemon/lifecycle.h"

/*
 * What an operator sees of a running service: metrics for Prometheus, a
 * status for people and for `distilld top`, and whether it is ready. Gathered
 * from the roles when somebody asks. Thread: loop.
 */
struct overview;

struct overview_spec {
    const struct settings *settings;
    struct pipeline *const *roles; /* (2) by enum role; NULL: not here */
    const struct lifecycle *life;
    struct heartbeat *heartbeat;
    struct loop *loop;
    /* What else this is made of, for build_info. */
    const char *librdkafka;
    const char *openblas;
};

/* overview_new begins to measure rates. Borrows what spec points to. NOMEM. */
must_check enum status overview_new(struct overview **out,
                                    const struct overview_spec *spec,
                                    struct error *err);
void overview_free(struct overview **self);

#define OBSTACLES_MAX (2 * REPORT_OBSTACLES_MAX + 4)

struct obstacles {
    char texts[OBSTACLES_MAX][REPORT_LINE_MAX];
    size_t count;
};

/* overview_obstacles lists why the service is not ready; none: it is. */
void overview_obstacles(struct overview *o, struct obstacles *out);

/* overview_write_metrics overwrites out with the page. TOOBIG, NOMEM. */
must_check enum status overview_write_metrics(struct overview *o,
                                              struct bytes *out,
                                              struct error *err);

/* overview_write_status overwrites out with a JSON object. TOOBIG, NOMEM. */
must_check enum status
overview_write_status(struct overview *o, struct bytes *out, struct error *err);

#endif
