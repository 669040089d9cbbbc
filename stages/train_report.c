/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is in force where the stream chooses: one form for /status and reports.
 */
#include "stages/train_report.h"

#include "daemon/base/json_writer.h"

static void
put_number(struct json_writer *w, const char *key, double number)
{
    json_put_key(w, key);
    json_put_double(w, number);
}

void
arms_report_write(const struct arms_report *a, struct json_writer *w)
{
    json_open_object(w);
    json_put_key(w, "in_force");
    json_put_string(w, a->arms[a->in_force].name);
    json_put_key(w, "ahead");
    json_put_string(w, a->arms[a->ahead].name);
    json_put_key(w, "switches");
    json_put_uint(w, a->switches);
    json_put_key(w, "arms");
    json_open_array(w);
    for (size_t i = 0; i < a->count; i++) {
        json_open_object(w);
        json_put_key(w, "name");
        json_put_string(w, a->arms[i].name);
        put_number(w, "hard_weight", a->arms[i].hard_weight);
        put_number(w, "soft_weight", a->arms[i].soft_weight);
        put_number(w, "loss", a->arms[i].loss);
        json_close_object(w);
    }
    json_close_array(w);
    json_close_object(w);
}
