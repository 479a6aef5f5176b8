/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/shared.h"

#include "base/str.h"
#include "base/units.h"
#include "cache/remote.h"
#include "cli/config.h"
#include "cli/opt.h"

#include <stdlib.h>

void shared_choose(const struct args *a, const struct config *f, struct shared_choice *ret)
{
    const char *option = a ? opt_text(a, "remote") : NULL, *env = getenv("WF_REMOTE");
    const char *token = getenv("WF_REMOTE_TOKEN");
    const char *url = option ? option : env ? env : f->remote;

    *ret = (struct shared_choice){
        .url = url && *url ? url : NULL,
        .token = token && *token ? token : NULL,
        .read_only = (a && opt_given(a, "remote-readonly")) || f->remote_readonly,
    };
}

static void add_sent(const struct remote_progress *p, struct str *out)
{
    sb_printf(out, "sent %u (", p->sent);
    add_size(out, p->sent_bytes);
    sb_putc(out, ')');
}

void shared_report(const struct remote_progress *p, struct str *out)
{
    if (p->found == 0 && p->sent == 0 && p->failed == 0) {
        return;
    }
    sb_puts(out, "shared cache: ");
    if (p->found > 0) {
        sb_printf(out, "found %u (", p->found);
        add_size(out, p->fetched_bytes);
        sb_printf(out, " fetched)%s", p->sent > 0 || p->failed > 0 ? ", " : "");
    }
    if (p->sent > 0) {
        add_sent(p, out);
    }
    if (p->failed > 0) {
        sb_printf(out, "%s%u not sent", p->sent > 0 ? ", " : "", p->failed);
    }
    sb_putc(out, '\n');
}
