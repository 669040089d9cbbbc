/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_SETTINGS_CHECK_H
#define STAGES_SETTINGS_CHECK_H

#include "stages/settings.h"

/*
 * settings_check adds the problems of settings that are each fine by
 * themselves but not together, at the place of the one to change.
 */
void settings_check(const struct settings *s,
                    struct settings_problems *problems);

#endif
