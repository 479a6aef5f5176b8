/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts when there is nothing left. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
    static const char msg[] = "wf: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, msg, sizeof(msg) - 1);

    (void)ignored;
    abort();
}

static void *checked(void *ptr)
{
    if (!ptr) {
        out_of_memory();
    }
    return ptr;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return checked(count && size ? calloc(count, size) : calloc(1, 1));
}

void *xrealloc(void *ptr, size_t size)
{
    return checked(realloc(ptr, size ? size : 1));
}

void *xreallocarray(void *ptr, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        out_of_memory();
    }
    return xrealloc(ptr, total);
}

char *xstrdup(const char *s)
{
    return xmemdup(s, strlen(s) + 1);
}

char *xstrndup(const char *s, size_t len)
{
    len = strnlen(s, len);
    char *copy = xmalloc(len + 1);

    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

void *xmemdup(const void *data, size_t len)
{
    void *copy = xmalloc(len);

    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        out_of_memory();
    }
    return text;
}

void cleanup_free(void *pp)
{
    free(take_ptr_(pp));
}

void cleanup_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void cleanup_file(FILE **f)
{
    if (*f) {
        fclose(*f);
    }
    *f = NULL;
}

void *take_ptr_(void *pp)
{
    void *p, *null = NULL;

    memcpy(&p, pp, sizeof(p));
    memcpy(pp, &null, sizeof(null));
    return p;
}

int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}
