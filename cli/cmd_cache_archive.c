/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache export | import */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"
#include "cache/archive.h"
#include "cache/pick.h"
#include "cache/store.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/named.h"
#include "cli/out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct telling {
    const struct cli *cli;
    int64_t last_us;
};

static bool tell(uint64_t entries, uint64_t bytes, void *arg)
{
    struct telling *t = arg;
    int64_t now = mono_us();

    if (t->cli->err_tty && now - t->last_us > 100000) {
        CLEANUP(sb_done) struct str s = {0};
        add_size(&s, bytes);
        fprintf(stderr, "\r%" PRIu64 " entries, %s\x1b[K", entries, sb_text(&s));
        fflush(stderr);
        t->last_us = now;
    }
    return !interrupt_code();
}

static void add_count(struct str *out, uint64_t n, const char *what)
{
    if (n > 0) {
        sb_printf(out, "; %" PRIu64 " %s", n, what);
    }
}

static void add_text(const struct archive_report *r, bool import, const char *file, struct str *out)
{
    sb_printf(out, "%s %" PRIu64 " %s, %" PRIu64 " objects (", import ? "imported" : "exported",
              r->entries, r->entries == 1 ? "entry" : "entries", r->objects);
    add_size(out, r->bytes);
    sb_printf(out, ") %s %s", import ? "from" : "to", file);
    add_count(out, r->known, "there already");
    add_count(out, r->bound, "left out: they hold for this machine only");
    add_count(out, r->broken, "left out: their objects are missing or damaged");
    add_count(out, r->gone, "gone already");
    sb_putc(out, '\n');
}

static void add_json(const struct archive_report *r, bool import, struct str *out)
{
    struct jsonw w;

    jw_init(&w, out, true);
    jw_object(&w);
    jw_kv_i64(&w, "entries", (int64_t)r->entries);
    jw_kv_i64(&w, "objects", (int64_t)r->objects);
    jw_kv_i64(&w, "bytes", (int64_t)r->bytes);
    if (import) {
        jw_kv_i64(&w, "entries_known", (int64_t)r->known);
        jw_kv_i64(&w, "objects_known", (int64_t)r->known_objects);
    } else {
        jw_kv_i64(&w, "entries_of_this_machine", (int64_t)r->bound);
        jw_kv_i64(&w, "entries_gone", (int64_t)r->gone);
    }
    jw_kv_i64(&w, "entries_broken", (int64_t)r->broken);
    jw_end_object(&w);
    sb_putc(out, '\n');
}

/* What is told where stdout is the archive itself goes to stderr. */
static int report(const struct cli *c, const struct args *a, const struct archive_report *r,
                  bool import, const char *file)
{
    CLEANUP(sb_done) struct str out = {0};

    if (c->err_tty) {
        fputs("\r\x1b[K", stderr);
    }
    if (opt_given(a, "json")) {
        add_json(r, import, &out);
    } else {
        add_text(r, import, file, &out);
    }
    if (!import && text_eq(file, "-")) {
        fputs(sb_text(&out), stderr);
    } else {
        out_str(&out);
    }
    return EXIT_OK;
}

static int failed(const struct cli *c, const struct err *err)
{
    if (c->err_tty) {
        fputs("\r\x1b[K", stderr);
    }
    int code = err->code == ERR_CANCELLED ? interrupt_code() : 0;
    (void)cli_fail(c, err);
    return code ? code : EXIT_SYSTEM;
}

/* --- export --- */

/* What an archive without entries means, and what to do: by itself it looks like a success. */
static void warn_of_nothing(const struct cli *c, const struct args *a,
                            const struct archive_report *r, const char *file)
{
    const char *subject = opt_given(a, "workflow") ? "the workflow" : "the run";
    bool out = text_eq(file, "-");

    if (r->entries > 0) {
        return;
    }
    fprintf(stderr, "%swarning%s: %s is empty: ", tone_on(c->colour, TONE_WARN),
            tone_off(c->colour), out ? "the archive" : file);
    if (r->broken > 0) {
        fprintf(stderr,
                "objects of what %s made are missing or damaged; `wf cache verify` names them\n",
                subject);
    } else if (r->bound > 0) {
        fprintf(stderr,
                "what %s made holds for this machine only (policy time or change); carry the "
                "store's folder over instead\n",
                subject);
    } else if (r->gone > 0) {
        fprintf(stderr, "what %s made was removed from the store; run the workflow again\n",
                subject);
    } else {
        fprintf(stderr,
                "%s used or made no result that is kept; name another run with --run (`wf runs` "
                "lists them), or all of a workflow with --workflow\n",
                subject);
    }
}

