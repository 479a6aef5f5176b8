/* SPDX-License-Identifier: Apache-2.0 */
/* A container's surroundings: a folder per attempt, mounted in parts. /wf/out, /wf/values and /workspace are the step's; /wf/in, /wf/script, /wf/inputs.json and all inputs are read-only. */
#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "steps/asker.h"
#include "steps/attempt_impl.h"
#include "steps/container.h"
#include "steps/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More inputs than this are copied into a container's workspace instead of being mounted one by one. */
#define MOST_MOUNTS 64

static int write_box_file(struct attempt *a, const char *name, const struct str *text, mode_t mode,
                          const char *inner, bool writable, struct err *err)
{
    const char *path = arena_printf(a->arena, "%s/%s", a->box, name);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || fchmod(fd, mode) != 0) {
        return err_set(err, ERR_IO, errno, "cannot write '%s'", path);
    }
    *vec_push(&a->mounts) = (struct mount){path, inner, writable};
    return fs_write_all(fd, sb_text(text), text->len, err);
}

static int make_box(struct attempt *a, struct err *err)
{
    static const char *const dirs[] = {"out", "workspace", "in"};

    a->box = slots_new_name(a->slots, 'c', a->arena);
    int rc = fs_mkdirs(a->box, 0755, err);
    for (size_t k = 0; k < ARRAY_LEN(dirs) && rc == 0; k++) {
        const char *path = arena_printf(a->arena, "%s/%s", a->box, dirs[k]);
        /* The image's user need not be ours; the store around it is private. */
        mode_t mode = k < 2 ? 0777 : 0755;
        if (mkdir(path, mode) != 0 || chmod(path, mode) != 0) {
            rc = err_set(err, ERR_IO, errno, "cannot make '%s'", path);
        }
    }
    return rc;
}

static int copy_below(const char *path, const char *rel, const struct stat *st, void *arg,
                      struct err *err)
{
    CLEANUP(cleanup_free) char *to = xasprintf("%s/%s", (const char *)arg, rel);
    enum fs_copied how;
    char link[4096];

    if (S_ISDIR(st->st_mode)) {
        return fs_mkdirs(to, 0755, err);
    }
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        return n > 0 && symlink(link, to) == 0
                   ? 0
                   : err_set(err, ERR_IO, errno, "cannot copy '%s'", path);
    }
    return S_ISREG(st->st_mode)
               ? fs_copy_file(path, to, st->st_mode & 0111 ? 0755 : 0644, &how, err)
               : 0;
}

/* A mount needs something to lie upon; many inputs are copied instead. */
static int put_input(struct attempt *a, const struct seen_input *in, bool copy, struct err *err)
{
    const char *to = arena_printf(a->arena, "%s/workspace/%s", a->box, in->rel);
    CLEANUP(cleanup_free) char *dir = fs_dirname(to);
    struct stat st;
    int rc = fs_mkdirs(dir, 0777, err);

    if (rc != 0) {
        return rc;
    }
    if (lstat(to, &st) == 0 && !S_ISDIR(st.st_mode)) {
        return 0; /* twice, or within a folder that is there */
    }
    if (copy) {
        enum fs_copied how;
        if (in->kind == 'f') {
            return fs_copy_file(in->path, to, in->exec ? 0755 : 0644, &how, err);
        }
        rc = fs_mkdirs(to, 0755, err);
        return rc == 0 ? fs_walk(in->path, copy_below, (void *)(uintptr_t)to, err) : rc;
    }
    if (in->kind == 'd') {
        rc = fs_mkdirs(to, 0755, err);
    } else {
        int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            return err_set(err, ERR_IO, errno, "cannot write '%s'", to);
        }
        close(fd);
    }
    const char *inner =
        strcmp(in->rel, ".") == 0 ? "/workspace" : arena_printf(a->arena, "/workspace/%s", in->rel);
    *vec_push(&a->mounts) = (struct mount){in->path, inner, false};
    return rc;
}

