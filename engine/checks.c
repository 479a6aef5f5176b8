/* SPDX-License-Identifier: Apache-2.0 */
/* What can be known to fail before anything runs: resources that this machine does not have, secrets and inputs that are not there. */
#include "base/arena.h"
#include "base/db.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/statements.h"
#include "cache/store.h"
#include "engine/run_impl.h"
#include "steps/inputs.h"
#include "workflows/expr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECRET_MAX = 64 << 10 };

/* --- resources --- */

static uint32_t count_devices(const char *dir, const char *prefix)
{
    uint32_t count = 0;
    size_t len = strlen(prefix);
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d) {
        return 0;
    }
    while ((e = readdir(d)) != NULL) {
        const char *rest = e->d_name + len;
        count += strncmp(e->d_name, prefix, len) == 0 && *rest &&
                 rest[strspn(rest, "0123456789")] == '\0';
    }
    (void)closedir(d);
    return count;
}

static uint32_t count_gpus(void)
{
    uint32_t count = count_devices("/dev", "nvidia");

    return count > 0 ? count : count_devices("/dev/dri", "renderD");
}

static void measure_machine(struct resources *ret)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES),
         page = sysconf(_SC_PAGESIZE);

    ret->cpu_milli = (uint32_t)(cpus > 0 ? cpus : 1) * 1000;
    ret->memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
}

static int check_resources(struct run *r, const struct step *m, struct err *err)
{
    const struct resources *want = &m->resources, *have = &r->machine;
    CLEANUP(sb_done) struct str asks = {0};

    if (want->cpu_milli > have->cpu_milli) {
        sb_printf(&asks, "%g processors; this machine has %g", want->cpu_milli / 1000.0,
                  have->cpu_milli / 1000.0);
    } else if (want->memory > have->memory) {
        add_size(&asks, want->memory);
        sb_puts(&asks, " of memory; this machine has ");
        add_size(&asks, have->memory);
    } else if (want->gpu > have->gpu) {
        sb_printf(&asks, "%u GPUs; this machine has %u", want->gpu, have->gpu);
    } else {
        return 0;
    }
    return err_set(err, ERR_USAGE, 0, "step '%s' asks for %s: lower its `resources`", m->name,
                   sb_text(&asks));
}

/* --- secrets --- */

static int read_secret(const struct run *r, const struct secret *s, char **ret, struct err *err)
{
    CLEANUP(cleanup_free) char *path = NULL;
    CLEANUP(sb_done) struct str text = {0};

    if (s->env) {
        const char *value = getenv(s->env);
        if (!value) {
            return err_set(err, ERR_USAGE, 0,
                           "secret '%s' is read from the environment variable %s, which is not set",
                           s->name, s->env);
        }
        *ret = xstrdup(value);
        return 0;
    }
    path = fs_join(r->wf->dir, s->file ? s->file : "");
    int rc = fs_read_file(path, SECRET_MAX, &text, err);
    if (rc < 0) {
        return err_wrap(err, "secret '%s'", s->name);
    }
    while (text.len > 0 && strchr("\r\n", sb_text(&text)[text.len - 1])) {
        sb_truncate(&text, text.len - 1);
    }
    *ret = sb_take(&text);
    return 0;
}

