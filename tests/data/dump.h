/* SPDX-License-Identifier: Apache-2.0 */
/* A model's essentials as text, for golden files. */
#ifndef WF_TESTS_DATA_DUMP_H
#define WF_TESTS_DATA_DUMP_H

struct str;
struct workflow;

/* Pretty JSON; what holds by default is left out. */
void dump_workflow(const struct workflow *wf, struct str *out);

#endif
