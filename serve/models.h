/* SPDX-License-Identifier: Apache-2.0 */
/* Promoted models' files: the store's models/DIGEST (a file; .x: that can be executed) or models/DIGEST.d (a folder), kept apart from objects/ so that housekeeping need not know of promotions, and paths stay for years. */
#ifndef WF_SERVE_MODELS_H
#define WF_SERVE_MODELS_H

#include "cache/result.h"

struct err;
struct store;

/* Puts an output there (as for host steps: reflink, small copy, else hard link); nothing happens when it is there. Blocking; pool. *ret_path is owned by the caller. */
int models_place(struct store *s, const struct result_output *o, char **ret_path, struct err *err);
char *models_path(const struct store *s, const struct result_output *o); /* owned by the caller */
/* While it is held nothing is swept: from before a model is placed until a row that names it is written. Any number may hold it; closing *ret_fd lets go. May block for some milliseconds. */
int models_hold(struct store *s, int *ret_fd, struct err *err);
/* Removes the files of promotions that are not kept: kept are those of each select step's newest `keep` that stand, of what is live, of what services want, and of how the promotions kept were wanted (other rows of
 * service_specs go too). Nothing is done while somebody holds it, or where there is nothing. Ends after limit_ms (0: never). Blocking; on a store without a loop. *ret_bytes: what was freed, may be NULL. */
int models_sweep(struct store *s, uint32_t keep, int64_t limit_ms, uint64_t *ret_bytes,
                 struct err *err);

#endif
