/* SPDX-License-Identifier: Apache-2.0 */
/* The variable is read once; the state is a process-wide constant but for the counter of passes. */
#include "cache/failpoint.h"

#ifndef WF_NO_FAILPOINTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum failure { FAIL_KILL, FAIL_ENOSPC };

/* Unavoidable statics: points lie in code that has no context to hang them on. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool armed;
static char wanted[64];
static enum failure failure;
static atomic_long passes_left;

static void arm(const char *text)
{
    const char *colon = text ? strchr(text, ':') : NULL;

    armed = false;
    if (!colon || (size_t)(colon - text) >= sizeof(wanted)) {
        return;
    }
    memcpy(wanted, text, (size_t)(colon - text));
    wanted[colon - text] = '\0';
    failure = strncmp(colon + 1, "enospc", 6) == 0 ? FAIL_ENOSPC : FAIL_KILL;
    const char *count = strchr(colon + 1, ':');
    atomic_store(&passes_left, count ? strtol(count + 1, NULL, 10) : 1);
    armed = true;
}

static void read_variable(void)
{
    arm(getenv("WF_FAILPOINT"));
}

void failpoint_set(const char *text)
{
    pthread_once(&once, read_variable);
    arm(text);
}

bool failpoint_armed(void)
{
    pthread_once(&once, read_variable);
    return armed;
}

bool failpoint_hit(const char *name)
{
    if (strcmp(name, wanted) != 0 || atomic_fetch_sub(&passes_left, 1) != 1) {
        return false;
    }
    if (failure == FAIL_KILL) {
        raise(SIGKILL);
    }
    errno = ENOSPC;
    return true;
}

#endif
