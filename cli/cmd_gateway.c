/* SPDX-License-Identifier: Apache-2.0 */
/* wf gateway: the endpoint of an online aggregate, started by the supervisor. */
#include "cli/command.h"
#include "cli/commands.h"
#include "serve/gateway.h"

static int run(struct cli *c, const struct args *a)
{
    (void)c;
    return gateway_run(a->positional[0]);
}

const struct command cmd_gateway = {
    .name = "gateway",
    .synopsis = "CONFIG",
    .summary = "Serves the endpoint of an aggregate step",
    .text = "wf starts it itself where a workflow has an aggregate step over a service. It listens "
            "on the unix socket that the\nfile CONFIG names, reads that file again on SIGHUP and "
            "ends on SIGTERM when the requests under way are answered.",
    .example = "  wf gateway ensemble.json",
    .min_args = 1,
    .max_args = 1,
    .hidden = true,
    .run = run};
