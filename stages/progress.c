/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress as JSON.
 */
#include "stages/progress.h"

#include "daemon/base/json.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/macros.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_BYTES_MAX     ((size_t)256 << 10)
#define LINEAGE_BYTES_MAX  4096
#define POSITION_BYTES_MAX ((size_t)40)

void
progress_add(struct progress *p, const struct batch *b)
{
    const struct columns *c = b->columns;

    for (size_t i = 0; i < columns_real(c); i++) {
        int64_t ms = c->time_ms[i];

        if (ms == 0)
            continue;
        if (p->first_ms == 0 || ms < p->first_ms)
            p->first_ms = ms;
        if (ms > p->last_ms)
            p->last_ms = ms;
    }
    p->examples += columns_real(c);
    p->batches += c->row_count > 0;
    p->pass = b->pass;
    positions_copy(&p->position, &b->after);
    watermarks_copy(&p->seen, &b->seen);
    p->input = b->input;
    p->source = b->source;
}

static void
put_sources(struct json_writer *w, const struct watermarks *seen)
{
    json_put_key(w, "sources");
    json_open_array(w);
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->next[i].offset == 0 && seen->next[i].generation == 0)
            continue; /* nothing came of it */
        json_open_array(w);
        json_put_int(w, seen->next[i].partition);
        json_put_uint(w, seen->next[i].generation);
        json_put_int(w, seen->next[i].offset);
        json_close_array(w);
    }
    json_close_array(w);
}

static void
put_positions(struct json_writer *w, const struct positions *positions)
{
    json_put_key(w, "positions");
    json_open_array(w);
    for (size_t i = 0; i < positions->count; i++) {
        json_open_array(w);
        json_put_uint(w, positions->at[i].partition);
        json_put_uint(w, positions->at[i].offset);
        json_close_array(w);
    }
    json_close_array(w);
}

static void
put_identity(struct json_writer *w, const char *key,
             const struct log_identity *log)
{
    json_put_key(w, key);
    json_open_array(w);
    json_put_string(w, log->topic);
    json_put_string(w, log->cluster);
    json_put_string(w, log->topic_id);
    json_close_array(w);
}

/* Left out by who does not mind ages. */
static void
put_ages(struct json_writer *w, const struct label_ages *a)
{
    if (a->clock_ms == 0)
        return;
    json_put_key(w, "ages");
    json_open_array(w);
    json_put_int(w, a->clock_ms);
    json_put_int(w, a->last_ms);
    json_put_uint(w, a->refused);
    json_close_array(w);
    json_put_key(w, "teachers");
    json_open_array(w);
    for (size_t i = 0; i < a->count; i++) {
        json_open_array(w);
        json_put_uint(w, a->known[i].teacher);
        json_put_int(w, a->known[i].first_ms);
        json_put_int(w, a->known[i].seen_ms);
        json_close_array(w);
    }
    json_close_array(w);
}

static void
put_numbers(struct json_writer *w, const char *key, const double *numbers,
            size_t count)
{
    json_put_key(w, key);
    json_open_array(w);
    for (size_t i = 0; i < count; i++)
        json_put_double(w, numbers[i]);
    json_close_array(w);
}

static void
put_contest(struct json_writer *w, const struct contest *c)
{
    const double weights[] = {c->weight, c->weight_2};

    if (c->count == 0)
        return;
    json_put_key(w, "contest");
    json_open_object(w);
    json_put_key(w, "models");
    json_put_uint(w, c->count);
    json_put_key(w, "in_force");
    json_put_uint(w, c->in_force);
    json_put_key(w, "switches");
    json_put_uint(w, c->switches);
    put_numbers(w, "weights", weights, COUNT(weights));
    put_numbers(w, "losses", c->losses, c->count);
    put_numbers(w, "products", c->products, contest_pairs(c->count));
    json_close_object(w);
}

static void
put_progress(struct json_writer *w, const struct progress *p)
{
    json_open_object(w);
    json_put_key(w, "examples");
    json_put_uint(w, p->examples);
    json_put_key(w, "batches");
    json_put_uint(w, p->batches);
    json_put_key(w, "skipped_steps");
    json_put_uint(w, p->skipped_steps);
    json_put_key(w, "discarded");
    json_put_uint(w, p->discarded);
    json_put_key(w, "skips_in_row");
    json_put_uint(w, p->skips_in_row);
    json_put_key(w, "went_back_at");
    json_put_uint(w, p->went_back_at);
    json_put_key(w, "pass");
    json_put_uint(w, p->pass);
    json_put_key(w, "generation");
    json_put_uint(w, p->generation);
    json_put_key(w, "is_end");
    json_put_bool(w, p->is_end);
    json_put_key(w, "first_ms");
    json_put_int(w, p->first_ms);
    json_put_key(w, "last_ms");
    json_put_int(w, p->last_ms);
    put_ages(w, &p->ages);
    put_contest(w, &p->contest);
    put_identity(w, "input", &p->input);
    put_identity(w, "source", &p->source);
    put_positions(w, &p->position);
    put_sources(w, &p->seen);
    json_close_object(w);
}

