/* SPDX-License-Identifier: Apache-2.0 */
/* Options of services: serve steps, and of an aggregate where it answers and how much it takes. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "workflows/load_internal.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 100 }; /* bytes of a header's name */

void load_blank_serve(struct serve_options *o)
{
    *o = (struct serve_options){.from = NONE,
                                .replicas = 1,
                                .ready_timeout_ms = 5LL * 60 * 1000,
                                .canary_max_errors = 0.01,
                                .scale_min = 1,
                                .scale_target = 8};
}

/* A written null takes a default away. */
static bool takes_away(const struct entry *e)
{
    return is_null(e->value) && (e->inherited || e->value->len > 0);
}

/* --- where it answers --- */

/* 0 to 65535, digits alone. */
static bool read_port(const char *text, uint16_t *ret)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 5 || text[n] != '\0')
        return false;
    unsigned long v = strtoul(text, NULL, 10);
    if (v > UINT16_MAX)
        return false;
    *ret = (uint16_t)v;
    return true;
}

/* "127.0.0.1", "localhost" or "[::1]", as it is bound to; NULL: none of them. Names are not looked up: what they stand for changes. */
static const char *read_host(struct loader *l, const char *text, size_t len)
{
    unsigned char address[sizeof(struct in6_addr)];
    CLEANUP(cleanup_free) char *host = xstrndup(text, len);
    if (strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, address) == 1)
        return arena_strdup(l->a, host);
    if (len < 3 || host[0] != '[' || host[len - 1] != ']')
        return NULL;
    host[len - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, address) == 1 ? arena_strdup(l->a, host + 1) : NULL;
}

static void explain_listen(struct loader *l, const char *text, const char *colon, bool host)
{
    if (colon == NULL || host)
        return;
    if (strstr(text, "://") != NULL)
        diag_hint(l->d, "leave the scheme and the path out");
    else if (strchr(text, ':') != colon && text[0] != '[')
        diag_hint(l->d, "an IPv6 address stands in brackets: [::1]:8080");
    else if (text == colon || text[0] == '*')
        diag_hint(l->d, "write 0.0.0.0%.10s for every address of this machine", colon);
    else
        diag_hint(l->d, "the host is an IPv4 address, an IPv6 address in brackets, or localhost");
}

void load_listen(struct loader *l, struct step *s, const struct entry *e)
{
    struct listen_options o = {0}, *to = s->serve       ? &s->serve->listen
                                         : s->aggregate ? &s->aggregate->listen
                                                        : &o;
    const char *text = NULL;
    if (!takes_away(e)) {
        text = load_now(l, e, NULL);
        if (text == NULL)
            return;
        const char *colon = strrchr(text, ':');
        if (colon != NULL)
            o.host = read_host(l, text, (size_t)(colon - text));
        if ((colon != NULL && o.host == NULL) ||
            !read_port(colon != NULL ? colon + 1 : text, &o.port)) {
            load_wrong_text(l, e, text);
            explain_listen(l, text, colon, o.host != NULL);
            return;
        }
    }
    *to = o;
}

/* --- limits --- */

/* "10/s", "600/m", "1000/h" -> per second. */
static bool read_rate(const char *text, double *ret)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9')
        return false;
    double v = strtod(text, &end);
    if (end[0] != '/' || end[1] == '\0' || end[2] != '\0' || !isfinite(v) || v <= 0 || v > 1e9 ||
        strspn(text, "0123456789.") != (size_t)(end - text))
        return false;
    double seconds = end[1] == 's' ? 1 : end[1] == 'm' ? 60 : end[1] == 'h' ? 3600 : 0;
    *ret = seconds > 0 ? v / seconds : 0;
    return seconds > 0;
}

static void on_rate_key(struct loader *l, const struct entry *e, void *arg)
{
    struct limit_options *o = arg;
    if (strcmp(e->key->name, "tokens") == 0) {
        o->tokens = load_text(l, e);
        if (o->tokens != NULL && o->tokens->len == 0)
            load_expected(l, e);
        return;
    }
    const char *text = load_now(l, e, NULL);
    double *rate =
        strcmp(e->key->name, "anonymous") == 0 ? &o->rate_anonymous : &o->rate_authenticated;
    if (text != NULL && !read_rate(text, rate)) {
        load_wrong_text(l, e, text);
        if (text[0] != '\0' && strspn(text, "0123456789.") == strlen(text))
            diag_hint(l->d, "write %.20s/s for so many per second", text);
    }
}

static void on_limits_key(struct loader *l, const struct entry *e, void *arg)
{
    struct limit_options *o = arg;
    if (strcmp(e->key->name, "concurrent") == 0) {
        load_count(l, e, 1, &o->concurrent);
    } else if (strcmp(e->key->name, "queue") == 0) {
        load_count(l, e, 1, &o->queue);
    } else if (e->value->kind != NODE_MAP) {
        load_expected(l, e);
    } else {
        load_mapping(l, e->value, &schema_rate, "limits.rate", on_rate_key, o);
        if (o->rate_authenticated > 0 && o->tokens == NULL)
            diag_error(l->d, e->at, "missing-key",
                       "limits.rate has authenticated and no tokens: the file that knows them");
    }
}

