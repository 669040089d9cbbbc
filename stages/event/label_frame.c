/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels from a frame: a label of row 0 of partition 0 is cut where rows
 * differ.
 */
#include "stages/event/label_frame.h"

#include "daemon/base/digits.h"
#include "daemon/base/json_writer.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define FRAME_BYTES_MAX ((size_t)1 << 20)
#define KEY_BYTES_MAX   (EVENT_NAME_MAX * 6 + 8)

#define PARTITION "\"partition\":"
#define OFFSET    ",\"offset\":"
#define ROW_END   "},\"event\":{}}\n" /* of a label without logits */

/* What a choice has beside its numbers. */
#define CHOICE_BYTES                                                           \
    (sizeof(",\"sample\":{\"by\":,\"rate\":,\"chosen\":false}") +              \
     (size_t)LABEL_WAY_MAX * 6 + 2)

#define IMAGINED       ",\"imagined\":["
#define IMAGINED_LABEL "{\"soft_label\":{"
#define IMAGINED_EVENT "},\"event\":"

void
label_frame_init(struct label_frame *f)
{
    *f = (struct label_frame){.head_bytes = 0};
    bytes_init(&f->text, FRAME_BYTES_MAX);
}

void
label_frame_fini(struct label_frame *f)
{
    bytes_fini(&f->text);
}

/* The key of a task as it stands before its first logit. */
static enum status
add_key(struct label_frame *f, const struct event_task *task, struct error *err)
{
    char text[KEY_BYTES_MAX];
    struct json_writer w;

    json_writer_init(&w, text, sizeof(text), 0);
    json_open_object(&w);
    json_put_key(&w, task->name);
    json_open_array(&w);
    assert(!w.is_full && w.len < sizeof(text));
    text[w.len] = '\0';
    f->soft_bytes_max += w.len + event_logit_width(task) * (DIGITS_MAX + 1) + 2;
    return bytes_append(&f->text, text + 1, w.len, err);
}

enum status
label_frame_set(struct label_frame *f, const struct label *label,
                struct error *err)
{
    struct label like = *label;
    struct bytes *text = &f->text;
    size_t need = label_bytes_max(label->tasks, label->task_count, 2);
    size_t len = 0;
    const char *cut;
    enum status st;

    like.source.partition = 0;
    like.source.offset = 0;
    like.logits = NULL;
    like.choice = NULL;
    like.imagined_count = 0;
    like.event = "{}";
    like.event_bytes = 2;
    bytes_clear(text);
    st = bytes_reserve(text, need, err);
    if (st == STATUS_OK)
        st = label_write(&like, text->data, text->capacity, &len, err);
    if (st != STATUS_OK)
        return st;
    cut = memmem(text->data, len, PARTITION "0" OFFSET "0",
                 sizeof(PARTITION "0" OFFSET "0") - 1);
    assert(cut != NULL && memcmp(text->data + len - (sizeof(ROW_END) - 1),
                                 ROW_END, sizeof(ROW_END) - 1) == 0);
    f->head_bytes = (size_t)(cut - text->data) + sizeof(PARTITION) - 1;
    cut += sizeof(PARTITION "0" OFFSET "0") - 1;
    f->tail_bytes = len - (size_t)(cut - text->data) - (sizeof(ROW_END) - 1);
    memmove(text->data + f->head_bytes, cut, f->tail_bytes);
    text->used = f->head_bytes + f->tail_bytes;
    f->row_bytes_max = text->used + (size_t)3 * DIGITS_MAX +
                       sizeof(OFFSET ROW_END) + CHOICE_BYTES +
                       sizeof(IMAGINED) + 1;
    f->soft_bytes_max = 0;
    f->tasks = label->tasks;
    f->task_count = label->task_count;
    for (size_t t = 0; t < f->task_count && st == STATUS_OK; t++)
        st = add_key(f, &f->tasks[t], err);
    return st;
}

size_t
label_frame_imagined_max(const struct label_frame *f, size_t event_bytes)
{
    return sizeof(IMAGINED_LABEL IMAGINED_EVENT) + 2 + f->soft_bytes_max +
           event_bytes;
}

