/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages and commands of the admin port.
 */
#include "stages/operate.h"

#include "stages/model/gemm.h"
#include "stages/reload.h"
#include "stages/settings.h"

#include "daemon/admin.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/base/object.h"
#include "daemon/io/kafka.h"
#include "daemon/io/service_manager.h"

#include <stdlib.h>
#include <string.h>

#define OPERATE_MAGIC  0x4f504552u
#define PAGE_BYTES_MAX ((size_t)4 << 20)
#define TAP_RATE       10
#define ANSWER_BYTES   8192

struct operate {
    unsigned magic;
    struct operate_spec spec;
    struct heartbeat *heartbeat; /* NULL: nobody asks */
    struct overview *overview;
    struct admin *admin; /* NULL: no port */
    struct tap *tap;     /* NULL: off */
    struct reload *reload;
    struct bytes page;
};

/* ---- pages ---- */

static void
answer_livez(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;
    double stall = 0;

    if (heartbeat_is_well(o->heartbeat, &stall))
        admin_answer_text(x, 200, "ok");
    else
        admin_answer_text(x, 503, "the event loop stood still for %.1f s",
                          stall);
}

static void
answer_readyz(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;
    struct obstacles obstacles;
    char text[ANSWER_BYTES];
    struct json_writer w;

    overview_obstacles(o->overview, &obstacles);
    json_writer_init(&w, text, sizeof(text), 0);
    json_open_object(&w);
    json_put_key(&w, "is_ready");
    json_put_bool(&w, obstacles.count == 0);
    json_put_key(&w, "obstacles");
    json_open_array(&w);
    for (size_t i = 0; i < obstacles.count; i++)
        json_put_string(&w, obstacles.texts[i]);
    json_close_array(&w);
    json_close_object(&w);
    admin_answer_json(x, obstacles.count == 0 ? 200 : 503, text,
                      w.is_full ? 0 : w.len);
}

static void
answer_metrics(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;
    struct error err;

    if (overview_write_metrics(o->overview, &o->page, &err) != STATUS_OK) {
        admin_answer_text(x, 500, "%s", err.text);
        return;
    }
    http_answer(x, &(struct http_answer){.code = 200,
                                         .type = "text/plain; version=0.0.4; "
                                                 "charset=utf-8",
                                         .data = o->page.data,
                                         .len = o->page.used});
}

static void
answer_status(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;
    struct error err;

    if (overview_write_status(o->overview, &o->page, &err) != STATUS_OK)
        admin_answer_text(x, 500, "%s", err.text);
    else
        admin_answer_json(x, 200, o->page.data, o->page.used);
}

static void
answer_config(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (f != NULL)
        settings_write_effective(o->spec.settings, f);
    if (f == NULL || fclose(f) != 0)
        admin_answer_text(x, 500, "no memory for the settings");
    else
        http_answer(x, &(struct http_answer){.code = 200,
                                             .type = "application/yaml",
                                             .data = text,
                                             .len = len});
    free(text);
}

/* ---- tap ---- */

/* A count from the query; false when it is none or out of range. */
static bool
query_count(const struct http_exchange *x, const char *name, uint64_t max,
            uint64_t *value)
{
    const char *text = http_query(x, name);
    char *end;

    if (text == NULL)
        return true;
    if (*text < '0' || *text > '9' || strlen(text) > 15)
        return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0' && *value <= max;
}

static bool
has_role(const struct operate *o, enum role role)
{
    return o->spec.roles[role] != NULL;
}

static void
answer_tap(struct operate *o, enum tap_kind kind, struct http_exchange *x)
{
    uint64_t rate = TAP_RATE;
    uint64_t limit = 0;
    struct error err;

    if (o->tap == NULL)
        admin_answer_text(x, 403, "off: admin.tap is false");
    else if (kind != TAP_DEAD_LETTERS && !has_role(o, ROLE_ANNOTATE))
        admin_answer_text(x, 409,
                          "this process has no role annotate, which reads "
                          "events and writes labels");
    else if (!query_count(x, "rate", TAP_RATE_MAX, &rate) || rate == 0 ||
             !query_count(x, "limit", UINT32_MAX, &limit))
        admin_answer_text(x, 400,
                          "expected rate from 1 to %d a second, and limit, a "
                          "count",
                          TAP_RATE_MAX);
    else if (tap_attach(o->tap, kind, (unsigned)rate, limit, x, &err) !=
             STATUS_OK)
        admin_answer_text(x, 503, "%s", err.text);
}

static void
answer_tap_events(void *ctx, struct http_exchange *x)
{
    answer_tap(ctx, TAP_EVENTS, x);
}

static void
answer_tap_labels(void *ctx, struct http_exchange *x)
{
    answer_tap(ctx, TAP_LABELS, x);
}

static void
answer_tap_dead_letters(void *ctx, struct http_exchange *x)
{
    answer_tap(ctx, TAP_DEAD_LETTERS, x);
}

/* ---- commands ---- */

static void
answer_checkpoint(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;
    bool keeps_any = false;

    for (size_t i = 0; i < 2; i++) {
        if (o->spec.roles[i] != NULL)
            keeps_any = pipeline_checkpoint(o->spec.roles[i]) || keeps_any;
    }
    log_info("checkpoint_asked", "by=admin");
    if (keeps_any)
        admin_answer_text(x, 202, "a checkpoint begins");
    else
        admin_answer_text(x, 409, "this process keeps no checkpoints");
}

