/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label records: the members of the frame, in any order, each read where it
 * stands.
 */
#include "stages/event/decoder_priv.h"

#include "daemon/base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Reads a text of at most max bytes into out, NUL-terminated. */
static enum status
read_text(struct decoder *d, const char *name, char *out, size_t max,
          struct error *err)
{
    struct value v;

    if (!scan_value(&d->scan, &v))
        return scan_error(&d->scan, err);
    if (v.kind == VALUE_STRING)
        scan_unescape(&d->scan, &v);
    if (v.kind != VALUE_STRING || v.len > max)
        return error_set(err, STATUS_MALFORMED,
                         "byte %zu: label record: %s is no string of at most "
                         "%zu bytes",
                         scan_place(&d->scan), name, max);
    memcpy(out, v.text, v.len);
    out[v.len] = '\0';
    return STATUS_OK;
}

/* Reads an integer from 0 to max. */
static enum status
read_count(struct decoder *d, const char *name, int64_t max, int64_t *out,
           struct error *err)
{
    struct value v;

    if (!scan_value(&d->scan, &v))
        return scan_error(&d->scan, err);
    if (!value_integer(&v, out) || *out < 0 || *out > max)
        return error_set(err, STATUS_MALFORMED,
                         "byte %zu: label record: %s of the source is no "
                         "integer from 0 to %" PRId64,
                         scan_place(&d->scan), name, max);
    return STATUS_OK;
}

static enum status
skip(struct decoder *d, struct error *err)
{
    return scan_skip(&d->scan) ? STATUS_OK : scan_error(&d->scan, err);
}

/* Goes into the object that a part of the frame has to be. */
static enum status
open_part(struct decoder *d, const char *name, struct scan_level *level,
          struct error *err)
{
    struct value v;

    if (!scan_value(&d->scan, &v))
        return scan_error(&d->scan, err);
    if (v.kind != VALUE_OBJECT)
        return error_set(err, STATUS_MALFORMED,
                         "byte %zu: label record: %s is no object",
                         scan_place(&d->scan), name);
    return scan_open(&d->scan, level) ? STATUS_OK : scan_error(&d->scan, err);
}

/* The status of a loop over members that has ended. */
static enum status
close_part(const struct decoder *d, enum status st, struct error *err)
{
    if (st == STATUS_OK && scan_failed(&d->scan))
        return scan_error(&d->scan, err);
    return st;
}

static enum status
read_source(struct decoder *d, struct error *err)
{
    struct event_meta *meta = d->meta;
    int64_t partition = -1;
    int64_t generation = -1;
    struct scan_level level = {.count = 0};
    const struct scan_memo *m;
    enum status st = open_part(d, "source", &level, err);

    meta->offset = -1;
    while (st == STATUS_OK && (m = scan_member(&d->scan, &level)) != NULL) {
        if (key_is(&m->key, "topic"))
            st = read_text(d, "topic", meta->topic, LABEL_TOPIC_MAX, err);
        else if (key_is(&m->key, "cluster"))
            st = read_text(d, "cluster", meta->cluster, LABEL_CLUSTER_MAX, err);
        else if (key_is(&m->key, "topic_id"))
            st = read_text(d, "topic_id", meta->topic_id, LABEL_TOPIC_ID_MAX,
                           err);
        else if (key_is(&m->key, "partition"))
            st = read_count(d, "partition", INT32_MAX, &partition, err);
        else if (key_is(&m->key, "offset"))
            st = read_count(d, "offset", (int64_t)JSON_INTEGER_MAX,
                            &meta->offset, err);
        else if (key_is(&m->key, "generation"))
            st = read_count(d, "generation", UINT32_MAX, &generation, err);
        else
            st = skip(d, err);
    }
    st = close_part(d, st, err);
    if (st != STATUS_OK)
        return st;
    if (partition < 0 || meta->offset < 0 || generation < 0)
        return error_set(err, STATUS_MALFORMED,
                         "byte %zu: label record: source without partition, "
                         "offset and generation",
                         scan_place(&d->scan));
    meta->partition = (int32_t)partition;
    meta->generation = (uint32_t)generation;
    return STATUS_OK;
}

