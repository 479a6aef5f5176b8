/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs published into the workflow's folder. */
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "room.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLOW                                                                                       \
    "steps:\n"                                                                                     \
    "  s:\n"                                                                                       \
    "    run: |\n"                                                                                 \
    "      echo file > ${{ outputs.f }}; chmod +x ${{ outputs.f }}\n"                              \
    "      mkdir -p ${{ outputs.d }}/sub; echo in > ${{ outputs.d }}/sub/x\n"                      \
    "    outputs: {f: f, d: d}\n"                                                                  \
    "    publish: {f: out/file, d: out/dir}\n"

static int publish(struct room *r)
{
    struct instance_ref i = room_instance(r, "s");
    struct str changed = {0};
    int rc = step_publish(&r->world, &i, r->result, NULL, &changed, &r->err);
    cr_assert_eq(changed.len, 0, "nobody knows what was there");
    return rc;
}

Test(steps_publish, what_somebody_changed_is_named)
{
    struct room r;
    CLEANUP(sb_done) struct str changed = {0};
    room_open(&r, FLOW);
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    struct instance_ref i = room_instance(&r, "s");
    cr_assert_eq(publish(&r), 0, "%s", r.err.msg);
    cr_assert_eq(step_publish(&r.world, &i, r.result, r.result, &changed, &r.err), 0);
    cr_assert_str_eq(sb_text(&changed), "");
    room_write(&r, "out/file", "mine");
    room_write(&r, "out/dir/sub/y", "mine");
    cr_assert_eq(step_publish(&r.world, &i, r.result, r.result, &changed, &r.err), 0);
    cr_assert_str_eq(sb_text(&changed), "out/file, out/dir");
    room_close(&r);
}

Test(steps_publish, files_and_folders_are_replaced_whole)
{
    struct room r;
    struct stat before, after;
    room_open(&r, FLOW);
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    room_write(&r, "out/dir/old", "old");
    room_write(&r, "out/file", "old");
    cr_assert_eq(publish(&r), 0, "%s", r.err.msg);
    cr_assert(room_reads(&r, room_path(&r, "out/file"), "file\n"));
    cr_assert_eq(access(room_path(&r, "out/file"), X_OK), 0);
    cr_assert(room_reads(&r, room_path(&r, "out/dir/sub/x"), "in\n"));
    cr_assert_neq(access(room_path(&r, "out/dir/old"), F_OK), 0, "nothing of the old is left");
    stat(room_path(&r, "out/file"), &before);
    cr_assert_eq(publish(&r), 0, "%s", r.err.msg);
    stat(room_path(&r, "out/file"), &after);
    cr_assert_eq(before.st_ino, after.st_ino, "equal content is not touched");
    cr_assert_eq(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    room_write(&r, "out/file", "edited");
    cr_assert_eq(publish(&r), 0, "%s", r.err.msg);
    cr_assert(room_reads(&r, room_path(&r, "out/file"), "file\n"));
    room_close(&r);
}

Test(steps_publish, a_link_out_of_the_folder_is_refused)
{
    struct room r;
    room_open(&r, FLOW);
    cr_assert_eq(room_run(&r, "s"), ATTEMPT_SUCCEEDED, "%s", r.error);
    cr_assert_eq(symlink("/tmp", room_path(&r, "out")), 0);
    cr_assert_lt(publish(&r), 0);
    cr_assert(strstr(r.err.msg, "leads out of the workflow's folder"), "%s", r.err.msg);
    room_close(&r);
}