void load_limits(struct loader *l, struct step *s, const struct entry *e)
{
    struct limit_options o = {0}, *to = s->serve       ? &s->serve->limits
                                        : s->aggregate ? &s->aggregate->limits
                                                       : &o;
    if (!takes_away(e)) {
        if (e->value->kind != NODE_MAP) {
            load_expected(l, e);
            return;
        }
        load_mapping(l, e->value, &schema_limits, "limits", on_limits_key, &o);
        if (o.queue > 0 && o.concurrent == 0 && node_get(e->value, "concurrent") == NULL) {
            diag_error(l->d, e->at, "missing-key",
                       "limits has queue and no concurrent: nothing would ever wait");
            diag_hint(l->d, "for example {concurrent: 64, queue: 256}");
        }
    }
    *to = o;
}

/* --- ready --- */

static void load_ready_path(struct loader *l, struct serve_options *o, const struct entry *e)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return;
    bool fine = text[0] == '/' && strlen(text) <= 1000;
    for (const char *p = text; *p != '\0'; p++)
        fine = fine && *p > ' ' && *p < 0x7f && *p != '"' && *p != '\\' && *p != '#';
    if (!fine) {
        diag_error(l->d, e->value->span, "bad-value",
                   "'%s' must be a path that begins with / and has no blanks, such as "
                   "/v2/health/ready, not '%.60s'",
                   e->key->name, text);
        if (strchr(text, '/') == NULL && strcmp(e->key->name, "ready") == 0)
            diag_hint(l->d, "a script is written {run: …}");
        return;
    }
    o->ready_path = arena_strdup(l->a, text);
}

static void on_ready_key(struct loader *l, const struct entry *e, void *arg)
{
    struct serve_options *o = arg;
    const char *key = e->key->name;
    if (strcmp(key, "path") == 0) {
        load_ready_path(l, o, e);
    } else if (strcmp(key, "timeout") == 0) {
        if (load_duration(l, e, &o->ready_timeout_ms) && o->ready_timeout_ms == 0)
            load_expected_as(l, e->value, "timeout", "longer than nothing");
    } else {
        o->ready_run = load_text_of(l, e->value, "ready.run", e->key->type, true);
        if (o->ready_run != NULL &&
            o->ready_run->source[strspn(o->ready_run->source, " \t\n")] == '\0')
            diag_error(l->d, e->value->span, "bad-value", "the script is empty");
    }
}

static void load_ready(struct loader *l, struct serve_options *o, const struct entry *e)
{
    struct serve_options blank;
    load_blank_serve(&blank);
    o->ready_path = NULL;
    o->ready_run = NULL;
    o->ready_timeout_ms = blank.ready_timeout_ms;
    if (takes_away(e))
        return;
    if (e->value->kind == NODE_SCALAR && e->value->type == SCALAR_STRING) {
        load_ready_path(l, o, e);
    } else if (e->value->kind == NODE_MAP && e->value->len > 0) {
        load_mapping(l, e->value, &schema_ready, "ready", on_ready_key, o);
    } else {
        load_expected(l, e);
    }
}

/* --- canary and scale --- */

static void load_share(struct loader *l, const struct entry *e, double *ret)
{
    const char *text = load_now(l, e, NULL);
    if (text != NULL && parse_percent(text, ret, NULL) != 0)
        load_wrong_text(l, e, text);
}

static void on_canary_key(struct loader *l, const struct entry *e, void *arg)
{
    struct serve_options *o = arg;
    if (strcmp(e->key->name, "share") == 0) {
        load_share(l, e, &o->canary_share);
        if (o->canary_share >= 1)
            load_expected_as(l, e->value, "share", "less than 100%");
    } else if (strcmp(e->key->name, "for") == 0) {
        load_duration(l, e, &o->canary_for_ms);
    } else {
        load_share(l, e, &o->canary_max_errors);
    }
}

static void load_canary(struct loader *l, struct serve_options *o, const struct entry *e)
{
    struct serve_options blank;
    load_blank_serve(&blank);
    o->canary_share = 0;
    o->canary_for_ms = 0;
    o->canary_max_errors = blank.canary_max_errors;
    if (takes_away(e))
        return;
    if (e->value->kind != NODE_MAP) {
        load_expected(l, e);
        return;
    }
    size_t errors = l->d->errors;
    load_mapping(l, e->value, &schema_canary, "canary", on_canary_key, o);
    if (l->d->errors == errors && (o->canary_share <= 0 || o->canary_for_ms <= 0)) {
        diag_error(l->d, e->at, "missing-key", "canary needs a share above 0%% and for");
        diag_hint(l->d, "for example {share: 10%%, for: 15m}");
    }
}

static void on_scale_key(struct loader *l, const struct entry *e, void *arg)
{
    struct serve_options *o = arg;
    if (strcmp(e->key->name, "min") == 0)
        load_count(l, e, 0, &o->scale_min);
    else if (strcmp(e->key->name, "max") == 0)
        load_count(l, e, 1, &o->scale_max);
    else
        load_count(l, e, 1, &o->scale_target);
}

