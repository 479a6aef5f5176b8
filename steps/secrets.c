/* SPDX-License-Identifier: Apache-2.0 */
/* What a step was handed as secrets must not come back in what is shown and stored of it. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "steps/attempt_impl.h"
#include "steps/mask.h"
#include "steps/world.h"

#include <string.h>

/* A shorter secret stands in other text by chance. */
#define LEAST_FOUND 4

const char **secrets_of(const struct attempt *a)
{
    const struct step *s = a->step;
    const char **values = arena_calloc(a->arena, s->n_secrets + 1, sizeof(*values));

    for (uint32_t n = 0; n < s->n_secrets; n++) {
        values[n] = a->w->secrets ? a->w->secrets[s->secrets[n].secret] : NULL;
    }
    return values;
}

const char *secrets_hide(const struct attempt *a, const char *text)
{
    CLEANUP(sb_done) struct str out = {0};

    if (a->step->n_secrets == 0) {
        return text;
    }
    struct masker *m = masker_new(secrets_of(a), a->step->n_secrets);
    masker_add(m, text, strlen(text), &out);
    masker_end(m, &out);
    masker_free(m);
    return arena_strndup(a->arena, sb_text(&out), out.len);
}

static bool holds(const char *text, const char *secret)
{
    if (!secret || *secret == '\0') {
        return false;
    }
    return strlen(secret) < LEAST_FOUND ? strcmp(text, secret) == 0 : strstr(text, secret) != NULL;
}

int secrets_check(const struct attempt *a, struct err *err)
{
    const struct result *r = &a->result;

    if (a->step->n_secrets == 0) {
        return 0;
    }
    const char **secrets = secrets_of(a);
    for (uint32_t n = 0; n < a->step->n_secrets; n++) {
        for (uint32_t k = 0; k < r->n_values; k++) {
            if (holds(r->values[k].text, secrets[n])) {
                return err_set(err, ERR_INVALID, 0,
                               "value '%s' holds the secret '%s', and values are stored and shown: "
                               "let the step that needs the secret list it under `secrets` instead",
                               r->values[k].name, a->step->secrets[n].env);
            }
        }
        if (r->metrics && holds(r->metrics, secrets[n]) && strlen(secrets[n]) >= LEAST_FOUND) {
            return err_set(err, ERR_INVALID, 0,
                           "the metrics hold the secret '%s', and metrics are stored and shown",
                           a->step->secrets[n].env);
        }
    }
    return 0;
}