enum status
progress_encode(const struct progress *p, const struct curve *curve,
                struct bytes *out, struct error *err)
{
    struct json_writer w;
    enum status st = bytes_reserve(out, TEXT_BYTES_MAX, err);

    if (st != STATUS_OK)
        return st;
    json_writer_init(&w, out->data + out->used, out->capacity - out->used, 0);
    put_progress(&w, p);
    assert(!w.is_full); /* SOURCES_MAX entries of bounded size fit */
    out->used += w.len;
    st = bytes_append(out, "\n", 1, err);
    if (st == STATUS_OK && curve != NULL)
        st = curve_encode(curve, out, err);
    return st;
}

static bool
read_count(const struct cJSON *root, const char *key, int64_t max, int64_t *out)
{
    return json_integer(json_member(root, key), out) && *out >= 0 &&
           *out <= max;
}

/* Reads a list of count integers from 0. */
static bool
read_integers(const struct cJSON *list, size_t count, int64_t *out)
{
    const struct cJSON *item = json_first(list);

    for (size_t i = 0; i < count; i++) {
        if (item == NULL || !json_integer(item, &out[i]) || out[i] < 0)
            return false;
        item = json_next(item);
    }
    return true;
}

static bool
read_text(const struct cJSON *item, char *out, size_t size)
{
    const char *text = json_string(item);

    if (text == NULL || strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool
read_identity(const struct cJSON *root, const char *key,
              struct log_identity *out)
{
    const struct cJSON *list = json_member(root, key);
    const struct cJSON *topic;
    const struct cJSON *cluster;

    if (!json_is_array(list) || json_count(list) != 3)
        return false;
    topic = json_first(list);
    cluster = json_next(topic);
    return read_text(topic, out->topic, sizeof(out->topic)) &&
           read_text(cluster, out->cluster, sizeof(out->cluster)) &&
           read_text(json_next(cluster), out->topic_id, sizeof(out->topic_id));
}

static bool
read_positions(const struct cJSON *root, struct positions *positions)
{
    const struct cJSON *list = json_member(root, "positions");

    positions->count = 0;
    if (!json_is_array(list) || json_count(list) > SOURCES_MAX)
        return false;
    for (const struct cJSON *s = json_first(list); s != NULL;
         s = json_next(s)) {
        struct log_position *at = &positions->at[positions->count++];
        int64_t values[2];

        if (!read_integers(s, 2, values) || values[0] > UINT32_MAX)
            return false;
        at->partition = (uint32_t)values[0];
        at->offset = (uint64_t)values[1];
    }
    return true;
}

static bool
read_sources(const struct cJSON *root, struct watermarks *seen)
{
    const struct cJSON *list = json_member(root, "sources");

    seen->count = 0;
    if (!json_is_array(list) || json_count(list) > SOURCES_MAX)
        return false;
    for (const struct cJSON *s = json_first(list); s != NULL;
         s = json_next(s)) {
        int64_t values[3];

        if (!read_integers(s, 3, values) || values[1] > UINT32_MAX ||
            values[0] < (int64_t)seen->count || values[0] >= SOURCES_MAX)
            return false;
        while ((int64_t)seen->count <= values[0]) {
            seen->next[seen->count] =
                (struct row_source){.partition = (int32_t)seen->count};
            seen->count++;
        }
        seen->next[values[0]].generation = (uint32_t)values[1];
        seen->next[values[0]].offset = values[2];
    }
    return true;
}

/* Reads a list of count finite numbers. */
static bool
read_numbers(const struct cJSON *list, size_t count, double *out)
{
    const struct cJSON *item = json_first(list);

    if (!json_is_array(list) || json_count(list) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!json_number(item, &out[i]))
            return false;
        item = json_next(item);
    }
    return true;
}

/* No contest is good too. */
static bool
read_contest(const struct cJSON *at, struct contest *c)
{
    int64_t max = INT64_C(9007199254740991);
    int64_t count;
    int64_t in_force;
    int64_t switches;
    double weights[2];

    memset(c, 0, sizeof(*c));
    if (at == NULL)
        return true;
    if (!read_count(at, "models", CONTEST_MODELS_MAX, &count) ||
        !read_count(at, "in_force", count - 1, &in_force) ||
        !read_count(at, "switches", max, &switches) ||
        !read_numbers(json_member(at, "weights"), COUNT(weights), weights) ||
        !read_numbers(json_member(at, "losses"), (size_t)count, c->losses) ||
        !read_numbers(json_member(at, "products"), contest_pairs((size_t)count),
                      c->products))
        return false;
    c->count = (size_t)count;
    c->in_force = (size_t)in_force;
    c->switches = (uint64_t)switches;
    c->weight = weights[0];
    c->weight_2 = weights[1];
    return true;
}

static bool
read_ages(const struct cJSON *root, struct label_ages *a)
{
    const struct cJSON *ages = json_member(root, "ages");
    const struct cJSON *list = json_member(root, "teachers");
    int64_t v[3];

    *a = (struct label_ages){0};
    if (ages == NULL && list == NULL)
        return true;
    if (!json_is_array(ages) || !read_integers(ages, 3, v) ||
        !json_is_array(list) || json_count(list) > LABEL_AGES_MAX)
        return false;
    a->clock_ms = v[0];
    a->last_ms = v[1];
    a->refused = (uint64_t)v[2];
    for (const struct cJSON *t = json_first(list); t != NULL;
         t = json_next(t)) {
        if (!read_integers(t, 3, v) || v[1] > a->clock_ms)
            return false;
        a->known[a->count++] = (struct label_age){(uint64_t)v[0], v[1], v[2]};
    }
    return true;
}

static bool
read_progress(const struct cJSON *root, struct progress *p)
{
    int64_t max = INT64_C(9007199254740991);
    int64_t v[6];

    if (!read_count(root, "examples", max, &v[0]) ||
        !read_count(root, "batches", max, &v[1]) ||
        !read_count(root, "skipped_steps", max, &v[2]) ||
        !read_count(root, "discarded", max, &v[3]) ||
        !read_count(root, "pass", UINT32_MAX, &v[4]) ||
        !read_count(root, "generation", UINT32_MAX, &v[5]) ||
        !json_boolean(json_member(root, "is_end"), &p->is_end) ||
        !json_integer(json_member(root, "first_ms"), &p->first_ms) ||
        !json_integer(json_member(root, "last_ms"), &p->last_ms))
        return false;
    p->examples = (uint64_t)v[0];
    p->batches = (uint64_t)v[1];
    p->skipped_steps = (uint64_t)v[2];
    p->discarded = (uint64_t)v[3];
    p->pass = (uint32_t)v[4];
    p->generation = (uint32_t)v[5];
    if (!read_count(root, "skips_in_row", max, &v[0]) ||
        !read_count(root, "went_back_at", max, &v[1]))
        return false;
    p->skips_in_row = (uint64_t)v[0];
    p->went_back_at = (uint64_t)v[1];
    return read_ages(root, &p->ages) &&
           read_contest(json_member(root, "contest"), &p->contest) &&
           read_identity(root, "input", &p->input) &&
           read_identity(root, "source", &p->source) &&
           read_positions(root, &p->position) && read_sources(root, &p->seen);
}

enum status
progress_decode(struct progress *p, struct curve **curve, const void *data,
                size_t len, struct error *err)
{
    const struct json_limits limits = {TEXT_BYTES_MAX, 8};
    const char *text = data;
    const char *feed = len > 0 ? memchr(text, '\n', len) : NULL;
    struct cJSON *root = NULL;
    enum status st;
    bool is_good;

    *curve = NULL;
    if (feed == NULL)
        return error_set(err, STATUS_BADDATA, "progress: no line of JSON");
    st = json_parse(&root, text, (size_t)(feed - text), &limits, NULL, err);
    if (st != STATUS_OK)
        return error_set(err, STATUS_BADDATA, "progress: not JSON");
    is_good = read_progress(root, p);
    json_free(&root);
    if (!is_good)
        return error_set(err, STATUS_BADDATA,
                         "progress: a member is missing or out of range");
    if (feed + 1 == text + len)
        return STATUS_OK;
    return curve_decode(curve, feed + 1, len - (size_t)(feed + 1 - text), err);
}

static void
put_time(struct json_writer *w, const char *key, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char text[32];

    json_put_key(w, key);
    if (ms == 0) {
        json_put_null(w);
        return;
    }
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_put_string(w, text);
}

enum status
progress_lineage(const struct progress *p, const char *log, double seconds,
                 char **data, char **training, struct error *err)
{
    size_t room = LINEAGE_BYTES_MAX + 6 * strlen(log) +
                  POSITION_BYTES_MAX * p->position.count;
    struct json_writer w;

    *data = calloc(1, room);
    *training = calloc(1, LINEAGE_BYTES_MAX);
    if (*data == NULL || *training == NULL) {
        free(*data);
        free(*training);
        return error_set(err, STATUS_NOMEM, "no memory for a manifest");
    }
    json_writer_init(&w, *data, room - 1, 0);
    json_open_object(&w);
    json_put_key(&w, "log");
    json_put_string(&w, log);
    put_positions(&w, &p->position);
    put_time(&w, "from", p->first_ms);
    put_time(&w, "to", p->last_ms);
    json_close_object(&w);
    json_writer_init(&w, *training, LINEAGE_BYTES_MAX - 1, 0);
    json_open_object(&w);
    json_put_key(&w, "examples");
    json_put_uint(&w, p->examples);
    json_put_key(&w, "steps");
    json_put_uint(&w, p->batches);
    json_put_key(&w, "passes");
    json_put_uint(&w, (uint64_t)p->pass + 1);
    json_put_key(&w, "skipped_steps");
    json_put_uint(&w, p->skipped_steps);
    json_put_key(&w, "is_end");
    json_put_bool(&w, p->is_end);
    json_put_key(&w, "seconds");
    json_put_double(&w, seconds);
    json_close_object(&w);
    return STATUS_OK;
}
