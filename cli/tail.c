/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tail.h"

#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <unistd.h>

void tail_file(const char *path, int count, struct str *out)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buf[16384];
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    off_t from = end > (off_t)sizeof(buf) ? end - (off_t)sizeof(buf) : 0;
    ssize_t n = fd >= 0 ? pread(fd, buf, sizeof(buf), from) : 0;
    if (n <= 0) {
        return;
    }
    size_t stop = (size_t)n - (buf[n - 1] == '\n' ? 1 : 0), at = stop;
    while (at > 0 && count > 0) {
        at--;
        if (buf[at] == '\n' && --count == 0) {
            at++;
            break;
        }
    }
    sb_add(out, buf + at, stop - at);
}
