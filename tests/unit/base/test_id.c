/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"
#include "base/units.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

Test(base_id, ids_ascend_within_the_process)
{
    char last[ID_LEN + 1] = "", id[ID_LEN + 1];

    for (int i = 0; i < 20000; i++) {
        id_new(id);
        cr_assert_eq(strlen(id), ID_LEN);
        cr_assert_eq(strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), ID_LEN);
        cr_assert(id[0] >= '0' && id[0] <= '7');
        cr_assert_gt(strcmp(id, last), 0);
        memcpy(last, id, sizeof(id));
    }
}

Test(base_id, the_time_can_be_read_back)
{
    char id[ID_LEN + 1];
    int64_t before = now_ms();

    id_new(id);
    cr_assert_geq(id_time_ms(id), before);
    cr_assert_leq(id_time_ms(id), now_ms());
    /* The specification's own example. */
    cr_assert_eq(id_time_ms("01ARZ3NDEKTSV4RRFFQ69G5FAV"), 1469922850259);
    cr_assert_eq(id_time_ms("01arz3ndektsv4rrffq69g5fav"), 1469922850259);
    cr_assert_eq(id_time_ms("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), (INT64_C(1) << 48) - 1);
}

Test(base_id, other_words_are_no_ids)
{
    cr_assert_eq(id_time_ms(""), -1);
    cr_assert_eq(id_time_ms("train"), -1);
    cr_assert_eq(id_time_ms("01ARZ3NDEKTSV4RRFFQ69G5FA"), -1);
    cr_assert_eq(id_time_ms("01ARZ3NDEKTSV4RRFFQ69G5FAVV"), -1);
    cr_assert_eq(id_time_ms("01ARZ3NDEKTSV4RRFFQ69G5FAU"), -1);
    cr_assert_eq(id_time_ms("81ARZ3NDEKTSV4RRFFQ69G5FAV"), -1);
    cr_assert_eq(id_time_ms("A1ARZ3NDEKTSV4RRFFQ69G5FAV"), -1);
}

Test(base_id, a_forked_child_makes_other_ids)
{
    char first[ID_LEN + 1], mine[ID_LEN + 1], theirs[ID_LEN + 1] = "";
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    id_new(first);
    pid_t pid = fork();
    if (pid == 0) {
        id_new(theirs);
        ssize_t n = write(ends[1], theirs, sizeof(theirs));
        _exit(n == (ssize_t)sizeof(theirs) ? 0 : 1);
    }
    id_new(mine);
    cr_assert_eq(read(ends[0], theirs, sizeof(theirs)), (ssize_t)sizeof(theirs));
    waitpid(pid, NULL, 0);
    cr_assert_str_neq(mine, theirs);
    cr_assert_neq(strncmp(first + 10, theirs + 10, 12), 0, "the random parts differ early");
    close(ends[0]);
    close(ends[1]);
}

Test(base_id, the_boot_id_is_stable)
{
    char a[40], b[40];

    boot_id(a);
    boot_id(b);
    cr_assert_str_eq(a, b);
    cr_assert_null(strchr(a, '\n'));
    cr_assert(a[0] == '\0' || strlen(a) == 36);
}
