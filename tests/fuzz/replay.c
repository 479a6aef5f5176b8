/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds each file of the folders given as arguments to a fuzzer's entry, so that what was once found stays found in builds without libFuzzer. No file at all is a
 * failure: a moved corpus must not pass for a clean one. */
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, const char *rel, const struct stat *st, void *arg,
                  struct err *err)
{
    unsigned *count = arg;
    (void)rel;
    if (!S_ISREG(st->st_mode))
        return 0;
    CLEANUP(sb_done) struct str text = {0};
    int rc = fs_read_file(path, (size_t)64 << 20, &text, err);
    if (rc)
        return rc;
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput((const uint8_t *)sb_text(&text), text.len);
    ++*count;
    return 0;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    struct err err = {0};
    for (int i = 1; i < argc; i++) {
        if (fs_walk(argv[i], replay, &count, &err)) {
            fprintf(stderr, "%s\n", err.msg);
            return 1;
        }
    }
    printf("%u replayed\n", count);
    return count == 0;
}
