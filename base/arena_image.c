/* SPDX-License-Identifier: Apache-2.0 */
/* An arena's image as a file: one header of 4096 bytes, then the arena's bytes, both as they lie in memory. Numbers are in the
 * machine's byte order: an image never leaves its machine, and a foreign one fails by its magic. The sum covers the
 * header's other fields and the data: it finds a torn or rotten file, at the speed of reading it. Who may write here may write anything. */
#include "base/arena.h"
#include "base/arena_impl.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_MAGIC 0x31474d4941465721u /* "!WFAIMG1" on a little-endian machine */
#define IMAGE_VERSION 2u
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14 */
#endif
#define COMPONENT "arena"
/* No mapping begins below this (vm.mmap_min_addr), so that small numbers are never taken for pointers. */
#define LOWEST_MAPPING 0x10000u

struct image_header {
    uint64_t magic;
    uint64_t version;
    unsigned char tag[32];
    uint64_t base;
    uint64_t file_size;
    uint64_t root;
    uint64_t sum[4]; /* of all that stands before it, and of the data */
    uint64_t loaded; /* in memory only: the bytes of the file that is mapped here */
};
_Static_assert(sizeof(struct image_header) <= IMAGE_HEADER, "the header has one page");

enum {
    STRIPE = 32,
    PART = 1 << 20,  /* of a file, summed at once; a multiple of every page size */
    KEPT = 20 << 20, /* so much of one is not worth giving back */
};

/* Four lanes of XXH64's round. Each step can be undone, so no change of a single word goes unseen. */
static void sum_stripes(uint64_t sum[4], const char *data, size_t len)
{
    for (size_t at = 0; at + STRIPE <= len; at += STRIPE) {
        uint64_t word[4];
        memcpy(word, data + at, STRIPE);
        for (int k = 0; k < 4; k++) {
            uint64_t v = sum[k] + word[k] * UINT64_C(0xc2b2ae3d27d4eb4f);
            sum[k] = (v << 31 | v >> 33) * UINT64_C(0x9e3779b185ebca87);
        }
    }
}

/* Only the last part of a whole may have a length that is no multiple of a stripe's. */
static void sum_add(uint64_t sum[4], const void *data, size_t len)
{
    const size_t whole = len - len % STRIPE;
    char rest[STRIPE] = {0};

    sum_stripes(sum, data, whole);
    if (len > whole) {
        memcpy(rest, (const char *)data + whole, len - whole);
        sum_stripes(sum, rest, STRIPE);
    }
}

static void sum_header(uint64_t sum[4], const struct image_header *header)
{
    memset(sum, 0, 4 * sizeof(*sum));
    sum_add(sum, header, offsetof(struct image_header, sum)); /* the length of all stands in it */
}

/* A mapped range of this process outside the image. */
struct range {
    uint64_t start, end;
};
struct ranges {
    VEC(struct range) list; /* ascending */
};

/* Whether pointers may lead there at all. */
static bool counts(const struct range *r, const char *perms, bool is_file)
{
    if (r->end > UINT64_C(1) << 63 || strncmp(perms, "---", 3) == 0) {
        return false; /* [vsyscall]; guard pages */
    }
    if (r->start < IMAGE_BASE + IMAGE_SIZE && r->end > IMAGE_BASE) {
        return false;
    }
#ifdef WF_SANITIZED
    /* The sanitizers' shadows span terabytes, and their heaps begin at round addresses that two small numbers make up: only what a file holds (static data) is told from numbers there. */
    if (!is_file) {
        return false;
    }
#else
    (void)is_file;
#endif
    return true;
}

