/* SPDX-License-Identifier: Apache-2.0 */
/* A step's metrics: one JSON object, kept with its numbers as they were written. */
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "steps/values.h"
#include "workflows/value.h"

#include <string.h>

/* Python and others write these; JSON has none of them. Returns the length of one at `p`, 0: there is none. */
static size_t no_number(const char *p, size_t left)
{
    static const char *const words[] = {"NaN",      "-NaN",      "nan", "-nan",
                                        "Infinity", "-Infinity", "inf", "-inf"};
    size_t longest = 0;

    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
        size_t len = strlen(words[k]);
        if (len <= left && len > longest && memcmp(p, words[k], len) == 0) {
            longest = len;
        }
    }
    return longest;
}

static void without_nan(const char *text, size_t len, struct str *out)
{
    bool quoted = false;

    for (size_t k = 0; k < len; k++) {
        size_t word = quoted ? 0 : no_number(text + k, len - k);
        if (word > 0) {
            sb_puts(out, "null");
            k += word - 1;
            continue;
        }
        if (quoted && text[k] == '\\' && k + 1 < len) {
            sb_putc(out, text[k++]);
        } else if (text[k] == '"') {
            quoted = !quoted;
        }
        sb_putc(out, text[k]);
    }
}

int metrics_parse(const char *text, size_t len, struct arena *a, const char **ret, struct err *err)
{
    struct str clean = {0}, out = {0};
    struct value v;
    struct jsonw w;

    if (len > METRICS_MAX) {
        return err_set(err, ERR_INVALID, 0, "it is larger than 1 MiB");
    }
    without_nan(text, len, &clean);
    int rc = value_parse_json(sb_text(&clean), clean.len, a, &v, err);
    if (rc == 0 && v.type != VALUE_OBJECT) {
        rc = err_set(err, ERR_INVALID, 0, "it must hold one JSON object, and holds %s",
                     value_type_name(v.type));
    }
    if (rc == 0) {
        jw_init(&w, &out, false);
        value_json(&v, &w);
        *ret = arena_memdup(a, sb_text(&out), out.len + 1);
    }
    sb_done(&clean);
    sb_done(&out);
    return rc;
}
