/* SPDX-License-Identifier: Apache-2.0 */
/* What every listing of the store shares: a limit, a table for people or a JSON array for programs. */
#ifndef WF_CLI_LISTING_H
#define WF_CLI_LISTING_H

#include "base/json.h"
#include "cli/setup.h"

#include <stdint.h>

struct err;
struct table;

struct listing {
    const struct cli *cli;
    struct store *store;
    uint32_t limit;      /* --limit */
    struct table *table; /* NULL under --json */
    struct jsonw *json;  /* NULL without --json */
    struct jsonw writer;
    struct str out;
};
/* Reads --limit and --json, opens the store. Returns EXIT_OK or the exit code to end with (nothing is left open then). */
int listing_open(const struct cli *c, const struct args *a, const char *const *titles,
                 size_t columns, long fallback_limit, struct listing *ret);
/* Prints what was collected, or the error when `result` is negative; closes the store. Returns the exit code. */
int listing_close(struct listing *l, int result, const struct err *err);

#endif
