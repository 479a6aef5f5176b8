/* SPDX-License-Identifier: Apache-2.0 */
/* Had the workflow's git work tree changes that are not committed when the run's first step began? libgit2 takes 10 ms to find out, so nobody asks before something runs, and nobody waits long. */
#ifndef WF_ENGINE_WORKTREE_H
#define WF_ENGINE_WORKTREE_H

struct loop;
struct worktree;

/* Looks on the pool. Loop thread. */
struct worktree *worktree_look(struct loop *l, const char *dir);
/* "true" or "false", waited for a fifth of a second at most; NULL: not known (no work tree, or one of more than 20,000 tracked files). Static. NULL is fine. */
const char *worktree_dirty(struct worktree *t);
void worktree_free(struct worktree *t);

#endif