static void
answer_move(struct operate *o, enum life next, struct http_exchange *x)
{
    if (o->spec.life->life == next) {
        admin_answer_text(x, 200, "%s already", life_name(next));
        return;
    }
    if (!lifecycle_may_enter(o->spec.life, next) ||
        o->spec.life->life == LIFE_STARTING) {
        admin_answer_text(x, 409, "%s now", life_name(o->spec.life->life));
        return;
    }
    lifecycle_enter(o->spec.life, next);
    for (size_t i = 0; i < 2; i++) {
        struct pipeline *p = o->spec.roles[i];

        if (p != NULL && next == LIFE_PAUSED)
            pipeline_pause(p);
        else if (p != NULL)
            pipeline_resume(p);
    }
    admin_answer_text(x, 200, "%s", life_name(next));
}

static void
answer_pause(void *ctx, struct http_exchange *x)
{
    answer_move(ctx, LIFE_PAUSED, x);
}

static void
answer_resume(void *ctx, struct http_exchange *x)
{
    answer_move(ctx, LIFE_RUNNING, x);
}

static void
on_reloaded(void *ctx, enum status st, const char *text)
{
    struct http_exchange *x = ctx;

    if (x != NULL)
        admin_answer_text(x, st == STATUS_OK ? 200 : 422, "%s", text);
}

static void
answer_reload(void *ctx, struct http_exchange *x)
{
    struct operate *o = ctx;

    if (o->reload == NULL || !reload_begin(o->reload, on_reloaded, x))
        admin_answer_text(x, 409,
                          o->reload == NULL
                              ? "this process has no configuration file"
                              : "a reload is under way");
    else
        http_defer(x);
}

static const struct admin_route routes[] = {
    {"GET", "/livez", ADMIN_OPEN, answer_livez},
    {"GET", "/readyz", ADMIN_OPEN, answer_readyz},
    {"GET", "/metrics", ADMIN_OPEN, answer_metrics},
    {"GET", "/status", ADMIN_OPEN, answer_status},
    {"GET", "/config", ADMIN_OPEN, answer_config},
    {"GET", "/tap/events", ADMIN_GUARDED, answer_tap_events},
    {"GET", "/tap/labels", ADMIN_GUARDED, answer_tap_labels},
    {"GET", "/tap/dead-letters", ADMIN_GUARDED, answer_tap_dead_letters},
    {"POST", "/checkpoint", ADMIN_COMMANDS, answer_checkpoint},
    {"POST", "/pause", ADMIN_COMMANDS, answer_pause},
    {"POST", "/resume", ADMIN_COMMANDS, answer_resume},
    {"POST", "/reload", ADMIN_COMMANDS, answer_reload},
};

/* ---- life ---- */

static enum status
open_port(struct operate *o, struct error *err)
{
    const struct settings *s = o->spec.settings;
    struct admin_spec admin = {
        .client_timeout_ms = s->admin_client_timeout,
        .token = s->admin_token,
        .routes = routes,
        .route_count = COUNT(routes),
        .ctx = o,
    };
    struct overview_spec overview = {
        .settings = s,
        .roles = o->spec.roles,
        .life = o->spec.life,
        .heartbeat = o->heartbeat,
        .loop = o->spec.loop,
        .librdkafka = kafka_version_text(),
        .openblas = gemm_library(),
    };
    enum status st = overview_new(&o->overview, &overview, err);

    if (st == STATUS_OK && s->admin_tap)
        st = tap_new(&o->tap, err);
    if (st == STATUS_OK)
        st = address_parse(&admin.address, s->admin_listen, err);
    if (st == STATUS_OK)
        st = admin_new(&o->admin, o->spec.loop, &admin, err);
    return st;
}

enum status
operate_new(struct operate **out, const struct operate_spec *spec,
            struct error *err)
{
    struct operate *o = calloc(1, sizeof(*o));
    bool has_port = *spec->settings->admin_listen != '\0';
    enum status st = STATUS_OK;

    if (o == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to be operated");
    o->magic = OPERATE_MAGIC;
    o->spec = *spec;
    bytes_init(&o->page, PAGE_BYTES_MAX);
    if (has_port || service_manager_watchdog_ms() > 0)
        st = heartbeat_new(&o->heartbeat, spec->loop,
                           spec->settings->admin_livez_timeout, err);
    if (st == STATUS_OK && spec->config_path != NULL)
        st = reload_new(&o->reload, spec->loop, spec->settings,
                        spec->config_path, err);
    if (st == STATUS_OK && has_port)
        st = open_port(o, err);
    if (st != STATUS_OK) {
        operate_free(&o);
        return st;
    }
    *out = o;
    return STATUS_OK;
}

void
operate_free(struct operate **self)
{
    struct operate *o;

    if (*self == NULL)
        return;
    OBJ_TAKE(o, self, OPERATE_MAGIC);
    reload_free(&o->reload); /* before the port: it may owe an answer */
    admin_free(&o->admin);
    tap_free(&o->tap);
    overview_free(&o->overview);
    heartbeat_free(&o->heartbeat);
    bytes_fini(&o->page);
    o->magic = 0;
    free(o);
}

bool
operate_is_observed(const struct operate *o)
{
    OBJ_CHECK(o, OPERATE_MAGIC);
    return o->admin != NULL;
}

struct tap *
operate_tap(struct operate *o)
{
    OBJ_CHECK(o, OPERATE_MAGIC);
    return o->tap;
}

void
operate_reload(struct operate *o)
{
    OBJ_CHECK(o, OPERATE_MAGIC);
    if (o->reload != NULL && !reload_begin(o->reload, on_reloaded, NULL))
        log_info("reload_passed_over", "text=\"one is under way\"");
}
