/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: members' answers made into one. Pure; any thread. */
#ifndef WF_SERVE_GATEWAY_COMBINE_H
#define WF_SERVE_GATEWAY_COMBINE_H

#include "serve/gateway_form.h"
#include "workflows/model.h"

struct err;

struct combine_input {
    const char *model;  /* the gateway's name, for "model_name" */
    enum method method; /* other than METHOD_COMMAND */
    bool v1;
    struct slice id;    /* of the request, with its quotes; data NULL: none */
    uint32_t n_members; /* at least 1, best first */
    const char *const *slugs;
    const struct form *const *answers;
};
/* The whole answer, appended to `out`. *ret_used: how many members, from the first on, it stands for (of METHOD_BEST one). ERR_INVALID: why the answers do not fit together. */
int combine_answers(const struct combine_input *c, struct str *out, uint32_t *ret_used,
                    struct err *err);
/* What an own command gets on its standard input: [{"member":"mlp","answer":{…}}, …]. */
void combine_list(const struct combine_input *c, struct str *out);
/* The command's answer with the members' names (and of v2 id and model_name) set. ERR_INVALID: it is no object of the protocol. */
int combine_printed(const struct combine_input *c, struct slice printed, struct str *out,
                    struct err *err);
/* {"error": text}, and a newline. */
void combine_error(const char *text, struct str *out);

#endif
