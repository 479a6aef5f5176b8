/* SPDX-License-Identifier: Apache-2.0 */
/* --help, made from the tables. */
#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/out.h"

#include <string.h>

static void add_options(struct str *s, const struct opt *opts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str left = {0};
        if (opts[i].letter) {
            sb_printf(&left, "  -%c, --%s", opts[i].letter, opts[i].name);
        } else {
            sb_printf(&left, "      --%s", opts[i].name);
        }
        if (opts[i].kind == OPT_OPTIONAL) {
            sb_printf(&left, "[=%s]", opts[i].arg);
        } else if (opts[i].kind != OPT_FLAG) {
            sb_printf(&left, " %s", opts[i].arg);
        }
        sb_printf(s, "%-32s %s\n", sb_text(&left), opts[i].help);
        sb_done(&left);
    }
}

void help_command(const struct cli *c, const struct command *cmd)
{
    struct str s = {0};
    sb_printf(&s, "%s\n\nUsage: wf %s [options]%s%s\n", cmd->summary, cmd->name,
              *cmd->synopsis ? " " : "", cmd->synopsis);
    if (cmd->text) {
        sb_printf(&s, "\n%s\n", cmd->text);
    }
    if (cmd->n_opts) {
        sb_printf(&s, "\n%sOptions%s\n", tone_on(c->colour, TONE_BOLD), tone_off(c->colour));
        add_options(&s, cmd->opts, cmd->n_opts);
    }
    sb_printf(&s, "\n%sGlobal options%s\n", tone_on(c->colour, TONE_BOLD), tone_off(c->colour));
    add_options(&s, global_opts, global_opt_count);
    sb_printf(&s, "\n%sExample%s\n%s\n", tone_on(c->colour, TONE_BOLD), tone_off(c->colour),
              cmd->example);
    out_str(&s);
    sb_done(&s);
}

void help_all(const struct cli *c)
{
    struct str s = {0};
    sb_puts(&s, "wf runs workflows of containerized steps and never does the same work twice.\n\n"
                "Usage: wf COMMAND [options]\n\n");
    sb_printf(&s, "%sCommands%s\n", tone_on(c->colour, TONE_BOLD), tone_off(c->colour));
    for (size_t i = 0; i < command_count; i++) {
        if (commands[i]->hidden) {
            continue;
        }
        sb_printf(&s, "  %-16s %s\n", commands[i]->name, commands[i]->summary);
    }
    sb_puts(&s, "\n`wf COMMAND --help` tells more. A first workflow:\n\n"
                "  printf 'steps:\\n  hello:\\n    run: echo \"Hello, world\"\\n' > hello.yaml\n"
                "  wf run -v hello.yaml\n");
    out_str(&s);
    sb_done(&s);
}
