/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_REPORT_STYLE_H
#define REPORT_REPORT_STYLE_H

/* report_style is the page's style sheet: light and dark, no request off the
 * page. */
extern const char report_style[];

#endif
