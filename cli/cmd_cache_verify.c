/* SPDX-License-Identifier: Apache-2.0 */
/* wf cache verify */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/store.h"
#include "cache/verify.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/named.h"
#include "cli/out.h"
#include "cli/rerun.h"
#include "cli/setup.h"

#include <inttypes.h>
#include <stdio.h>

struct verifying {
    const struct cli *cli;
    struct jsonw *json; /* NULL: text */
    struct str out;
    struct jsonw writer;
};

static bool tell(uint64_t entries, uint64_t objects, uint64_t bytes, void *arg)
{
    const struct verifying *v = arg;

    if (v->cli->err_tty) {
        CLEANUP(sb_done) struct str s = {0};
        add_size(&s, bytes);
        fprintf(stderr, "\r%" PRIu64 " entries, %" PRIu64 " objects, %s verified\x1b[K", entries,
                objects, sb_text(&s));
        fflush(stderr);
    }
    return !interrupt_code();
}

static void on_finding(const struct verify_finding *f, void *arg)
{
    struct verifying *v = arg;

    if (!v->json) {
        if (v->cli->err_tty) {
            fputs("\r\x1b[K", stderr); /* the line of progress */
        }
        sb_printf(&v->out, "%s%s\n", f->text, f->repaired ? " (repaired)" : "");
        out_str(&v->out);
        return;
    }
    jw_object(v->json);
    jw_kv_text(v->json, "kind", verify_kind_names[f->kind]);
    jw_kv_text(v->json, "text", f->text);
    jw_key(v->json, "key");
    if (f->key) {
        jw_digest(v->json, f->key);
    } else {
        jw_null(v->json);
    }
    jw_key(v->json, "object");
    if (f->object) {
        jw_digest(v->json, f->object);
    } else {
        jw_null(v->json);
    }
    jw_kv_bool(v->json, "repaired", f->repaired);
    jw_end_object(v->json);
}

static void end_json(struct verifying *v, const struct verify_report *r)
{
    struct jsonw *w = v->json;

    jw_end_array(w);
    jw_kv_i64(w, "entries", (int64_t)r->entries);
    jw_kv_i64(w, "objects", (int64_t)r->objects);
    jw_kv_i64(w, "bytes", (int64_t)r->bytes);
    jw_kv_i64(w, "found", (int64_t)r->findings);
    jw_kv_i64(w, "repaired", (int64_t)r->repaired);
    jw_kv_i64(w, "unreadable", (int64_t)r->unreadable);
    jw_kv_i64(w, "entries_dropped", (int64_t)r->dropped);
    jw_kv_bool(w, "complete", r->complete);
    jw_end_object(w);
    sb_putc(&v->out, '\n');
}

static void end_text(struct verifying *v, const struct verify_report *r, bool repair)
{
    sb_printf(&v->out, "%s%" PRIu64 " %s, %" PRIu64 " object%s (",
              r->complete ? "" : "interrupted after ", r->entries,
              r->entries == 1 ? "entry" : "entries", r->objects, r->objects == 1 ? "" : "s");
    add_size(&v->out, r->bytes);
    sb_puts(&v->out, "): ");
    if (r->findings == 0) {
        sb_puts(&v->out, "all good\n");
    } else {
        sb_printf(&v->out, "%" PRIu64 " found, %" PRIu64 " repaired", r->findings, r->repaired);
        if (r->dropped > 0) {
            sb_printf(&v->out, ", %" PRIu64 " %s dropped", r->dropped,
                      r->dropped == 1 ? "entry" : "entries");
        }
        bool mends = !repair && r->findings > r->unreadable;
        sb_puts(&v->out, mends ? " (--repair mends it)\n" : "\n");
        if (r->unreadable > 0) {
            sb_printf(&v->out,
                      "%" PRIu64 " could not be read: look at the owner and the modes of the files "
                      "below objects/, and at the disk, then verify again\n",
                      r->unreadable);
        }
    }
}

static int verify(struct verifying *v, struct store *s, const struct named *n, bool some,
                  bool repair)
{
    struct verify_options o = {.ids = some ? n->items : NULL,
                               .n_ids = n->len,
                               .repair = repair,
                               .progress = tell,
                               .on_finding = on_finding,
                               .arg = v};
    struct verify_report r = {0};
    struct err err = {0};

    if (v->json) {
        jw_init(v->json, &v->out, true);
        jw_object(v->json);
        jw_key(v->json, "findings");
        jw_array(v->json);
    }
    int rc = cache_verify(s, &o, &r, &err);
    if (v->cli->err_tty) {
        fputs("\r\x1b[K", stderr);
    }
    if (rc < 0) {
        return cli_fail_store(v->cli, &err);
    }
    if (v->json) {
        end_json(v, &r);
    } else {
        end_text(v, &r, repair);
    }
    out_str(&v->out);
    return !r.complete        ? interrupt_code()
           : r.unreadable > 0 ? EXIT_SYSTEM
           : r.findings > 0   ? EXIT_RUN_FAILED
                              : EXIT_OK;
}

static int run(struct cli *c, const struct args *a)
{
    struct verifying v = {.cli = c};
    bool repair = opt_given(a, "repair");
    struct store_options o = {.dir = c->store_dir, .read_only = !repair};
    struct named named = {0};
    struct store *store;
    struct err err = {0};
    int code = EXIT_OK;

    if (opt_given(a, "rerun")) {
        return repair || a->n_positional != 2
                   ? cli_usage(c, "usage: wf cache verify --rerun FILE STEP")
                   : rerun(c, a);
    }
    v.json = opt_given(a, "json") ? &v.writer : NULL;
    if (store_open(&o, &store, &err) < 0) {
        return cli_fail_store(c, &err);
    }
    for (size_t i = 0; i < a->n_positional && code == EXIT_OK; i++) {
        code = named_add(c, store, a->positional[i], true, &named);
    }
    if (code == EXIT_OK) {
        interrupt_catch();
        code = verify(&v, store, &named, a->n_positional > 0, repair);
    }
    sb_done(&v.out);
    named_done(&named);
    store_close(store);
    return code;
}

static const struct opt opts[] = {
    {"rerun", 0, OPT_FLAG, NULL,
     "Takes FILE STEP: runs the step twice, names what came out otherwise"},
    OPT_PARAMS,
    {"repair", 0, OPT_FLAG, NULL, "Sets aside what is damaged, and mends the rest"},
    {"json", 0, OPT_FLAG, NULL, "Prints a JSON document"},
};

const struct command cmd_cache_verify = {
    .name = "cache verify",
    .synopsis = "[KEY|RUN…]",
    .summary = "Hashes all that the cache holds again, and checks its rows",
    .text = "Works beside running workflows and changes nothing, unless --repair is given: then "
            "entries whose objects are\ndamaged or missing are dropped, and their steps run again "
            "when they are asked for.\n"
            "Exit code 0: all is good; 1: something was found, whether or not it was repaired; 4: "
            "something cannot be read.",
    .example = "  wf cache verify\n  wf cache verify --repair\n  wf cache verify --rerun "
               "pipeline.yaml train",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .max_args = SIZE_MAX,
    .run = run};
