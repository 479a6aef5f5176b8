/* SPDX-License-Identifier: Apache-2.0 */
/* wf version: ours and the libraries'. */
#include "base/db.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/repo.h"
#include "base/str.h"
#include "cache/statements.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"

#include <jansson.h>
#include <uv.h>
#include <yaml.h>

static int run(struct cli *c, const struct args *a)
{
    (void)c;
    struct str out = {0};
    const struct {
        const char *name, *version;
    } libraries[] = {{"libyaml", yaml_get_version_string()}, {"sqlite", db_library_version()},
                     {"libuv", uv_version_string()},         {"jansson", jansson_version_str()},
                     {"libgit2", repo_library_version()},    {"openssl", digest_library_version()}};
    if (opt_given(a, "json")) {
        struct jsonw w;
        jw_init(&w, &out, true);
        jw_object(&w);
        jw_kv_text(&w, "wf", WF_VERSION);
        jw_kv_i64(&w, "store_format", STORE_FORMAT);
        jw_key(&w, "libraries");
        jw_object(&w);
        for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
            jw_kv_text(&w, libraries[i].name, libraries[i].version);
        }
        jw_end_object(&w);
        jw_end_object(&w);
        sb_putc(&out, '\n');
    } else {
        sb_printf(&out, "wf %s (store format %d)\n", WF_VERSION, STORE_FORMAT);
        for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
            sb_printf(&out, "  %-8s %s\n", libraries[i].name, libraries[i].version);
        }
    }
    out_str(&out);
    sb_done(&out);
    return EXIT_OK;
}

static const struct opt opts[] = {{"json", 0, OPT_FLAG, NULL, "Prints a JSON document"}};

const struct command cmd_version = {.name = "version",
                                    .synopsis = "",
                                    .summary = "Shows the versions of wf and its libraries",
                                    .example = "  wf version --json",
                                    .opts = opts,
                                    .n_opts = ARRAY_LEN(opts),
                                    .run = run};
