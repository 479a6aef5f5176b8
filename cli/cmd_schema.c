/* SPDX-License-Identifier: Apache-2.0 */
/* wf schema: the JSON Schema for editors, or the reference page. */
#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "workflows/schema.h"

static int run(struct cli *c, const struct args *a)
{
    (void)c;
    struct str out = {0};
    if (opt_given(a, "markdown")) {
        schema_markdown(&out);
    } else {
        schema_json(&out);
    }
    out_str(&out);
    sb_done(&out);
    return EXIT_OK;
}

static const struct opt opts[] = {
    {"markdown", 0, OPT_FLAG, NULL, "Prints the reference page instead"}};

const struct command cmd_schema = {
    .name = "schema",
    .synopsis = "",
    .summary = "Prints the JSON Schema of workflow files, for editors",
    .example = "  wf schema > wf.schema.json\n  # first line of pipeline.yaml:  # "
               "yaml-language-server: $schema=wf.schema.json",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .run = run};