static void load_scale(struct loader *l, struct serve_options *o, const struct entry *e)
{
    struct serve_options blank;
    load_blank_serve(&blank);
    o->scales = false;
    o->scale_min = blank.scale_min;
    o->scale_max = blank.scale_max;
    o->scale_target = blank.scale_target;
    if (takes_away(e))
        return;
    if (e->value->kind != NODE_MAP) {
        load_expected(l, e);
        return;
    }
    size_t errors = l->d->errors;
    load_mapping(l, e->value, &schema_scale, "scale", on_scale_key, o);
    o->scales = true;
    if (l->d->errors != errors)
        return;
    if (o->scale_max == 0) {
        diag_error(l->d, e->at, "missing-key", "scale needs a max: the most replicas");
        diag_hint(l->d, "for example {min: 0, max: 4, target: 8}");
    } else if (o->scale_min > o->scale_max) {
        diag_error(l->d, e->value->span, "bad-value", "scale has a min of %u and a max of %u",
                   o->scale_min, o->scale_max);
    }
}

/* --- the rest --- */

static void load_address(struct loader *l, struct serve_options *o, const struct entry *e)
{
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return;
    o->fixed_port = 0;
    if (strcmp(text, "socket") == 0)
        o->address = ADDRESS_SOCKET;
    else if (strcmp(text, "port") == 0)
        o->address = ADDRESS_PORT;
    else if (read_port(text, &o->fixed_port) && o->fixed_port > 0)
        o->address = ADDRESS_FIXED;
    else
        load_wrong_text(l, e, text);
}

/* A token of RFC 9110. */
static bool is_token(const char *text)
{
    size_t n = strspn(text, "!#$%&'*+-.^_`|~0123456789"
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return n > 0 && n <= HEADER_MAX && text[n] == '\0';
}

static void load_shard_by(struct loader *l, struct serve_options *o, const struct entry *e)
{
    static const char header[] = "header:";
    const char *text = load_now(l, e, NULL);
    if (text == NULL)
        return;
    o->shard_uri = strcmp(text, "uri") == 0;
    o->shard_header = NULL;
    if (o->shard_uri)
        return;
    const char *name = text_starts(text, header) ? text + strlen(header) : "";
    if (is_token(name)) {
        o->shard_header = arena_strdup(l->a, name);
    } else if (*name == '\0') {
        load_wrong_text(l, e, text);
    } else {
        diag_error(l->d, e->value->span, "bad-name", "'%.60s' is not the name of a header", name);
        diag_hint(l->d, "header names have letters, digits and -");
    }
}

static void load_word(struct loader *l, struct serve_options *o, const struct entry *e)
{
    static const char *const lifetimes[] = {"run", "keep"}, *const replaces[] = {"beside",
                                                                                 "first_stop"};
    const char *key = e->key->name;
    uint32_t v = 0;
    if (strcmp(key, "balance") == 0) {
        if (load_choice(l, e, balance_names, BALANCE_COUNT, &v))
            o->balance = (enum balance)v;
    } else if (strcmp(key, "lifetime") == 0) {
        if (load_choice(l, e, lifetimes, ARRAY_LEN(lifetimes), &v))
            o->keep = v == 1;
    } else if (load_choice(l, e, replaces, ARRAY_LEN(replaces), &v)) {
        o->first_stop = v == 1;
    }
}

/* Scalars that null sets back. */
static bool reset_scalar(struct serve_options *o, const char *key)
{
    struct serve_options blank;
    load_blank_serve(&blank);
    if (strcmp(key, "replicas") == 0) {
        o->replicas = blank.replicas;
    } else if (strcmp(key, "address") == 0) {
        o->address = blank.address;
        o->fixed_port = 0;
    } else if (strcmp(key, "shard_by") == 0) {
        o->shard_header = NULL;
        o->shard_uri = false;
    } else if (strcmp(key, "balance") == 0) {
        o->balance = blank.balance;
    } else if (strcmp(key, "lifetime") == 0) {
        o->keep = false;
    } else if (strcmp(key, "replace") == 0) {
        o->first_stop = false;
    } else {
        return false;
    }
    return true;
}

void load_serve_key(struct loader *l, struct step *s, const struct entry *e)
{
    struct serve_options *o = s->serve;
    const char *key = e->key->name;
    if (o == NULL || (takes_away(e) && reset_scalar(o, key)))
        return;
    if (strcmp(key, "replicas") == 0)
        load_count(l, e, 1, &o->replicas);
    else if (strcmp(key, "ready") == 0)
        load_ready(l, o, e);
    else if (strcmp(key, "address") == 0)
        load_address(l, o, e);
    else if (strcmp(key, "shard_by") == 0)
        load_shard_by(l, o, e);
    else if (strcmp(key, "canary") == 0)
        load_canary(l, o, e);
    else if (strcmp(key, "scale") == 0)
        load_scale(l, o, e);
    else
        load_word(l, o, e);
}
