/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed `wf` left behind: processes of its host steps, its work folder, its mark of being alive. (Containers are reaped by their executor.) */
#ifndef WF_ENGINE_LEFTOVERS_H
#define WF_ENGINE_LEFTOVERS_H

struct store;

/* Looks at every run that claims to be alive in this store; where nobody holds its lock, its processes are ended with KILL, its work folder goes to the trash, and the claim is withdrawn. Costs one readdir where all is
 * well. Blocking for some milliseconds where it is not. */
void leftovers_end(struct store *s);

#endif
