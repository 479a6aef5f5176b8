/* SPDX-License-Identifier: Apache-2.0 */
/* timer FILE COMMAND…: runs the command and writes "CPU-us WALL-us PEAK-KiB" of it and every descendant it waited for. A program of its own and small, since a process's peak memory counts from before its exec: a large parent
 * would be measured instead. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long microseconds(struct timeval t)
{
    return t.tv_sec * 1000000L + t.tv_usec;
}

static long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    if (argc < 3) {
        return 2;
    }
    long began = now();
    pid_t pid = vfork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid) {
        return 126;
    }
    long wall = now() - began;
    FILE *f = fopen(argv[1], "w");
    if (!f) {
        return 125;
    }
    fprintf(f, "%ld %ld %ld\n", microseconds(usage.ru_utime) + microseconds(usage.ru_stime), wall,
            usage.ru_maxrss);
    fclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