size_t
label_frame_bytes_max(const struct label_frame *f, const struct label *label)
{
    size_t bytes = f->row_bytes_max + f->soft_bytes_max + label->event_bytes;

    for (size_t i = 0; i < label->imagined_count; i++)
        bytes += label_frame_imagined_max(f, label->imagined[i].event_bytes);
    return bytes;
}

static char *
put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

static bool
are_finite(const float *logits, size_t width)
{
    for (size_t k = 0; k < width; k++) {
        if (!isfinite(logits[k]))
            return false;
    }
    return true;
}

/* A task with a logit that is not finite is left out. */
static char *
put_logits(const struct label_frame *f, const float *logits, char *out)
{
    const char *key = f->text.data + f->head_bytes + f->tail_bytes;
    bool is_first = true;

    for (size_t t = 0; t < f->task_count; t++) {
        size_t width = event_logit_width(&f->tasks[t]);
        size_t key_bytes = strlen(key);

        if (are_finite(logits, width)) {
            if (!is_first)
                *out++ = ',';
            is_first = false;
            out = put(out, key, key_bytes);
            for (size_t k = 0; k < width; k++) {
                out += digits_float(out, logits[k]);
                *out++ = ',';
            }
            out[-1] = ']';
        }
        logits += width;
        key += key_bytes + 1;
    }
    return out;
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* An event as it came, but in one line and without space around it. */
static char *
put_event(const char *event, size_t len, char *out)
{
    static const char breaks[] = "\n\r";

    while (len > 0 && is_space(event[0])) {
        event++;
        len--;
    }
    while (len > 0 && is_space(event[len - 1]))
        len--;
    assert(len >= 2 && event[0] == '{');
    memcpy(out, event, len);
    for (const char *c = breaks; *c != '\0'; c++) {
        char *at = out;

        while ((at = memchr(at, *c, (size_t)(out + len - at))) != NULL)
            *at = ' ';
    }
    return out + len;
}

static char *
put_choice(const struct label_choice *choice, char *out)
{
    struct json_writer w;

    json_writer_init(&w, out, CHOICE_BYTES, 0);
    json_put_raw(&w, ",\"sample\":{\"by\":", 16);
    json_put_string(&w, choice->by);
    assert(!w.is_full);
    out += w.len;
    out = put(out, ",\"rate\":", 8);
    out += digits_float(out, (float)choice->rate);
    return choice->is_chosen ? put(out, ",\"chosen\":true}", 15)
                             : put(out, ",\"chosen\":false}", 16);
}

static char *
put_imagined(const struct label_frame *f, const struct label *label, char *out)
{
    out = put(out, IMAGINED, sizeof(IMAGINED) - 1);
    for (size_t i = 0; i < label->imagined_count; i++) {
        const struct label_imagined *event = &label->imagined[i];

        if (i > 0)
            *out++ = ',';
        out = put(out, IMAGINED_LABEL, sizeof(IMAGINED_LABEL) - 1);
        out = put_logits(f, event->logits, out);
        out = put(out, IMAGINED_EVENT, sizeof(IMAGINED_EVENT) - 1);
        out = put(out, event->event, event->event_bytes);
        *out++ = '}';
    }
    *out++ = ']';
    return out;
}

size_t
label_frame_write(const struct label_frame *f, const struct label *label,
                  char *out)
{
    const char *text = f->text.data;
    char *at = put(out, text, f->head_bytes);

    assert(label->source.partition >= 0 && label->source.offset >= 0);
    at += digits_int(at, label->source.partition);
    at = put(at, OFFSET, sizeof(OFFSET) - 1);
    at += digits_int(at, label->source.offset);
    at = put(at, text + f->head_bytes, f->tail_bytes);
    if (label->logits != NULL)
        at = put_logits(f, label->logits, at);
    *at++ = '}';
    if (label->choice != NULL)
        at = put_choice(label->choice, at);
    at = put(at, ",\"event\":", 9);
    at = put_event(label->event, label->event_bytes, at);
    if (label->imagined_count > 0)
        at = put_imagined(f, label, at);
    at = put(at, "}\n", 2);
    return (size_t)(at - out);
}
