/* SPDX-License-Identifier: Apache-2.0 */
/* Named points at which a test can kill the process or make an operation fail: $WF_FAILPOINT="NAME:kill", "NAME:enospc", with ":N" behind it for the Nth pass
 * (default: the first). Free when the variable is not set: one load and one branch. -DWF_NO_FAILPOINTS compiles them out. */
#ifndef WF_CACHE_FAILPOINT_H
#define WF_CACHE_FAILPOINT_H

#include <stdbool.h>

#ifdef WF_NO_FAILPOINTS
#define FAILPOINT(name) ((void)0)
#define FAILPOINT_ERR(name) (false)
#else
/* Here the process dies by SIGKILL, when asked to. */
#define FAILPOINT(name) ((void)(failpoint_armed() && failpoint_hit(name)))
/* The same, and true (errno = ENOSPC) when the operation is to fail. */
#define FAILPOINT_ERR(name) (failpoint_armed() && failpoint_hit(name))
/* In place of the variable, for tests in one process; NULL: none. */
void failpoint_set(const char *text);
bool failpoint_armed(void);
bool failpoint_hit(const char *name);
#endif

#endif
