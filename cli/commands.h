/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: each lives in its own cmd_NAME.c. */
#ifndef WF_CLI_COMMANDS_H
#define WF_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct command cmd_run, cmd_plan, cmd_explain, cmd_check, cmd_graph, cmd_runs,
    cmd_show, cmd_diff, cmd_logs, cmd_outputs, cmd_cache_ls, cmd_cache_show, cmd_cache_stats,
    cmd_cache_gc, cmd_cache_verify, cmd_cache_adopt, cmd_cache_pin, cmd_cache_unpin, cmd_cache_rm,
    cmd_cache_export, cmd_cache_import, cmd_models, cmd_models_show, cmd_models_rollback,
    cmd_models_allow, cmd_services, cmd_services_stop, cmd_supervise, cmd_schema, cmd_doctor,
    cmd_gateway, cmd_version;
extern const struct opt global_opts[];
extern const size_t global_opt_count;

#endif
