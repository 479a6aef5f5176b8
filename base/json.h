/* SPDX-License-Identifier: Apache-2.0 */
/* JSON written by hand for speed (documents of 100,000 steps, cache keys) and read with jansson at the edges.
 * The writer is canonical as far as the caller is: members appear in the order they are put; no white space unless
 * `pretty`. Never put a real into a cache key: numbers enter as their source text (json_raw). */
#ifndef WF_BASE_JSON_H
#define WF_BASE_JSON_H

#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct err;
struct digest;

struct jsonw {
    struct str *out;
    uint64_t first; /* bit per open level: nothing written in it yet */
    int depth;
    bool pretty; /* two blanks per level, for documents people read */
};

void jw_init(struct jsonw *w, struct str *out, bool pretty);
void jw_object(struct jsonw *w); /* { */
void jw_end_object(struct jsonw *w);
void jw_array(struct jsonw *w);
void jw_end_array(struct jsonw *w);
void jw_key(struct jsonw *w, const char *key);
/* The same for a literal that needs no escapes, which costs a few instructions: what is written a hundred thousand times. */
#define JW_KEY(w, literal) jw_key_as((w), literal, ",\"" literal "\":", sizeof(literal) + 3)
void jw_text(struct jsonw *w,
             const char *text); /* NULL -> null. Escapes; invalid UTF-8 bytes become \ufffd */
void jw_bytes(struct jsonw *w, const char *data, size_t len); /* as jw_text, may hold NULs */
void jw_name(struct jsonw *w, const char *data,
             size_t len); /* a file name for a key: invalid bytes become \udcXX (lossless) */
void jw_i64(struct jsonw *w, int64_t v);
void jw_bool(struct jsonw *w, bool v);
void jw_null(struct jsonw *w);
void jw_real(struct jsonw *w,
             double v); /* shortest form that reads back; NaN and infinities -> null */
void jw_raw(struct jsonw *w, const char *json, size_t len); /* already JSON */
void jw_digest(struct jsonw *w, const struct digest *d);    /* "sha256:…" */
void jw_time(struct jsonw *w, int64_t ms);                  /* RFC 3339, null when 0 */
void jw_seconds(struct jsonw *w,
                int64_t ms); /* as jw_real(ms / 1000.0), without floating point where it can */
/* key + value in one. */
void jw_kv_text(struct jsonw *w, const char *key, const char *text);
void jw_kv_i64(struct jsonw *w, const char *key, int64_t v);
void jw_kv_bool(struct jsonw *w, const char *key, bool v);
void jw_kv_time(struct jsonw *w, const char *key, int64_t ms);     /* RFC 3339, null when 0 */
void jw_string_add(struct str *out, const char *data, size_t len); /* one quoted string */

/* Reads a document: duplicate keys refused, at most `max_bytes`, depth by jansson's own cap. Borrowed text; the result is owned by the
 * caller (json_decref). The message names line and column. */
int json_read(const char *data, size_t len, size_t max_bytes, json_t **ret, struct err *err);
/* Members of the object that `text` is (compact or not), found in one pass that reads nothing of their values: for documents of our own making, where a hundred thousand are looked at. ret[k] belongs to
 * keys[k] and points into `text`; a member that is absent has `at` NULL. False: the text is no object as far as its brackets and quotes go. */
struct json_slice {
    const char *at;
    size_t len;
};
bool json_members(const char *text, const char *const *keys, size_t n, struct json_slice *ret);
/* The canonical form: sorted keys, no white space, numbers as jansson read them. Only for documents without reals. */
void json_write_canonical(const json_t *v, struct str *out);
void cleanup_json(json_t **j); /* for CLEANUP */

/* `text`: the key as it stands between two members, comma and colon included. */
static inline void jw_key_as(struct jsonw *w, const char *key, const char *text, size_t len)
{
    uint64_t bit = UINT64_C(1) << w->depth;

    if (w->pretty) {
        jw_key(w, key);
        return;
    }
    sb_reserve(w->out, len);
    char *at = w->out->data + w->out->len;
    if (w->first & bit) {
        memcpy(at, text + 1, len - 1);
        len--;
    } else {
        memcpy(at, text, len);
    }
    w->out->len += len;
    w->out->data[w->out->len] = '\0';
    w->first |= bit;
}

#endif
