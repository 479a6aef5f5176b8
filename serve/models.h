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
/* Removes what no promotion in the table `promotions` names any more. Blocking. */
int models_sweep(struct store *s, struct err *err);

#endif
