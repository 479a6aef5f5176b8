/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation in arenas: a pointer that moves forward. An image arena is one reserved range whose beginning is made
 * writable in growing steps. */
#include "base/arena.h"

#include "base/arena_impl.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT ((size_t)16)
#define FIRST_CHUNK ((size_t)4 << 10)
#define LARGEST_CHUNK ((size_t)1 << 20)
#define SMALLEST_COMMIT ((size_t)1 << 20)
#define LARGEST_COMMIT ((size_t)64 << 20)

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    _Alignas(16) char data[];
};

struct arena *arena_new(void)
{
    struct arena *a = xcalloc(1, sizeof(*a));

    a->chunk_size = FIRST_CHUNK;
    return a;
}

struct arena *arena_reserve_image(void)
{
    void *want =
        (void *)IMAGE_BASE; /* NOLINT(performance-no-int-to-ptr): the address is the format */
    void *range = mmap(want, IMAGE_SIZE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (range == MAP_FAILED) {
        return NULL;
    }
    if (range != want) { /* a kernel before 4.17 takes the address for a hint */
        munmap(range, IMAGE_SIZE);
        return NULL;
    }
    struct arena *a = xcalloc(1, sizeof(*a));
    a->image = true;
    a->next = a->end = (char *)want + IMAGE_HEADER;
    return a;
}

/* Makes room for `size` more bytes of the image. */
static void commit(struct arena *a, size_t size)
{
    const size_t page = 64 * 1024;   /* a multiple of every page size */
    char *base = (char *)IMAGE_BASE; /* NOLINT(performance-no-int-to-ptr) */
    size_t have = (size_t)(a->end - base), need = (size_t)(a->next - base) + size;
    size_t step = have < SMALLEST_COMMIT  ? SMALLEST_COMMIT
                  : have > LARGEST_COMMIT ? LARGEST_COMMIT
                                          : have;
    size_t target = have + step > need ? have + step : need;

    target = (target + page - 1) & ~(page - 1);
    if (target > IMAGE_SIZE || mprotect(base, target, PROT_READ | PROT_WRITE) != 0) {
        fputs("wf: out of memory\n", stderr);
        abort();
    }
    a->end = base + target;
}

struct arena *arena_new_image(void)
{
    struct arena *a = arena_reserve_image();

    if (a) {
        commit(a, 0);
    }
    return a;
}

void arena_free(struct arena *a)
{
    if (!a) {
        return;
    }
    if (a->image) {
        munmap((void *)IMAGE_BASE, IMAGE_SIZE); /* NOLINT(performance-no-int-to-ptr) */
    }
    for (struct arena_chunk *chunk = a->chunks; chunk;) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(a);
}

static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
    struct arena_chunk *chunk = xcalloc(1, sizeof(*chunk) + size);

    chunk->size = size;
    chunk->next = a->chunks;
    a->chunks = chunk;
    return chunk;
}

/* The current room is too small. */
static void *alloc_slow(struct arena *a, size_t size)
{
    if (a->image) {
        commit(a, size);
    } else if (size > a->chunk_size / 4) {
        /* A large object gets a chunk of its own; the current one goes on being used. */
        return add_chunk(a, size)->data;
    } else {
        struct arena_chunk *chunk = add_chunk(a, a->chunk_size);
        a->next = chunk->data;
        a->end = chunk->data + a->chunk_size;
        a->chunk_size = a->chunk_size < LARGEST_CHUNK ? a->chunk_size * 2 : LARGEST_CHUNK;
    }
    void *p = a->next;
    a->next += size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    WF_ASSERT(size < SIZE_MAX / 4);
#ifdef WF_SANITIZED
    if (!a->image) {
        a->used += size;
        return add_chunk(a, size)->data;
    }
#endif
    size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    a->used += size;
    if (size > (size_t)(a->end - a->next)) {
        return alloc_slow(a, size);
    }
    void *p = a->next;
    a->next += size;
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t total;
    bool overflow = __builtin_mul_overflow(count, size, &total);

    WF_ASSERT(!overflow);
    return arena_alloc(a, total);
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_memdup(a, s, strlen(s) + 1);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    len = strnlen(s, len);
    char *copy = arena_alloc(a, len + 1);

    memcpy(copy, s, len);
    return copy;
}

void *arena_memdup(struct arena *a, const void *data, size_t len)
{
    void *copy = arena_alloc(a, len);

    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    char buf[256];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    WF_ASSERT(n >= 0);
    size_t size = (size_t)n + 1;
    if (size <= sizeof(buf)) {
        return arena_memdup(a, buf, size);
    }
    char *text = arena_alloc(a, size);
    va_start(ap, fmt);
    vsnprintf(text, size, fmt, ap);
    va_end(ap);
    return text;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

bool arena_is_image(const struct arena *a)
{
    return a->image;
}

char *arena_image_bytes(const struct arena *a, size_t *ret_len)
{
    char *base = (char *)IMAGE_BASE; /* NOLINT(performance-no-int-to-ptr) */

    WF_ASSERT(a->image);
    *ret_len = (size_t)(a->next - base);
    return base;
}
