/* SPDX-License-Identifier: Apache-2.0 */
/* wf_hash FILE…: the first by one thread, then all by all processors, as a run hashes its inputs. Prints bytes per second as JSON. */
#include "base/digest.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/units.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct job {
    const char *path;
    uint64_t bytes;
};

static void hash_one(void *arg)
{
    struct job *j = arg;
    CLEANUP(cleanup_close) int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    struct digest d;
    struct err err = {0};

    if (fd < 0 || digest_fd(fd, &d, &j->bytes, &err) < 0) {
        fprintf(stderr, "wf_hash: cannot read %s\n", j->path);
        exit(1);
    }
}

static void hash_done(void *arg)
{
    (void)arg;
}

int main(int argc, char **argv)
{
    int count = argc - 1;
    char **paths = argv + 1;
    struct loop *l = loop_new();
    struct job *jobs = xcalloc((size_t)argc, sizeof(*jobs));
    double bytes = 0;

    if (count < 1) {
        fprintf(stderr, "usage: scale.py starts this\n");
        return 2;
    }
    jobs[0].path = paths[0];
    int64_t t = mono_us();
    hash_one(&jobs[0]);
    double one = (double)jobs[0].bytes / ((double)(mono_us() - t) / 1e6);
    t = mono_us();
    for (int i = 0; i < count; i++) {
        jobs[i].path = paths[i];
        loop_work(l, hash_one, hash_done, &jobs[i]);
    }
    loop_run(l);
    for (int i = 0; i < count; i++) {
        bytes += (double)jobs[i].bytes;
    }
    printf("{\"one_file\":%.0f,\"all_files\":%.0f}\n", one,
           bytes / ((double)(mono_us() - t) / 1e6));
    loop_free(l);
    free(jobs);
    return 0;
}