static enum status
read_teacher(struct decoder *d, struct error *err)
{
    struct scan_level level = {.count = 0};
    const struct scan_memo *m;
    enum status st = open_part(d, "teacher", &level, err);

    while (st == STATUS_OK && (m = scan_member(&d->scan, &level)) != NULL) {
        if (key_is(&m->key, "name"))
            st = read_text(d, "the teacher's name", d->meta->teacher_name,
                           LABEL_TEACHER_MAX, err);
        else if (key_is(&m->key, "version"))
            st = read_text(d, "the teacher's version", d->meta->teacher_version,
                           LABEL_VERSION_MAX, err);
        else
            st = skip(d, err);
    }
    return close_part(d, st, err);
}

/* One number for a name and a version, 0 only for none. */
static uint64_t
teacher_id(const struct event_meta *meta)
{
    const char *name = meta->teacher_name;
    const char *version = meta->teacher_version;
    uint64_t id;

    if (name[0] == '\0' && version[0] == '\0')
        return 0;
    id = hash64_seeded(version, strlen(version), hash64(name, strlen(name)));
    return (id & FEATURE_ID_MASK) == 0 ? 1 : id & FEATURE_ID_MASK;
}

/* Reads the value at `at` for one task. */
static bool
read_logits(struct decoder *d, size_t task)
{
    struct value v;

    if (!scan_value(&d->scan, &v))
        return false;
    if (v.kind == VALUE_LIST)
        return value_teacher_list(d, task, TEACHER_LOGIT);
    value_teacher(d, task, TEACHER_LOGIT, &v);
    return v.kind == VALUE_OBJECT ? scan_skip(&d->scan) : true;
}

/* Every task of this name, or no more than a look when there is none. The key
 * itself may be gone once values have been read. */
static bool
read_tasks(struct decoder *d, const struct key *key)
{
    const struct event_task *tasks = d->spec->tasks;
    const char *start = d->scan.at;
    size_t i = 0;
    const char *name;

    while (i < d->spec->task_count && !key_is(key, tasks[i].name))
        i++;
    if (i == d->spec->task_count)
        return scan_skip(&d->scan);
    for (name = tasks[i].name; i < d->spec->task_count; i++) {
        if (strcmp(tasks[i].name, name) != 0)
            continue;
        d->scan.at = start;
        if (!read_logits(d, i))
            return false;
    }
    return true;
}

static enum status
read_soft_label(struct decoder *d, struct error *err)
{
    struct scan_level level = {.count = 0};
    const struct scan_memo *m;
    enum status st = open_part(d, "soft_label", &level, err);

    if (st != STATUS_OK)
        return st;
    while ((m = scan_member(&d->scan, &level)) != NULL) {
        if (!read_tasks(d, &m->key))
            break;
    }
    return close_part(d, STATUS_OK, err);
}

static enum status
read_event(struct decoder *d, struct error *err)
{
    const char *schema;
    struct value v;

    if (!scan_value(&d->scan, &v))
        return scan_error(&d->scan, err);
    if (v.kind != VALUE_OBJECT)
        return error_set(err, STATUS_MALFORMED,
                         "byte %zu: label record: event is no object",
                         scan_place(&d->scan));
    return visit_event(d, &schema) ? STATUS_OK : scan_error(&d->scan, err);
}

/* How it was decided whether to ask: the probability becomes a weight. */
static enum status
read_sample(struct decoder *d, struct error *err)
{
    double most = fmax(d->spec->ask_weight_max, 1.0);
    struct scan_level level = {.count = 0};
    const struct scan_memo *m;
    struct value v;

    if (!scan_value(&d->scan, &v))
        return scan_error(&d->scan, err);
    if (v.kind == VALUE_LIST)
        return skip(d, err);
    if (v.kind != VALUE_OBJECT)
        return STATUS_OK;
    if (!scan_open(&d->scan, &level))
        return scan_error(&d->scan, err);
    while ((m = scan_member(&d->scan, &level)) != NULL) {
        const char *start = d->scan.at;
        double rate;

        if (key_is(&m->key, "rate") && scan_value(&d->scan, &v)) {
            rate = v.kind == VALUE_NUMBER ? value_double(&v) : 0.0;
            if (rate > 0.0 && rate <= 1.0)
                d->columns->ask_weight[d->row] = (float)fmin(1.0 / rate, most);
            d->scan.at = start;
        }
        if (scan_failed(&d->scan) || !scan_skip(&d->scan))
            break;
    }
    return close_part(d, STATUS_OK, err);
}

/* Notes where the imagined events are; they are read once the label counts. */
static enum status
pass_imagined(struct decoder *d, struct error *err)
{
    const char *start;

    scan_space(&d->scan);
    start = d->scan.at;
    if (!scan_skip(&d->scan))
        return scan_error(&d->scan, err);
    d->meta->imagined = start;
    d->meta->imagined_bytes = (size_t)(d->scan.at - start);
    return STATUS_OK;
}

