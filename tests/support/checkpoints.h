/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_CHECKPOINTS_H
#define SUPPORT_CHECKPOINTS_H

#include "stages/checkpoint/store.h"
#include "stages/checkpoint/writer.h"

#include "daemon/io/directory.h"
#include "daemon/io/file.h"

#include "tests/support/check.h"
#include "tests/support/fake_model.h"

#include <unistd.h>

/*
 * A directory for a test's checkpoints, and making some.
 */

static char root[] = "/tmp/distilld-checkpoint-XXXXXX";
static struct error err;

/* The path of a name in the test's directory; four at a time. */
static inline const char *
at(const char *name)
{
    static char paths[4][PATH_TEXT_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    if (path_join(path, root, name, &err) != STATUS_OK)
        path[0] = '\0';
    return path;
}

static inline bool
is_there(const char *name)
{
    return access(at(name), F_OK) == 0;
}

/* A small student: a table with its ids, a dense tensor, and state. */
static inline struct model *
small_model(unsigned seed)
{
    struct model *m = calloc(1, sizeof(*m));

    fake_add(m, "user/embedding", TENSOR_F32, 400, false, seed);
    fake_add(m, "user/ids", TENSOR_U64, 100, false, seed + 1);
    fake_add(m, "bias", TENSOR_F32, 1, false, seed + 2);
    fake_add(m, "user/state", TENSOR_F32, 100, true, seed + 3);
    fake_add(m, "user/sightings", TENSOR_U32, 100, true, seed + 4);
    return m;
}

/* Writes one checkpoint of a model and, when there is one, a baseline. */
static inline struct checkpoint_result
write_checkpoint(struct store *s, struct model *m, struct model *baseline,
                 const char *progress)
{
    const struct checkpoint_model models[] = {
        {.model = m, .prefix = ""}, {.model = baseline, .prefix = "baseline/"}};
    struct manifest manifest = {.model = "student"};
    const struct checkpoint_content content = {
        .models = models,
        .model_count = baseline != NULL ? 2 : 1,
        .progress = progress,
        .progress_bytes = strlen(progress),
        .manifest = &manifest,
    };
    struct checkpoint_writer *w = NULL;
    struct checkpoint_result result = {.status = STATUS_INTERNAL};

    CHECK_INT(writer_new(&w, s, &err), STATUS_OK);
    CHECK_INT(writer_begin(w, &content, &err), STATUS_OK);
    CHECK_INT(writer_finish(w, &result), STATUS_OK);
    writer_free(&w);
    return result;
}

#endif