/* From /proc/self/maps, whose lines ascend: "start-end perms offset dev inode  name". */
static int read_ranges(struct ranges *ret, struct err *err)
{
    CLEANUP(cleanup_file) FILE *f = fopen("/proc/self/maps", "re");
    CLEANUP(cleanup_free) char *line = NULL;
    size_t room = 0;

    if (!f) {
        return err_set(err, ERR_IO, errno, "cannot read /proc/self/maps");
    }
    while (getline(&line, &room, f) > 0) {
        struct range r;
        char perms[8];
        int name_at = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s%n", &r.start, &r.end, perms,
                   &name_at) != 3) {
            continue;
        }
        bool is_file = name_at > 0 && strchr(line + name_at, '/') != NULL; /* a file */
        if (!counts(&r, perms, is_file)) {
            continue;
        }
        if (ret->list.len > 0 && ret->list.items[ret->list.len - 1].end == r.start) {
            ret->list.items[ret->list.len - 1].end = r.end;
        } else {
            *vec_push(&ret->list) = r;
        }
    }
    return 0;
}

static bool in_ranges(const struct ranges *ranges, uint64_t word)
{
    size_t low = 0, high = ranges->list.len;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (word >= ranges->list.items[mid].end) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < ranges->list.len && word >= ranges->list.items[low].start;
}

/* The offset of the first word of the image that points out of it; `len` when there is none. */
static size_t find_stray(const char *bytes, size_t len, const struct ranges *ranges)
{
    const uint64_t base = IMAGE_BASE;
    const uint64_t top = ranges->list.len ? ranges->list.items[ranges->list.len - 1].end : 0;

    for (size_t at = IMAGE_HEADER; at + sizeof(uint64_t) <= len; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof(word));
        if (word < LOWEST_MAPPING) {
            continue;
        }
        /* Into the image, or into its room where nothing was ever allocated: there a number (a line of 8,192 in a word's upper half) only looks like a pointer. */
        if (word - base >= IMAGE_SIZE && word < top && in_ranges(ranges, word)) {
            return at;
        }
    }
    return len;
}

int arena_image_save(const struct arena *a, const void *root, const unsigned char tag[32],
                     const char *path, struct err *err)
{
    struct ranges ranges = {0};
    size_t len;

    if (!a->image) {
        return 1;
    }
    char *bytes = arena_image_bytes(a, &len);
    uint64_t root_address = (uintptr_t)root;
    if (root && (root_address < IMAGE_BASE + IMAGE_HEADER || root_address >= IMAGE_BASE + len)) {
        log_debug(COMPONENT, "no image: the root lies outside");
        return 1;
    }
    int rc = read_ranges(&ranges, err);
    if (rc == 0) {
        size_t stray = find_stray(bytes, len, &ranges);
        if (stray < len) {
            uint64_t word;
            memcpy(&word, bytes + stray, sizeof(word));
            log_debug(COMPONENT, "no image: the word at offset %zu points outside, to 0x%" PRIx64,
                      stray, word);
            rc = 1;
        }
    }
    vec_done(&ranges.list);
    if (rc != 0) {
        return rc;
    }
    struct image_header header = {
        .magic = IMAGE_MAGIC,
        .version = IMAGE_VERSION,
        .base = IMAGE_BASE,
        .file_size = len,
        .root = root_address,
    };
    memcpy(header.tag, tag, sizeof(header.tag));
    sum_header(header.sum, &header);
    sum_add(header.sum, bytes + IMAGE_HEADER, len - IMAGE_HEADER);
    /* The first page of the range is the header's place. */
    memcpy(bytes, &header, sizeof(header));
    return fs_write_file(path, bytes, len, 0644, false, err);
}

/* 0: the header fits `tag` and the file's size. */
static int read_header(int fd, const unsigned char tag[32], struct image_header *ret)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < IMAGE_HEADER ||
        (uint64_t)st.st_size > IMAGE_SIZE ||
        pread(fd, ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret)) {
        return 1;
    }
    bool fits = ret->magic == IMAGE_MAGIC && ret->version == IMAGE_VERSION &&
                memcmp(ret->tag, tag, sizeof(ret->tag)) == 0 && ret->base == IMAGE_BASE &&
                ret->file_size == (uint64_t)st.st_size &&
                (ret->root == 0 || (ret->root >= IMAGE_BASE + IMAGE_HEADER &&
                                    ret->root < IMAGE_BASE + ret->file_size));
    return fits ? 0 : 1;
}

/* Adds a part of the file, through a mapping that is gone again at once: pages that were only summed would count as memory of the process. False: read it instead (an older kernel, or a page that cannot be
 * had: to look at it would be a crash). */
