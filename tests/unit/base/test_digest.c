/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "tests/unit/base/temp.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* FIPS 180-4, examples. */
static const char empty_hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

Test(base_digest, known_answers)
{
    struct digest d;
    char hex[DIGEST_HEX + 1];

    digest_of(NULL, 0, &d);
    digest_hex(&d, hex);
    cr_assert_str_eq(hex, empty_hex);
    digest_of("abc", 3, &d);
    digest_hex(&d, hex);
    cr_assert_str_eq(hex, abc_hex);
}

Test(base_digest, a_context_can_be_used_again_and_pieces_join)
{
    struct digest_ctx *c = digest_new();
    struct digest whole, pieces;

    digest_of("abc", 3, &whole);
    for (int i = 0; i < 3; i++) {
        digest_begin(c);
        digest_add(c, "a", 1);
        digest_add(c, "", 0);
        digest_add(c, "bc", 2);
        digest_end(c, &pieces);
        cr_assert(digest_eq(&whole, &pieces));
    }
    digest_free(c);
    digest_free(NULL);
}

Test(base_digest, files_of_every_kind_of_size)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 262144, 700001};
    char *dir = temp_new();
    CLEANUP(sb_done) struct str data = {0};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct digest want, got;
        uint64_t size = 99;
        while (data.len < sizes[i]) {
            sb_putc(&data, (char)(data.len * 31));
        }
        cr_assert_eq(fs_write_file(below(dir, "f"), sb_text(&data), data.len, 0644, false, NULL),
                     0);
        int fd = open(below(dir, "f"), O_RDONLY);
        lseek(fd, 5, SEEK_SET);
        cr_assert_eq(digest_fd(fd, &got, &size, NULL), 0);
        cr_assert_eq(lseek(fd, 0, SEEK_CUR), 5, "the descriptor's own place is left alone");
        close(fd);
        digest_of(sb_text(&data), data.len, &want);
        cr_assert_eq(size, sizes[i]);
        cr_assert(digest_eq(&want, &got));
    }
    temp_done(dir);
}

Test(base_digest, a_folder_cannot_be_hashed)
{
    struct digest d;
    struct err err = {0};
    int fd = open("/", O_RDONLY | O_DIRECTORY);

    cr_assert_eq(digest_fd(fd, &d, NULL, &err), -ERR_IO);
    close(fd);
}

Test(base_digest, hex_is_read_strictly)
{
    struct digest d, e;
    char upper[] = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";

    cr_assert(digest_parse(abc_hex, DIGEST_HEX, &d));
    cr_assert(digest_parse(upper, DIGEST_HEX, &e));
    cr_assert(digest_eq(&d, &e));
    cr_assert(!digest_parse(abc_hex, DIGEST_HEX - 1, &d));
    cr_assert(!digest_parse(abc_hex, DIGEST_HEX + 1, &d));
    upper[63] = 'G';
    cr_assert(!digest_parse(upper, DIGEST_HEX, &e));
    cr_assert(digest_eq(&d, &e), "written only on success");
    cr_assert(!digest_is_zero(&d));
    cr_assert(digest_is_zero(&(struct digest){0}));
}

static void *hash_in_thread(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        digest_of("abc", 3, arg);
    }
    return NULL;
}

Test(base_digest, every_thread_has_its_own_context)
{
    pthread_t threads[4];
    struct digest got[4], want;

    for (int i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, hash_in_thread, &got[i]), 0);
    }
    digest_of("abc", 3, &want);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(digest_eq(&got[i], &want));
    }
}
