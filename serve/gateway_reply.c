/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller is told when too few members answered. */
#include "base/err.h"
#include "base/mem.h"
#include "serve/gateway_impl.h"

#include <jansson.h>
#include <string.h>

enum { QUOTED = 300, LOOKED_AT = 64 << 10 };

/* {"error": "…"} or {"detail": "…"}, or the text's beginning. */
static char *said(const struct str *body)
{
    json_t *doc = body->len <= LOOKED_AT ? json_loadb(sb_text(body), body->len, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(doc, "error"));
    text = text ? text : json_string_value(json_object_get(doc, "detail"));
    if (!text) {
        text = sb_text(body);
    }
    size_t n = strcspn(text, "\r\n");
    char *copy = xstrndup(text, n > QUOTED ? QUOTED : n);
    json_decref(doc);
    return copy;
}

char *reply_status_text(const struct ask *a, int status, const struct str *body)
{
    const char *slug = a->member->is->slug;

    if (a->job->v1 && (status == 404 || status == 405)) {
        return xasprintf("the model server of '%s' does not speak the v1 protocol (it answers %d "
                         "at %s); ask v2: POST /v2/models/%s/infer",
                         slug, status, a->member->paths[1], a->job->ensemble->config.name);
    }
    CLEANUP(cleanup_free) char *text = said(body);
    return xasprintf("the model server of '%s' answers %d%s%s", slug, status, *text ? ": " : "",
                     text);
}

/* A caller's mistake, if all members say so. */
static int common_status(const struct job *j)
{
    int status = 0;

    for (uint32_t i = 0; j->asks && i < j->ensemble->config.n_members; i++) {
        const struct ask *a = &j->asks[i];
        if (a->failure != FAIL_STATUS || a->status < 400 || a->status > 499) {
            return 0;
        }
        status = status ? status : a->status == 405 ? 404 : a->status;
    }
    /* These speak of the connection between the server and us. */
    return status == 401 || status == 403 || status == 407 || status == 408 || status == 429
               ? 0
               : status;
}

void reply_too_few(const struct job *j, struct str *out, int *ret_status)
{
    const struct gateway_config *c = &j->ensemble->config;
    CLEANUP(sb_done) struct str text = {0};
    uint32_t answered = 0;
    bool timeout = false;

    for (uint32_t i = 0; j->asks && i < c->n_members; i++) {
        answered += j->asks[i].state == ASK_ANSWERED;
        timeout = timeout || j->asks[i].failure == FAIL_TIMEOUT;
    }
    int status = common_status(j);
    if (status) {
        sb_puts(&text, j->asks[0].why);
    } else if (c->n_members < c->quorum) {
        sb_printf(&text, "%s is not ready: %u of the %u models it needs %s promoted so far",
                  c->name, c->n_members, c->quorum, c->n_members == 1 ? "is" : "are");
    } else {
        sb_printf(&text, "%u of the %u models that are needed answered", answered, c->quorum);
        for (uint32_t i = 0; j->asks && i < c->n_members; i++) {
            if (j->asks[i].why) {
                sb_printf(&text, "; %s", j->asks[i].why);
            }
        }
    }
    combine_error(sb_text(&text), out);
    *ret_status = status ? status : timeout ? 504 : 503;
}
