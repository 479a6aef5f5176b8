/* SPDX-License-Identifier: Apache-2.0 */
/* wf doctor: what this machine offers and lacks, with the mend. */
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/remote.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/out.h"
#include "cli/setup.h"
#include "cli/shared.h"
#include "serve/gateway_mhd.h"
#include "serve/proxy.h"
#include "steps/container.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum finding_kind { FINDING_GOOD, FINDING_NOTE, FINDING_BAD };
struct report {
    struct jsonw *json;
    struct str *out;
    bool colour;
    int bad;
};

static void find(struct report *r, enum finding_kind kind, const char *what, const char *text)
{
    static const char *const words[] = {"ok", "note", "missing"};
    static const enum tone tones[] = {TONE_GOOD, TONE_WARN, TONE_BAD};
    r->bad += kind == FINDING_BAD;
    if (r->json) {
        jw_object(r->json);
        jw_kv_text(r->json, "what", what);
        jw_kv_text(r->json, "state", words[kind]);
        jw_kv_text(r->json, "text", text);
        jw_end_object(r->json);
        return;
    }
    sb_printf(r->out, "%s%-8s%s %-11s %s\n", tone_on(r->colour, tones[kind]), words[kind],
              tone_off(r->colour), what, text);
}

static void check_config(const struct cli *c, struct report *r, struct config *ret)
{
    CLEANUP(sb_done) struct str problem = {0};
    struct config f;
    if (config_read(c->config_file, &f, false, &problem) < 0) {
        CLEANUP(cleanup_free) char *text = sb_take(&problem);
        text[strcspn(text, "\n")] = '\0'; /* the first of what is wrong */
        find(r, FINDING_BAD, "config", text);
        return;
    }
    find(r, FINDING_GOOD, "config", f.file ? f.file : "no config.yaml: the defaults hold");
    *ret = f;
}

static void check_shared(const struct config *f, struct report *r, struct loop *l,
                         struct store *store)
{
    CLEANUP(sb_done) struct str text = {0};
    struct err err = {0};
    struct shared_choice choice;
    struct remote *remote = NULL;
    shared_choose(NULL, f, &choice);
    if (!choice.url) {
        return;
    }
    struct remote_options o = {.url = choice.url,
                               .token = choice.token,
                               .read_only = choice.read_only,
                               .store = store,
                               .loop = l};
    bool good = remote_open(&o, &remote, &err) >= 0 && remote_probe(remote, &text, &err) >= 0;
    find(r, good ? FINDING_GOOD : FINDING_BAD, "cache", good ? sb_text(&text) : err.msg);
    remote_close(remote);
}

static void check_store(struct cli *c, struct report *r, struct loop *l, struct store **ret)
{
    struct err err = {0};
    struct store_options o = {.dir = c->store_dir, .loop = l};
    if (store_open(&o, ret, &err) < 0) {
        find(r, FINDING_BAD, "store", err.msg);
        return;
    }
    struct statvfs fs;
    struct str s = {0};
    sb_puts(&s, store_dir(*ret));
    if (statvfs(store_dir(*ret), &fs) == 0) {
        uint64_t avail = (uint64_t)fs.f_bavail * fs.f_frsize;
        sb_puts(&s, ", ");
        add_size(&s, avail);
        sb_puts(&s, " free");
        find(r, avail < (1u << 30) ? FINDING_NOTE : FINDING_GOOD, "store", sb_text(&s));
    } else {
        find(r, FINDING_GOOD, "store", sb_text(&s));
    }
    sb_done(&s);
}

/* An engine's problem ends by pointing here. */
static void find_problem(struct report *r, enum finding_kind kind, const char *problem)
{
    const char *pointer = strstr(problem, "; `wf doctor`");
    CLEANUP(cleanup_free) char *text = xstrdup(problem);
    if (pointer) {
        text[pointer - problem] = '\0';
    }
    find(r, kind, "containers", text);
}