static bool add_picked(const struct picked *e, void *arg)
{
    struct named *n = arg;

    *vec_push(n) = e->id;
    return !interrupt_code();
}

static int find(const struct cli *c, const struct args *a, struct store *s, struct named *n)
{
    const char *run = opt_text(a, "run"), *workflow = opt_text(a, "workflow");
    struct pick pick = {.workflow = workflow};
    struct err err = {0};

    if (!workflow) {
        return named_add_run(c, s, run ? run : "latest", n);
    }
    if (cache_pick(s, &pick, add_picked, n, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    return n->len > 0 ? EXIT_OK
                      : cli_usage(c,
                                  "the store has no entry of a workflow '%s'; `wf cache ls` "
                                  "lists them",
                                  workflow);
}

static int export_to(struct cli *c, const struct args *a)
{
    const char *file = a->positional[0];
    bool out = text_eq(file, "-");
    struct telling t = {.cli = c};
    struct archive_options o = {.wf_version = WF_VERSION, .progress = tell, .arg = &t};
    struct store_options so = {.dir = c->store_dir, .read_only = true};
    struct archive_report r = {0};
    struct named named = {0};
    struct store *store;
    struct err err = {0};

    if (opt_given(a, "run") && opt_given(a, "workflow")) {
        return cli_usage(c, "--run and --workflow exclude each other");
    }
    if (out && isatty(STDOUT_FILENO)) {
        return cli_usage(c,
                         "an archive is nothing to look at: name a file, or send it to a program");
    }
    if (store_open(&so, &store, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    interrupt_catch();
    int code = find(c, a, store, &named);
    if (code == EXIT_OK) {
        int rc = archive_export(store, named.items, named.len, out ? NULL : file, STDOUT_FILENO, &o,
                                &r, &err);
        code = rc < 0 ? failed(c, &err) : report(c, a, &r, false, file);
        if (code == EXIT_OK) {
            warn_of_nothing(c, a, &r, file);
        }
    }
    named_done(&named);
    store_close(store);
    return code;
}

/* --- import --- */

static int import_from(struct cli *c, const struct args *a)
{
    const char *file = a->positional[0];
    bool in = text_eq(file, "-");
    struct telling t = {.cli = c};
    struct archive_options o = {.progress = tell, .arg = &t};
    struct store_options so = {.dir = c->store_dir};
    struct archive_report r = {0};
    struct store *store;
    struct err err = {0};
    CLEANUP(cleanup_close) int fd = in ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return cli_usage(c, "cannot read %s: %s", file, strerror(errno));
    }
    if (isatty(fd)) {
        return cli_usage(c,
                         "an archive is nothing to type: name a file, or send it from a program");
    }
    if (store_open(&so, &store, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    interrupt_catch();
    int rc = archive_import(store, fd, in ? "the input" : file, &o, &r, &err);
    int code = rc < 0 ? failed(c, &err) : report(c, a, &r, true, file);
    store_close(store);
    return code;
}

static const struct opt export_opts[] = {
    {"run", 0, OPT_TEXT, "RUN", "What this run used or made (default: latest)"},
    {"workflow", 'w', OPT_TEXT, "NAME", "All that this workflow made"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};
static const struct opt import_opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_cache_export = {
    .name = "cache export",
    .synopsis = "FILE.tar.zst",
    .summary = "Writes entries with their objects as one archive",
    .text = "By default what the latest run used or made. FILE appears whole or not at all; - is "
            "the standard output.\n"
            "Entries under the policies time and change stay here: their age is of this machine. "
            "An archive "
            "without entries is\nwarned of, and none the less exit code 0.",
    .example = "  wf cache export cache.tar.zst\n  wf cache export --run 01M7 - | ssh host wf "
               "cache import -",
    .opts = export_opts,
    .n_opts = ARRAY_LEN(export_opts),
    .min_args = 1,
    .max_args = 1,
    .run = export_to};
const struct command cmd_cache_import = {
    .name = "cache import",
    .synopsis = "FILE.tar.zst",
    .summary = "Takes entries from an archive that `wf cache export` wrote",
    .text = "Every object and every key is verified before it counts; importing again is harmless. "
            "- is the standard input.\n"
            "Which result belongs to an action is the word of who made the archive: import only "
            "what you trust.",
    .example = "  wf cache import cache.tar.zst",
    .opts = import_opts,
    .n_opts = ARRAY_LEN(import_opts),
    .min_args = 1,
    .max_args = 1,
    .run = import_from};