static bool sum_mapped(uint64_t sum[4], int fd, off_t at, size_t len)
{
    char *part = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, at);
    bool there = part != MAP_FAILED && madvise(part, len, MADV_POPULATE_READ) == 0;

    if (there) {
        sum_add(sum, part, len);
    }
    if (part != MAP_FAILED) {
        munmap(part, len);
    }
    return there;
}

static bool sum_read(uint64_t sum[4], int fd, off_t at, size_t len)
{
    CLEANUP(cleanup_free) char *part = xmalloc(len);

    for (size_t held = 0; held < len;) {
        ssize_t n = pread(fd, part + held, len - held, at + (off_t)held);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        held += (size_t)n;
    }
    sum_add(sum, part, len);
    return true;
}

/* Does the content agree with the header's sum? */
static bool file_intact(int fd, const struct image_header *header)
{
    const off_t end = (off_t)header->file_size;
    uint64_t sum[4];

    sum_header(sum, header);
    for (off_t at = IMAGE_HEADER; at < end; at += PART) {
        size_t len = end - at < PART ? (size_t)(end - at) : PART;
        if (!sum_mapped(sum, fd, at, len) && !sum_read(sum, fd, at, len)) {
            return false;
        }
    }
    return memcmp(sum, header->sum, sizeof(sum)) == 0;
}

/* Maps the file over the beginning of the reserved range and checks it. */
static int map_image(struct arena *a, int fd, const struct image_header *header)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t len = (size_t)header->file_size;
    char *base =
        (char *)IMAGE_BASE; /* NOLINT(performance-no-int-to-ptr): the address is the format */

    if (!file_intact(fd, header)) {
        return 1;
    }
    /* Replaces nothing but our own reservation, whose rest stays for growth. */
    if (mmap(base, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) != base) {
        return 1;
    }
    madvise(base, len,
            MADV_RANDOM); /* no read-around: what a run never looks at takes no memory of its own */
    ((struct image_header *)(void *)base)->loaded = len;
    a->next = base + len;
    a->end = base + ((len + page - 1) & ~(page - 1));
    a->used = len - IMAGE_HEADER;
    return 0;
}

int arena_image_load(const char *path, const unsigned char tag[32], struct arena **ret_arena,
                     void **ret_root, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct image_header header;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 1;
    }
    if (fd < 0) {
        return err_set(err, ERR_IO, errno, "cannot open '%s'", path);
    }
    if (read_header(fd, tag, &header) != 0) {
        log_debug(COMPONENT, "%s: damaged, or made for something else", path);
        return 1;
    }
    struct arena *a = arena_reserve_image();
    if (!a) {
        log_debug(COMPONENT, "%s: its range of addresses is taken", path);
        return 1;
    }
    if (map_image(a, fd, &header) != 0) {
        log_debug(COMPONENT, "%s: cannot be mapped, or its content is damaged", path);
        arena_free(a);
        return 1;
    }
    *ret_arena = a;
    *ret_root = (void *)(uintptr_t)header.root; /* NOLINT(performance-no-int-to-ptr) */
    return 0;
}

void arena_image_forget(const void *inside)
{
    const uintptr_t at = (uintptr_t)inside;
    const struct image_header *header;

    if (at < IMAGE_BASE + IMAGE_HEADER || at >= IMAGE_BASE + IMAGE_SIZE) {
        return;
    }
    header = (const struct image_header *)IMAGE_BASE; /* NOLINT(performance-no-int-to-ptr) */
    /* Whole pages of the file: what was allocated behind it stays. */
    size_t len = (size_t)header->loaded & ~((size_t)sysconf(_SC_PAGESIZE) - 1);
    if (len > KEPT) {
        char *first = (char *)(IMAGE_BASE + IMAGE_HEADER); /* NOLINT(performance-no-int-to-ptr) */
        if (mprotect(first, len - IMAGE_HEADER, PROT_READ) == 0) {
            (void)madvise(first, len - IMAGE_HEADER, MADV_DONTNEED);
        }
    }
}