static int check_secrets(struct run *r, const struct step *m, struct err *err)
{
    for (uint32_t k = 0; k < m->n_secrets; k++) {
        uint32_t s = m->secrets[k].secret;
        int rc = r->secrets[s] ? 0 : read_secret(r, &r->wf->secrets[s], &r->secrets[s], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* --- inputs --- */

static int check_path(const struct instance_ref *i, int dir, const char *path, struct err *err)
{
    struct stat st;

    if (fstatat(dir, path, &st, 0) == 0) {
        return 0;
    }
    return err_set(err, ERR_USAGE, 0,
                   "step '%s' reads %s, which is not there: make it, or write {path: %s, optional: "
                   "true} if the step can do without%s",
                   i->name, path, path,
                   path[0] == '/' ? "" : " (paths start at the workflow's folder)");
}

static int check_glob(struct run *r, const struct instance_ref *i, const char *pattern,
                      struct err *err)
{
    struct arena *a = arena_new();
    struct paths found = {0};
    int rc = glob_expand(r->wf->dir, pattern, a, &found, err);

    if (rc == 0 && found.v.len == 0) {
        rc = err_set(err, ERR_USAGE, 0,
                     "step '%s' reads %s, which matches no file: make one, or write {path: '%s', "
                     "optional: true} if the step can do without",
                     i->name, pattern, pattern);
    }
    vec_done(&found.v);
    arena_free(a);
    return rc;
}

static int check_place(struct run *r, const struct instance_ref *i, int dir, const char *path,
                       struct err *err)
{
    return glob_is_pattern(path) ? check_glob(r, i, path, err) : check_path(i, dir, path, err);
}

/* What depends on other steps is looked at when the step becomes ready. */
static int check_input(struct run *r, const struct instance_ref *i, const struct input *in, int dir,
                       struct err *err)
{
    const uint32_t early = USES_PARAMS | USES_MATRIX;
    struct scope scope = {.arena = r->results,
                          .wf = r->wf,
                          .step = &r->wf->steps[i->step],
                          .params = r->params,
                          .row = &r->wf->steps[i->step].rows[i->row]};
    CLEANUP(sb_done) struct str path = {0};

    if (in->optional || (in->path->uses & ~early) != 0) {
        return 0;
    }
    if (text_is_constant(in->path)) {
        return check_place(r, i, dir, in->path->source, err);
    }
    int rc = text_eval_string(in->path, &scope, &path, err);
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    return check_place(r, i, dir, sb_text(&path), err);
}

static bool to_check(const struct run *r, uint32_t i, bool late)
{
    bool ran_before = prior_id(r->decider.prior, i) != 0;

    if (r->inside && !r->inside[i]) {
        return false;
    }
    return late ? ran_before && r->instances[i].phase <= PHASE_READY : !ran_before;
}

static int check_inputs(struct run *r, uint32_t step, int dir, bool late, struct err *err)
{
    const struct step *m = &r->wf->steps[step];

    for (uint32_t k = 0; k < m->n_inputs; k++) {
        bool constant = text_is_constant(m->inputs[k].path);
        for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
            if (!to_check(r, i, late)) {
                continue;
            }
            int rc = check_input(r, &r->plan->instances[i], &m->inputs[k], dir, err);
            if (rc < 0) {
                return rc;
            }
            if (constant) {
                break; /* the same for all branches */
            }
        }
    }
    return 0;
}

/* What ran before is most likely reused, and then looks at its inputs anyway: these are looked at before the first attempt, if there is one. */
int checks_late(struct run *r, struct err *err)
{
    CLEANUP(cleanup_close) int dir = open(r->wf->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    for (uint32_t s = 0; s < r->wf->n_steps && rc == 0 && dir >= 0; s++) {
        rc = check_inputs(r, s, dir, true, err);
        passed_step(r, s);
    }
    return rc;
}

bool checks_missing(struct run *r, uint32_t instance)
{
    CLEANUP(cleanup_close) int dir = open(r->wf->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct step *m = step_of(r, instance);

    for (uint32_t k = 0; k < m->n_inputs && dir >= 0; k++) {
        if (check_input(r, &r->plan->instances[instance], &m->inputs[k], dir, NULL) < 0) {
            return true;
        }
    }
    return false;
}

/* Another checkout, or a copy: one workflow all the same. */
static bool same_text(const struct run *r, const char *file)
{
    CLEANUP(sb_done) struct str text = {0};

    return fs_read_file(file, r->o.text_len, &text, NULL) == 0 && text.len == r->o.text_len &&
           memcmp(sb_text(&text), r->o.text, text.len) == 0;
}

void checks_name(struct run *r)
{
    CLEANUP(cleanup_free) char *file = fs_join(r->wf->dir, fs_basename(r->wf->file));
    CLEANUP(db_row_done) struct db_row *row = NULL;
    struct db *db = store_db(r->o.store);

    if (!db || db_query(db, SQL_RUN_NEWEST_FILE, &row, NULL, "tt", r->wf->name, r->id) < 0 ||
        db_step(row, NULL) != 1) {
        return;
    }
    const char *other = db_text(row, 0);
    if (other && other[0] == '/' && strcmp(other, file) != 0 && access(other, F_OK) == 0 &&
        !same_text(r, other)) {
        CLEANUP(cleanup_free)
        char *text = xasprintf("the workflow '%s' was last run from %s: two files with one name "
                               "share one history; give one of them another `name:`",
                               r->wf->name, other);
        emit_warning(r, NONE, text);
    }
}

static bool is_inside(const struct run *r, uint32_t step)
{
    for (uint32_t i = r->plan->first[step]; i < r->plan->first[step + 1]; i++) {
        if (!r->inside || r->inside[i]) {
            return true;
        }
    }
    return false;
}

int checks_before(struct run *r, struct err *err)
{
    CLEANUP(cleanup_close) int dir = open(r->wf->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool gpus = false;
    int rc = 0;

    if (dir < 0) {
        return err_set(err, ERR_IO, errno, "cannot enter %s", r->wf->dir);
    }
    measure_machine(&r->machine);
    for (uint32_t s = 0; s < r->wf->n_steps && rc == 0; s++) {
        const struct step *m = &r->wf->steps[s];
        passed_step(r, s);
        if (!is_inside(r, s)) {
            continue;
        }
        if (m->resources.gpu > 0 && !gpus) { /* nobody else needs to know how many there are */
            r->machine.gpu = count_gpus();
            gpus = true;
        }
        rc = check_resources(r, m, err);
        rc = rc < 0 ? rc : check_secrets(r, m, err);
        rc = rc < 0 ? rc : check_inputs(r, s, dir, false, err);
    }
    return rc;
}
