/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ancestors.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_UP =
        64, /* processes above us that are looked at: a workflow that starts itself without end comes to a stop */
    ENVIRON_MAX = 256 * 1024, /* of a process: what stands behind it is not looked at */
};

/* A file of /proc/PID; NUL-terminated. False: it cannot be read. */
static bool read_proc(pid_t pid, const char *file, char *block, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    while (fd >= 0 && len < size - 1 && (n = read(fd, block + len, size - 1 - len)) > 0) {
        len += (size_t)n;
    }
    memset(block + len, 0, len + 1 < size ? 2 : 1);
    return fd >= 0 && n >= 0;
}

/* "1234 (name) S 1 …", where a name may hold blanks and brackets. 0: nobody. */
static pid_t parent_of(pid_t pid)
{
    char stat[1024];
    const char *end = read_proc(pid, "stat", stat, sizeof(stat)) ? strrchr(stat, ')') : NULL;
    int parent = 0;

    return end && sscanf(end + 1, " %*c %d", &parent) == 1 && parent > 0 ? parent : 0;
}

static bool is_run(const char *text)
{
    return strlen(text) == ID_LEN && id_time_ms(text) >= 0;
}

static void add(struct ancestors *ret, const char *run, const char *step)
{
    struct ancestor *a = vec_push(&ret->v);

    *a = (struct ancestor){0};
    memcpy(a->run, run, ID_LEN);
    size_t n = strnlen(step, sizeof(a->step) - 1);
    while (step[n] != '\0' && n > 0 && ((unsigned char)step[n] & 0xc0) == 0x80) {
        n--; /* between two characters */
    }
    memcpy(a->step, step, n);
}

static void add_by_environment(pid_t pid, char *block, struct ancestors *ret)
{
    const char *run = NULL, *step = NULL;

    if (!read_proc(pid, "environ", block, ENVIRON_MAX)) {
        return;
    }
    for (const char *at = block; *at; at += strlen(at) + 1) {
        run = text_starts(at, "WF_RUN=") ? at + strlen("WF_RUN=") : run;
        step = text_starts(at, "WF_STEP=") ? at + strlen("WF_STEP=") : step;
    }
    if (run && step && *step && is_run(run)) {
        add(ret, run, step);
    }
}

/* A wf holds live/RUN open, and hands it down to nobody. */
static void add_by_files(pid_t pid, struct ancestors *ret)
{
    char path[64], target[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        const char *name = strrchr(target, '/');
        if (name && is_run(name + 1) && name - target >= 5 && memcmp(name - 5, "/live", 5) == 0) {
            add(ret, name + 1, "");
        }
    }
    if (dir) {
        closedir(dir);
    }
}

void ancestors_find(struct ancestors *ret)
{
    CLEANUP(cleanup_free) char *block = xmalloc(ENVIRON_MAX);
    pid_t pid = getppid();

    for (int n = 0; n < MAX_UP && pid > 1; n++, pid = parent_of(pid)) {
        add_by_environment(pid, block, ret);
        add_by_files(pid, ret);
    }
}
