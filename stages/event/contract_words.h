/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_CONTRACT_WORDS_H
#define EVENT_CONTRACT_WORDS_H

/*
 * The words of a contract, NULL behind the last: contract.c writes them,
 * contract_parse.c finds their places.
 */

#define CONTRACT_HASH "xxh64"

extern const char *const contract_kinds[]; /* by enum feature_kind */
extern const char *const contract_tasks[]; /* by enum task_kind */

#endif