/* Reads the imagined event whose { the scanner is at; false: the list cannot be
 * gone on with. */
static bool
read_imagined(struct decoder *d, bool *is_whole)
{
    bool has_event = false;
    bool has_answer = false;
    struct scan_level level = {.count = 0};
    const struct scan_memo *m;
    struct error err;

    decoder_clear_row(d);
    d->meta->is_label = true;
    if (!scan_open(&d->scan, &level))
        return false;
    while ((m = scan_member(&d->scan, &level)) != NULL) {
        enum status st = STATUS_OK;

        if (key_is(&m->key, "event")) {
            st = read_event(d, &err);
            has_event = st == STATUS_OK;
        } else if (key_is(&m->key, "soft_label")) {
            st = read_soft_label(d, &err);
        } else {
            st = skip(d, &err);
        }
        if (st != STATUS_OK)
            return false;
    }
    for (size_t t = 0; t < d->spec->task_count; t++)
        has_answer = has_answer || d->columns->tasks[t].has_teacher[d->row];
    *is_whole = has_event && has_answer;
    return !scan_failed(&d->scan);
}

void
label_read_imagined(struct decoder *d, size_t most)
{
    struct columns *c = d->columns;
    struct scan_level level = {.count = 0};
    size_t count = 0;
    struct value v;

    if (!scan_value(&d->scan, &v) || v.kind != VALUE_LIST ||
        !scan_open(&d->scan, &level))
        return;
    while (count < most && scan_element(&d->scan, &level)) {
        bool is_whole = false;

        if (!scan_value(&d->scan, &v) || v.kind != VALUE_OBJECT)
            return;
        d->row = c->row_count;
        if (!read_imagined(d, &is_whole))
            return;
        c->row_count += is_whole;
        count += is_whole;
    }
}

enum part {
    PART_EVENT,
    PART_SOURCE,
    PART_SOFT_LABEL,
    PART_TEACHER,
    PART_SAMPLE,
    PART_IMAGINED,
    PARTS,
    PARTS_NEEDED = PART_TEACHER, /* those before it */
};

static enum part
find_part(const struct key *key)
{
    if (key_is(key, "event"))
        return PART_EVENT;
    if (key_is(key, "source"))
        return PART_SOURCE;
    if (key_is(key, "soft_label"))
        return PART_SOFT_LABEL;
    if (key_is(key, "sample"))
        return PART_SAMPLE;
    if (key_is(key, "imagined"))
        return PART_IMAGINED;
    return key_is(key, "teacher") ? PART_TEACHER : PARTS;
}

static enum status
read_part(struct decoder *d, enum part part, struct error *err)
{
    switch (part) {
    case PART_EVENT:
        return read_event(d, err);
    case PART_SOURCE:
        return read_source(d, err);
    case PART_SOFT_LABEL:
        return read_soft_label(d, err);
    case PART_TEACHER:
        return read_teacher(d, err);
    case PART_SAMPLE:
        return read_sample(d, err);
    case PART_IMAGINED:
        return pass_imagined(d, err);
    case PARTS:
        break;
    }
    return skip(d, err);
}

enum status
label_read(struct decoder *d, struct error *err)
{
    static const char *const names[PARTS_NEEDED] = {
        [PART_EVENT] = "event",
        [PART_SOURCE] = "source",
        [PART_SOFT_LABEL] = "soft_label",
    };
    bool is_there[PARTS + 1] = {false};
    struct scan_level level = {.count = 0};
    struct scan_memo *m;
    enum status st = STATUS_OK;

    d->meta->is_label = true;
    if (!scan_open(&d->scan, &level))
        return scan_error(&d->scan, err);
    while (st == STATUS_OK && (m = scan_member(&d->scan, &level)) != NULL) {
        enum part part = find_part(&m->key);

        is_there[part] = true;
        st = read_part(d, part, err);
    }
    st = close_part(d, st, err);
    for (size_t i = 0; st == STATUS_OK && i < PARTS_NEEDED; i++) {
        if (!is_there[i])
            st = error_set(err, STATUS_MALFORMED,
                           "byte %zu: label record: no object at %s",
                           scan_place(&d->scan), names[i]);
    }
    if (st == STATUS_OK)
        d->columns->teacher_id[d->row] = teacher_id(d->meta);
    return st;
}
