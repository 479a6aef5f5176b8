/* SPDX-License-Identifier: Apache-2.0 */
/* The leader of a host step dies with its wf (PR_SET_PDEATHSIG), what it started does not: those are found by the variable WF_RUN that every step carries. A run's id never repeats, so that nobody else's process is meant. */
#include "engine/leftovers.h"

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/store.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENVIRON_MAX = 256 * 1024 }; /* of a process: what stands behind it is not looked at */

/* Does /proc/PID/environ hold exactly this NAME=value? */
static bool carries(const char *pid, const char *variable, char *block)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    while (fd >= 0 && len < ENVIRON_MAX && (n = read(fd, block + len, ENVIRON_MAX - len)) > 0) {
        len += (size_t)n;
    }
    block[len] = '\0';
    for (size_t at = 0; at < len; at += strlen(block + at) + 1) {
        if (strcmp(block + at, variable) == 0) {
            return true;
        }
    }
    return false;
}

static void end_processes(const char *run)
{
    char variable[sizeof("WF_RUN=") + ID_LEN];
    (void)snprintf(variable, sizeof(variable), "WF_RUN=%s", run);
    CLEANUP(cleanup_free) char *block = xmalloc(ENVIRON_MAX + 1);
    DIR *proc = opendir("/proc");

    for (struct dirent *e; proc && (e = readdir(proc)) != NULL;) {
        if (isdigit((unsigned char)e->d_name[0]) && carries(e->d_name, variable, block)) {
            log_debug("leftovers", "ending process %s of run %s", e->d_name, run);
            kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
        }
    }
    if (proc) {
        closedir(proc);
    }
}

static void end_run(struct store *s, const char *run)
{
    int fd;

    if (store_is_live(s, run) || store_live(s, run, &fd, NULL) < 0) {
        return;
    }
    end_processes(run);
    CLEANUP(cleanup_free) char *below = xasprintf("work/%s", run);
    CLEANUP(cleanup_free) char *work = store_path(s, below);
    store_discard(s, work);
    store_unlive(s, run, fd);
}

void leftovers_end(struct store *s)
{
    CLEANUP(cleanup_free) char *path = store_path(s, "live");
    DIR *live = opendir(path);

    for (struct dirent *e; live && (e = readdir(live)) != NULL;) {
        if (strlen(e->d_name) == ID_LEN && id_time_ms(e->d_name) >= 0) {
            end_run(s, e->d_name);
        }
    }
    if (live) {
        closedir(live);
    }
}
