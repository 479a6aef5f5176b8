/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

__attribute__((format(printf, 1, 0))) static void complain(const char *format, va_list args)
{
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    exit(1);
}

void die_usage(const char *usage, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    fputs(usage, stderr);
    exit(2);
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        die("out of memory (%zu times %zu bytes)", n, size);
    return p;
}

FILE *file_open(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);
    if (!f)
        die("cannot open '%s': %s", path, strerror(errno));
    return f;
}

void file_write(FILE *f, const void *data, size_t len, const char *path)
{
    if (fwrite(data, 1, len, f) != len)
        die("cannot write '%s': %s", path, strerror(errno));
}

void file_read(FILE *f, void *data, size_t len, const char *path)
{
    if (fread(data, 1, len, f) == len)
        return;
    if (ferror(f))
        die("cannot read '%s': %s", path, strerror(errno));
    die("'%s' ends too early", path);
}

void file_close(FILE *f, const char *path)
{
    int failed = ferror(f);
    if (fclose(f) != 0 || failed)
        die("cannot write '%s': %s", path, strerror(errno));
}

char *file_load(const char *path, size_t *ret_len)
{
    FILE *f = file_open(path, "rb");
    size_t len = 0, room = 1 << 16;
    char *text = xcalloc(room, 1);
    for (;;) {
        size_t n = fread(text + len, 1, room - len - 1, f);
        len += n;
        if (n == 0)
            break;
        if (len + 1 == room) {
            room *= 2;
            text = realloc(text, room);
            if (!text)
                die("out of memory for '%s'", path);
        }
    }
    if (ferror(f))
        die("cannot read '%s': %s", path, strerror(errno));
    fclose(f);
    text[len] = '\0';
    *ret_len = len;
    return text;
}

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void option_help(int argc, char **argv, const char *usage)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        exit(0);
    }
}

uint64_t option_number(const char *usage, const char *option, const char *text, uint64_t low,
                       uint64_t high)
{
    char *end = NULL;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || v < low || v > high)
        die_usage(usage, "%s must be a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                  option, low, high, text);
    return v;
}

uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t random_below(struct random *r, uint32_t bound)
{
    return (uint32_t)(((random_next(r) >> 32) * bound) >> 32);
}

float random_normal(struct random *r)
{
    /* Box-Muller; the first draw is never 0, whose logarithm does not exist. */
    double u = (double)((random_next(r) >> 11) + 1) / 9007199254740992.0;
    double v = (double)(random_next(r) >> 11) / 9007199254740992.0;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}
