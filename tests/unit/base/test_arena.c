/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/err.h"
#include "tests/unit/base/temp.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned char tag[32] = "the build, the files";

static void check_objects(struct arena *a)
{
    unsigned char *objects[3000];

    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        size_t size = i % 700;
        objects[i] = arena_alloc(a, size);
        cr_assert_eq((uintptr_t)objects[i] % 16, 0);
        for (size_t k = 0; k < size; k++) {
            cr_assert_eq(objects[i][k], 0);
        }
        memset(objects[i], (int)(i & 255), size);
    }
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        for (size_t k = 0; k < i % 700; k++) {
            cr_assert_eq(objects[i][k], i & 255);
        }
    }
    cr_assert_geq(arena_used(a), 3000u / 700 * 244650);
}

static void check_texts(struct arena *a)
{
    char longer[1000];

    memset(longer, 'y', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    cr_assert_str_eq(arena_strdup(a, "text"), "text");
    cr_assert_str_eq(arena_strndup(a, "text", 2), "te");
    cr_assert_str_eq(arena_strndup(a, "te", 20), "te");
    cr_assert_str_eq(arena_printf(a, "%s-%d", "a", 7), "a-7");
    cr_assert_str_eq(arena_printf(a, "%s", longer), longer);
    cr_assert_not_null(arena_memdup(a, NULL, 0));
    cr_assert_neq(arena_alloc(a, 0), arena_alloc(a, 0));
}

Test(base_arena, plain)
{
    struct arena *a = arena_new();

    cr_assert(!arena_is_image(a));
    check_objects(a);
    check_texts(a);
    memset(arena_alloc(a, 5 << 20), 1, 5 << 20);
    arena_free(a);
    arena_free(NULL);
}

Test(base_arena, image)
{
    struct arena *a = arena_new_image();

    cr_assert_not_null(a);
    cr_assert(arena_is_image(a));
    check_objects(a);
    check_texts(a);
    memset(arena_alloc(a, 5 << 20), 1, 5 << 20);
    cr_assert_null(arena_new_image(), "one per process");
    arena_free(a);
    a = arena_new_image();
    cr_assert_not_null(a);
    arena_free(a);
}

struct node {
    struct node *next;
    const char *name;
    int64_t value;
};

/* A list of numbered nodes. */
static struct node *build(struct arena *a, int count)
{
    struct node *head = NULL;

    for (int i = count - 1; i >= 0; i--) {
        struct node *n = arena_alloc(a, sizeof(*n));
        *n = (struct node){head, arena_printf(a, "node %d", i), i * INT64_C(1700000000000)};
        head = n;
    }
    return head;
}

static bool list_is_whole(const struct node *n, int count)
{
    char name[32];

    for (int i = 0; i < count; i++, n = n->next) {
        snprintf(name, sizeof(name), "node %d", i);
        if (!n || strcmp(n->name, name) != 0 || n->value != i * INT64_C(1700000000000)) {
            return false;
        }
    }
    return n == NULL;
}

static void save(const char *path, int count)
{
    struct err err = {0};
    struct arena *a = arena_new_image();

    cr_assert_not_null(a);
    cr_assert_eq(arena_image_save(a, build(a, count), tag, path, &err), 0, "%s", err.msg);
    arena_free(a);
}

Test(base_arena, an_image_comes_back_and_grows)
{
    enum { COUNT = 50000 };
    char *dir = temp_new();
    struct arena *a = NULL;
    void *root = NULL;
    struct err err = {0};

    save(below(dir, "image"), COUNT);
    cr_assert_eq(arena_image_load(below(dir, "image"), tag, &a, &root, &err), 0, "%s", err.msg);
    cr_assert(arena_is_image(a));
    cr_assert(list_is_whole(root, COUNT));
    size_t used = arena_used(a);
    cr_assert_geq(used, COUNT * sizeof(struct node));
    /* What is added afterwards is zeroed, and disturbs nothing. */
    check_objects(a);
    cr_assert(list_is_whole(root, COUNT));
    /* It is ours to write to; the file is not touched. */
    ((struct node *)root)->value = 5;
    arena_free(a);
    cr_assert_eq(arena_image_load(below(dir, "image"), tag, &a, &root, &err), 0);
    cr_assert(list_is_whole(root, COUNT));
    /* A loaded and grown image can be saved again. */
    struct node *more = build(a, 10);
    cr_assert_eq(arena_image_save(a, more, tag, below(dir, "again"), &err), 0, "%s", err.msg);
    arena_free(a);
    cr_assert_eq(arena_image_load(below(dir, "again"), tag, &a, &root, &err), 0);
    cr_assert(list_is_whole(root, 10));
    arena_free(a);
    temp_done(dir);
}

Test(base_arena, a_forgotten_image_reads_the_same)
{
    static const int counts[] = {1000, 1200000}; /* the second is large enough to be given back */
    char *dir = temp_new();
    struct err err = {0};

    for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
        struct arena *a = NULL;
        void *root = NULL;
        save(below(dir, "image"), counts[k]);
        cr_assert_eq(arena_image_load(below(dir, "image"), tag, &a, &root, &err), 0, "%s", err.msg);
        cr_expect_eq(arena_used(a) > (size_t)20 << 20, k == 1);
        for (int again = 0; again < 2; again++) {
            arena_image_forget(root);
            cr_assert(list_is_whole(root, counts[k]));
        }
        check_objects(a); /* it still grows */
        cr_assert(list_is_whole(root, counts[k]));
        arena_free(a);
    }
    arena_image_forget(&err); /* harmless outside */
    temp_done(dir);
}