static void check_engine(struct report *r, struct loop *l, struct store *store)
{
    struct executor *x = NULL;
    struct err err = {0};
    struct container_options o = {0};
    if (container_executor_open(l, store, &o, &x, &err) < 0) {
        find_problem(r, FINDING_BAD, err.msg);
        return;
    }
    struct engine_facts f = {0};
    container_facts(x, &f);
    struct str s = {0};
    if (!f.found) {
        find_problem(r, FINDING_BAD, f.problem);
    } else {
        sb_printf(&s, "%s %s at %s%s%s", f.name, f.version, f.socket,
                  f.started_by_us ? " (started by wf, ends with it)" : "",
                  f.rootless ? ", rootless" : "");
        find(r, FINDING_GOOD, "containers", sb_text(&s));
        if (!f.memory_limit) {
            find(r, FINDING_NOTE, "limits",
                 "this engine ignores memory and cpu limits here (rootless on cgroup v1): run as "
                 "root or on cgroup v2");
        }
        if (*f.problem) {
            find_problem(r, FINDING_NOTE, f.problem);
        }
    }
    sb_done(&s);
    x->ops->close(x);
}

/* A note, not a fault: only workflows that serve need it. */
static void check_serving(struct report *r)
{
    char *version = NULL, *program = proxy_find(&version);
    const struct mhd_api *ignored;
    struct err err = {0};

    if (!program) {
        find(r, FINDING_NOTE, "serving",
             "HAProxy is not installed, which serve steps need: apt install haproxy");
    } else if (mhd_api_open(&ignored, &err) < 0) {
        find(r, FINDING_NOTE, "serving", err.msg);
    } else {
        CLEANUP(cleanup_free)
        char *text =
            xasprintf("HAProxy %s at %s", version ? version : "(unknown version)", program);
        find(r, FINDING_GOOD, "serving", text);
    }
    free(program);
    free(version);
}

static void check_machine(struct report *r)
{
    struct str s = {0};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    sb_printf(&s, "%ld processors, ", cpus);
    add_size(&s, (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    sb_puts(&s, " of memory");
    find(r, FINDING_GOOD, "machine", sb_text(&s));
    sb_done(&s);
    CLEANUP(cleanup_free) char *shell = fs_find_program("sh", NULL, "/usr/local/bin:/usr/bin:/bin");
    find(r, shell ? FINDING_GOOD : FINDING_BAD, "shell",
         shell ? shell
               : "no `sh` in /usr/bin or /bin: scripts (`run:`) cannot run on this machine");
}

static int run(struct cli *c, const struct args *a)
{
    struct str out = {0};
    struct jsonw w;
    jw_init(&w, &out, true);
    bool json = opt_given(a, "json");
    struct report r = {.json = json ? &w : NULL, .out = &out, .colour = c->colour};
    struct err err = {0};
    int code = setup_check_files(c);
    if (code != EXIT_OK) {
        return code;
    }
    if (child_setup(&err) < 0) {
        return cli_fail(c, &err);
    }
    if (json) {
        jw_array(&w);
    }
    struct loop *l = loop_new();
    struct store *store = NULL;
    check_machine(&r);
    struct config config = {0};
    check_config(c, &r, &config);
    check_store(c, &r, l, &store);
    check_shared(&config, &r, l, store);
    config_done(&config);
    check_engine(&r, l, store);
    check_serving(&r);
    if (json) {
        jw_end_array(&w);
        sb_putc(&out, '\n');
    }
    out_str(&out);
    sb_done(&out);
    store_close(store);
    loop_free(l);
    return r.bad ? EXIT_SYSTEM : EXIT_OK;
}

static const struct opt opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_doctor = {.name = "doctor",
                                   .synopsis = "",
                                   .summary =
                                       "Shows what this machine offers and lacks, with the mend",
                                   .text = "Exit code 0: all there; 4: something is missing.",
                                   .example = "  wf doctor",
                                   .opts = opts,
                                   .n_opts = ARRAY_LEN(opts),
                                   .run = run};