/* Is the input below a folder that is an input too? Then it is there already, and read-only. */
static bool covered(const struct attempt *a, const struct seen_input *in)
{
    for (uint32_t n = 0; n < a->q->n_inputs; n++) {
        const struct seen_input *o = &a->q->inputs[n];
        size_t len = o->rel && o != in && o->kind == 'd' ? strlen(o->rel) : 0;
        if (len > 0 && (strcmp(o->rel, ".") == 0 ||
                        (strncmp(in->rel, o->rel, len) == 0 &&
                         (in->rel[len] == '/' || (in->rel[len] == '\0' && o < in))))) {
            return true;
        }
    }
    return false;
}

static int mount_inputs(struct attempt *a, struct err *err)
{
    uint32_t count = a->q->n_inputs, folders = 0;
    int rc = 0;

    for (uint32_t n = 0; n < count; n++) {
        folders += a->q->inputs[n].kind == 'd';
    }
    for (uint32_t n = 0; n < count && rc == 0; n++) {
        const struct seen_input *in = &a->q->inputs[n];
        if (!in->path || in->kind == 'a' || in->input == NONE) {
            continue;
        }
        if (!in->rel) {
            const char *inner = arena_printf(a->arena, "/inputs/%s", in->name ? in->name : "");
            *vec_push(&a->mounts) = (struct mount){in->path, inner, false};
        } else if (folders == 0 || !covered(a, in)) {
            rc = put_input(a, in, count > MOST_MOUNTS, err);
        }
    }
    return rc;
}

static int box_command(struct attempt *a, struct err *err)
{
    struct str text = {0};
    int rc = 0;

    if (a->step->run) {
        rc = script_text(a, &text, err);
        rc = rc == 0 ? write_box_file(a, "script", &text, 0755, "/wf/script", false, err) : rc;
        a->job.argv = step_shell(a->step, "/wf/script", a->arena);
    } else if (a->step->n_command > 0) {
        rc = build_command(a, err);
    }
    sb_done(&text);
    return rc;
}

int surroundings_container(struct attempt *a, struct err *err)
{
    const struct image *image = NULL;
    struct str text = {0};
    int rc = make_box(a, err);

    a->scope.out_dir = "/wf/out";
    if (rc != 0) {
        return rc;
    }
    a->out_dir = arena_printf(a->arena, "%s/out", a->box);
    a->values_path = arena_printf(a->arena, "%s/values", a->box);
    *vec_push(&a->mounts) = (struct mount){a->out_dir, "/wf/out", true};
    *vec_push(&a->mounts) =
        (struct mount){arena_printf(a->arena, "%s/workspace", a->box), "/workspace", true};
    common_job(a);
    rc = image_find(a->k, &a->scope, &image, err);
    if (rc > 0) {
        rc = err_set(err, ERR_INTERNAL, 0, "its image was not looked up");
    }
    rc = rc == 0 ? make_parents(a, err) : rc;
    rc = rc == 0 ? place_inputs(a, err) : rc;
    rc = rc == 0 ? mount_inputs(a, err) : rc;
    rc = rc == 0 ? place_from(a, err) : rc;
    rc = rc == 0 ? box_command(a, err) : rc;
    rc = rc == 0 ? write_box_file(a, "values", &text, 0666, "/wf/values", true, err) : rc;
    rc = rc == 0 ? build_env(a, "/wf/inputs.json", "/wf/values", err) : rc;
    if (rc == 0) {
        write_inputs(a, &text);
        rc = write_box_file(a, "inputs.json", &text, 0644, "/wf/inputs.json", false, err);
    }
    const char *workdir = NULL;
    if (rc == 0 && a->step->workdir) {
        rc = scope_text(&a->scope, a->step->workdir, &workdir, err);
    }
    if (rc == 0) {
        a->job.workdir = !workdir            ? "/workspace"
                         : workdir[0] == '/' ? workdir
                                             : arena_printf(a->arena, "/workspace/%s", workdir);
        a->job.image = image->id;
    }
    sb_done(&text);
    return rc;
}