Test(base_arena, another_process_reads_the_image)
{
    char *dir = temp_new();
    const char *path = below(dir, "image");
    struct arena *a = NULL;
    void *root = NULL;
    int status = -1;

    pid_t pid = fork();
    if (pid == 0) {
        struct arena *own = arena_new_image();
        int rc = own ? arena_image_save(own, build(own, 1000), tag, path, NULL) : -1;
        arena_free(own);
        _exit(rc == 0 ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert_eq(arena_image_load(path, tag, &a, &root, NULL), 0);
    cr_assert(list_is_whole(root, 1000));
    arena_free(a);
    temp_done(dir);
}

Test(base_arena, what_points_outside_is_refused)
{
    static int elsewhere;
    int on_the_stack = 0;
    int *on_the_heap = xmalloc(sizeof(int));
    const void *const strays[] = {
        "a literal",   (const void *)(uintptr_t)&save,
#ifndef WF_SANITIZED /* there only files' ranges are told from numbers */
        &elsewhere,    stdout,
        &on_the_stack, on_the_heap,
#endif
    };
    (void)on_the_stack;
    char *dir = temp_new();

    for (size_t i = 0; i < ARRAY_LEN(strays); i++) {
        struct arena *a = arena_new_image();
        struct node *n = build(a, 3);
        memcpy(&n->next->name, &strays[i], sizeof(strays[i]));
        cr_assert_eq(arena_image_save(a, n, tag, below(dir, "image"), NULL), 1, "stray %zu", i);
        n->next->name = n->name;
        cr_assert_eq(arena_image_save(a, &elsewhere, tag, below(dir, "image"), NULL), 1);
        cr_assert_neq(access(below(dir, "image"), F_OK), 0, "nothing is written");
        cr_assert_eq(arena_image_save(a, n, tag, below(dir, "image"), NULL), 0);
        cr_assert_eq(unlink(below(dir, "image")), 0);
        arena_free(a);
    }
    free(on_the_heap);
    temp_done(dir);
}

Test(base_arena, numbers_are_no_pointers)
{
    static const uint64_t numbers[] = {1,
                                       4096,
                                       65535,
                                       1u << 20,
                                       1767582000000,
                                       1767582000000000,
                                       UINT64_MAX,
                                       0x7ff8000000000000,
                                       0x3ff0000000000000};
    char *dir = temp_new();
    struct arena *a = arena_new_image();
    void *data = arena_memdup(a, numbers, sizeof(numbers));

    cr_assert_eq(arena_image_save(a, data, tag, below(dir, "image"), NULL), 0);
    cr_assert_eq(arena_image_save(a, NULL, tag, below(dir, "image"), NULL), 0);
    arena_free(a);
    temp_done(dir);
}

static int load(const char *path, const unsigned char *with)
{
    struct arena *a = NULL;
    void *root = NULL;
    int rc = arena_image_load(path, with, &a, &root, NULL);

    arena_free(a);
    return rc;
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    unsigned char c;

    cr_assert_eq(pread(fd, &c, 1, at), 1);
    c ^= 1;
    cr_assert_eq(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

Test(base_arena, a_damaged_or_foreign_image_is_not_loaded)
{
    /* The magic, the version, the tag, the base, the size, the root, the digest, the first and a later byte. */
    static const off_t places[] = {0, 8, 16, 48, 56, 64, 72, 4096, 5003};
    static const unsigned char other[32] = "another build";
    char *dir = temp_new();
    const char *path = below(dir, "image");
    struct stat st;

    cr_assert_eq(load(path, tag), 1, "absent");
    save(path, 100);
    cr_assert_eq(load(path, tag), 0);
    cr_assert_eq(load(path, other), 1);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        flip(path, places[i]);
        cr_assert_eq(load(path, tag), 1, "byte %ld", (long)places[i]);
        flip(path, places[i]);
        cr_assert_eq(load(path, tag), 0);
    }
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(truncate(path, st.st_size - 1), 0);
    cr_assert_eq(load(path, tag), 1, "cut off");
    cr_assert_eq(truncate(path, 10), 0);
    cr_assert_eq(load(path, tag), 1);
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert_eq(load(path, tag), 1);
    cr_assert_eq(load(dir, tag), 1, "a folder");
    temp_done(dir);
}

Test(base_arena, a_taken_range_is_no_image)
{
    char *dir = temp_new();
    struct arena *taken;

    save(below(dir, "image"), 3);
    taken = arena_new_image();
    cr_assert_not_null(taken);
    cr_assert_eq(load(below(dir, "image"), tag), 1);
    arena_free(taken);
    temp_done(dir);
}

Test(base_arena, a_plain_arena_is_not_saved)
{
    struct arena *a = arena_new();

    cr_assert_eq(arena_image_save(a, NULL, tag, "/nonexistent/image", NULL), 1);
    arena_free(a);
}

Test(base_arena, a_folder_that_is_not_there_is_an_error)
{
    struct err err = {0};
    struct arena *a = arena_new_image();

    cr_assert_eq(arena_image_save(a, NULL, tag, "/nonexistent/image", &err), -ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.msg, "/nonexistent/image"));
    arena_free(a);
}
