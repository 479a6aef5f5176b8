/* SPDX-License-Identifier: Apache-2.0 */
/* A state as HAProxy's configuration and maps. Pure: the same state gives the same text. The names are the caller's backends ([a-z0-9_]) and
 * s<id>.front, s<id>.callers, s<id>.anonymous, s<id>.activator, whose point keeps them apart. Files are named relative to the folder HAProxy runs in, so
 * that the path of the store never stands in them.
 *
 * Why the settings are as they are:
 * - retries: a replica that dies takes no request with it. Connection refused, no answer, answer too late: sent to another replica, up to 3 times; for that HAProxy holds the whole request,
*   as far as it fits into a buffer (tune.bufsize).
 * - a buffer holds 128 KiB: HAProxy copies the whole buffer of each request that may be sent again, so that a larger one costs every request (two processors: 26,000 requests per second with
 *   16 KiB, 21,500 with 128, 18,900 with 256, 8,300 with 1 MiB). What is larger goes through, but is lost with the replica that has it.
 * - `observe layer4`, fastinter: the first refused connection makes the checks quick, so that a dead replica is out after some 0.3 s; until then each request that meets it is sent on. Not `mark-down`: a
 *   living one whose queue of connections is full refuses too. `weight 100`: the default of 1 cannot be reduced.
 * - a check is patient (fall 3 x 5 s) with a replica that is busy: taking it out would make it worse; a dead one refuses at once.
 * - no shutdown-sessions: what a hanging replica has is sent elsewhere when its time is over, not cut.
 * - idle-close-on-response: at a reload a caller's idle connection stays until its next request, so that none is cut as it comes.
 * - abortonclose: a caller that has gone gives up its place in the queue.
 * - noreuseport: two HAProxys would share an address without a word. */
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MS = 60000, /* timeout of an answer where none is given */
    CONNECT_MS = 1000,
    CLIENT_MS = 60000, /* a caller that neither sends nor takes anything */
    KEEP_ALIVE_MS =
        10000, /* a caller's idle connection; also bounds what an old worker waits for after a reload */
    CHECK_MS = 5000,
    HARD_STOP_MORE_MS =
        15000, /* an old worker may answer what it has: the longest timeout and this */
    BUFFER_BYTES = 144 << 10, /* a request of 128 KiB, and what is added to it */
};

const char *const proxy_map_names[PROXY_MAP_COUNT] = {"routes.map", "canary.map", "share.map",
                                                      "tokens.map"};

#define JSON_ANSWER(status, text)                                                                  \
    "http-request return status " status " content-type application/json string "                  \
    "\"{\\\"error\\\":\\\"" text "\\\"}\\n\""

/* One argument: in single quotes nothing has a meaning but the quote itself. */
static void add_quoted(struct str *out, const char *text)
{
    sb_putc(out, '\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'') {
            sb_puts(out, "'\\''");
        } else {
            sb_putc(out, *p);
        }
    }
    sb_putc(out, '\'');
}

/* Rates: HAProxy counts whole requests in a period. */

/* The shortest period in which `rate` is a whole number of requests, or nearly so. */
static uint32_t period_of(double rate)
{
    if (rate <= 0 || rate == floor(rate)) {
        return 1;
    }
    static const uint32_t periods[] = {10, 60, 600, 3600};
    for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
        if (rate * periods[i] >= 1) {
            return periods[i];
        }
    }
    return 3600 * 24;
}

/* 0 only for no limit. */
static uint64_t count_of(double rate, uint32_t period_s)
{
    double n = rate * period_s;
    return rate <= 0 ? 0 : n < 1 ? 1 : (uint64_t)llround(n);
}

static uint32_t callers_period(const struct proxy_service *v, const struct proxy_tokens *tokens)
{
    uint32_t period = period_of(v->rate_authenticated);
    for (size_t i = 0; i < tokens->list.len; i++) {
        uint32_t p = period_of(tokens->list.items[i].rate);
        period = p > period ? p : period;
    }
    return period;
}

/* The parts of the configuration */

static int64_t longest_ms(const struct proxy_state *s)
{
    int64_t ms = ANSWER_MS;
    for (uint32_t i = 0; i < s->n_backends; i++) {
        ms = s->backends[i].timeout_ms > ms ? s->backends[i].timeout_ms : ms;
    }
    return ms;
}

static void add_global(struct str *out, const struct proxy_state *s, const struct proxy_place *p,
                       const char *shape)
{
    sb_puts(out, "# Written by wf; changes are lost.\n"
                 "global\n"
                 "    default-path current\n");
    sb_printf(out, "    description wf-%s\n", shape);
    sb_printf(out, "    stats socket %s/a.sock mode 600 level admin expose-fd listeners\n",
              p->run_dir);
    sb_puts(out, "    stats timeout 10s\n"
                 "    no strict-limits\n"
                 "    noreuseport\n"
                 "    max-spread-checks 20ms\n");
    sb_printf(out, "    maxconn %u\n    nbthread %u\n    tune.bufsize %d\n", p->maxconn, p->threads,
              BUFFER_BYTES);
    sb_printf(out, "    hard-stop-after %lldms\n\n",
              (long long)(longest_ms(s) + HARD_STOP_MORE_MS));
}

static void add_defaults(struct str *out)
{
    static const struct {
        const char *status, *text;
    } answers[] = {{"400", "the request is malformed"},
                   {"403", "refused"},
                   {"408", "the request did not arrive in time"},
                   {"500", "the service failed"},
                   {"502", "the model server ended while it answered"},
                   {"503", "no model server is ready to answer; try again"},
                   {"504", "the model server did not answer in time"}};
    sb_puts(out, "defaults\n"
                 "    mode http\n");
    sb_printf(out,
              "    timeout connect %dms\n    timeout client %dms\n    timeout server %dms\n"
              "    timeout http-request %dms\n    timeout http-keep-alive %dms\n"
              "    timeout check %dms\n",
              CONNECT_MS, CLIENT_MS, ANSWER_MS, CLIENT_MS, KEEP_ALIVE_MS, CHECK_MS);
    sb_puts(out, "    option http-buffer-request\n"
                 "    option idle-close-on-response\n"
                 "    option abortonclose\n"
                 "    option redispatch 1\n"
                 "    retries 3\n"
                 "    retry-on conn-failure empty-response response-timeout\n"
                 "    http-reuse safe\n");
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        sb_printf(out,
                  "    http-error status %s content-type application/json string "
                  "\"{\\\"error\\\":\\\"%s\\\"}\\n\"%s\n",
                  answers[i].status, answers[i].text,
                  strcmp(answers[i].status, "503") == 0 ? " hdr Retry-After 1" : "");
    }
    sb_putc(out, '\n');
}

static void add_callers(struct str *out, const struct proxy_service *v)
{
    long long id = v->id;
    sb_printf(out,
              "    http-request set-var(txn.caller) http_auth_bearer,sha2(256),hex\n"
              "    http-request set-var(txn.limit) str(s%lld/),concat(,txn.caller),"
              "map_str_int(%s) if { var(txn.caller) -m found }\n",
              id, proxy_map_names[MAP_TOKENS]);
    sb_puts(
        out,
        "    " JSON_ANSWER(
            "401", "unknown token") " hdr WWW-Authenticate Bearer if "
                                    "{ var(txn.caller) -m found } !{ var(txn.limit) -m found }\n");
    sb_printf(out,
              "    http-request track-sc0 var(txn.caller) table s%lld.callers if "
              "{ var(txn.limit) -m int gt 0 }\n"
              "    http-request set-var(txn.over) sc0_gpc0_rate(s%lld.callers),sub(txn.limit) if "
              "{ var(txn.limit) -m int gt 0 }\n",
              id, id);
    sb_puts(
        out,
        "    " JSON_ANSWER(
            "429",
            "too many requests of this token; try again later") " hdr Retry-After 1 if { "
                                                                "var(txn.limit) -m int gt 0 } { "
                                                                "var(txn.over) -m int ge 0 }\n"
                                                                "    http-request sc-inc-gpc0(0) "
                                                                "if { var(txn.limit) -m int gt 0 "
                                                                "}\n");
}

static void add_anonymous(struct str *out, const struct proxy_service *v)
{
    if (v->rate_anonymous <= 0) {
        return;
    }
    const char *who = v->tokens_file ? " !{ var(txn.caller) -m found }" : "";
    sb_printf(out, "    http-request track-sc1 src table s%lld.anonymous%s%s\n", (long long)v->id,
              who[0] ? " if" : "", who);
    sb_printf(
        out,
        "    " JSON_ANSWER(
            "429", "too many requests of this address; try again later") " hdr Retry-After 1 if { "
                                                                         "sc1_gpc0_rate(s%lld."
                                                                         "anonymous) ge %llu }%s\n",
        (long long)v->id,
        (unsigned long long)count_of(v->rate_anonymous, period_of(v->rate_anonymous)), who);
    sb_printf(out, "    http-request sc-inc-gpc0(1)%s%s\n", who[0] ? " if" : "", who);
}

static void add_frontend(struct str *out, const struct proxy_service *v)
{
    long long id = v->id;
    sb_printf(out,
              strchr(v->host, ':') ? "frontend s%lld.front\n    bind [%s]:%u\n"
                                   : "frontend s%lld.front\n    bind %s:%u\n",
              id, v->host, v->port);
    if (v->tokens_file) {
        add_callers(out, v);
    }
    add_anonymous(out, v);
    sb_printf(out,
              "    http-request set-var(txn.slug) path,field(4,/),field(1,:) if "
              "{ path_beg /v2/models/ /v1/models/ }\n"
              "    http-request set-var(txn.backend) str(s%lld/),concat(,txn.slug),map_str(%s) if "
              "{ var(txn.slug) -m found }\n",
              id, proxy_map_names[MAP_ROUTES]);
    sb_printf(out,
              "    http-request set-var(txn.canary) str(s%lld),map_str(%s) if "
              "!{ var(txn.backend) -m found }\n"
              "    http-request set-var(txn.share) str(s%lld),map_str_int(%s,0)\n"
              "    http-request set-var(txn.backend) var(txn.canary) if "
              "{ var(txn.canary) -m found } { rand(100),sub(txn.share) lt 0 }\n",
              id, proxy_map_names[MAP_CANARY], id, proxy_map_names[MAP_SHARE]);
    sb_printf(out,
              "    http-request set-var(txn.backend) str(s%lld),map_str(%s) if "
              "!{ var(txn.backend) -m found }\n",
              id, proxy_map_names[MAP_ROUTES]);
    if (v->activator) {
        sb_printf(out,
                  "    use_backend s%lld.activator if { var(txn.backend) -m found } "
                  "{ var(txn.backend),nbsrv eq 0 }\n",
                  id);
    }
    sb_puts(out, "    " JSON_ANSWER(
                     "503",
                     "no model is served here yet; try again later") " hdr Retry-After 1 if !{ "
                                                                     "var(txn.backend) -m found }\n"
                                                                     "    use_backend "
                                                                     "%[var(txn.backend)]\n\n");
}

static void add_service(struct str *out, const struct proxy_service *v,
                        const struct proxy_tokens *tokens)
{
    add_frontend(out, v);
    if (v->tokens_file) {
        uint32_t period = callers_period(v, tokens);
        sb_printf(out,
                  "backend s%lld.callers\n    stick-table type string len %d size 100k expire %us "
                  "store gpc0,gpc0_rate(%us)\n\n",
                  (long long)v->id, DIGEST_HEX, period * 2 + 60, period);
    }
    if (v->rate_anonymous > 0) {
        /* IPv6 also holds IPv4's addresses; the other way round they would go uncounted. */
        uint32_t period = period_of(v->rate_anonymous);
        sb_printf(out,
                  "backend s%lld.anonymous\n    stick-table type ipv6 size 100k expire %us "
                  "store gpc0,gpc0_rate(%us)\n\n",
                  (long long)v->id, period * 2 + 60, period);
    }
    if (v->activator) {
        sb_printf(out, "backend s%lld.activator\n    server a unix@%s\n\n", (long long)v->id,
                  v->activator);
    }
}

static void add_balance(struct str *out, const struct proxy_backend *b)
{
    sb_puts(out, "    balance ");
    if (b->shard_header) {
        CLEANUP(sb_done) struct str word = {0};
        sb_printf(&word, "hdr(%s)", b->shard_header);
        add_quoted(out, word.data);
    } else if (b->shard_uri) {
        sb_puts(out, "uri");
    } else if (b->balance == BALANCE_HASH) {
        sb_puts(out, "source");
    } else {
        sb_puts(out, b->balance == BALANCE_LEAST_CONNECTIONS ? "leastconn" : "roundrobin");
    }
    bool hash = b->shard_header || b->shard_uri || b->balance == BALANCE_HASH;
    sb_puts(out, hash ? "\n    hash-type consistent\n" : "\n");
}

static void add_server_options(struct str *out, const struct proxy_backend *b)
{
    sb_puts(out, "check inter 1s fastinter 100ms downinter 200ms fall 3 rise 1 weight 100 "
                 "observe layer4 error-limit 1 on-error fastinter");
    if (b->maxconn > 0) {
        sb_printf(out, " maxconn %u", b->maxconn);
    }
}

/* All but its servers. */
static void add_backend(struct str *out, const struct proxy_backend *b)
{
    long long ms = b->timeout_ms > 0 ? b->timeout_ms : ANSWER_MS;
    sb_printf(out, "backend %s\n", b->name);
    add_balance(out, b);
    sb_printf(out, "    timeout server %lldms\n    timeout queue %lldms\n", ms, ms);
    if (b->check_path) {
        sb_puts(out, "    option httpchk\n    http-check send meth GET uri ");
        add_quoted(out, b->check_path);
        sb_puts(out, " ver HTTP/1.1 hdr Host wf\n    http-check expect status 200-299\n");
    }
    if (b->maxconn > 0 && b->maxqueue > 0) {
        sb_printf(out,
                  "    " JSON_ANSWER(
                      "503", "too many requests are waiting; try again") " hdr Retry-After 1 if { "
                                                                         "queue ge %u }\n",
                  b->maxqueue);
    }
    sb_puts(out, "    # ");
    add_server_options(out, b);
    sb_putc(out, '\n');
}

/* Servers and maps */

static int by_server_id(const void *a, const void *b)
{
    uint32_t x = (*(const struct proxy_server *const *)a)->id;
    uint32_t y = (*(const struct proxy_server *const *)b)->id;
    return x < y ? -1 : x > y;
}

static void take_servers(struct proxy_text *t, const struct proxy_backend *b)
{
    CLEANUP(sb_done) struct str options = {0};
    CLEANUP(cleanup_free)
    const struct proxy_server **sorted = xcalloc(b->n_servers ? b->n_servers : 1, sizeof(*sorted));
    for (uint32_t i = 0; i < b->n_servers; i++) {
        sorted[i] = &b->servers[i];
    }
    if (b->n_servers > 1) {
        qsort(sorted, b->n_servers, sizeof(*sorted), by_server_id);
    }
    add_server_options(&options, b);
    const char *name = arena_strdup(t->arena, b->name);
    const char *kept = arena_strdup(t->arena, options.data);
    for (uint32_t i = 0; i < b->n_servers; i++) {
        const struct proxy_server *s = sorted[i];
        *vec_push(&t->servers) = (struct text_server){
            .backend = name,
            .id = s->id,
            .address = s->socket ? arena_printf(t->arena, "unix@%s", s->socket)
                                 : arena_printf(t->arena, "127.0.0.1:%u", s->port),
            .options = kept,
            .drain = s->drain,
        };
    }
}

static void add_servers(struct str *out, const struct proxy_text *t, const char *backend)
{
    for (size_t i = 0; i < t->servers.len; i++) {
        const struct text_server *s = &t->servers.items[i];
        /* One that drains gets nothing new: a new worker need not know it. */
        if (!s->drain && strcmp(s->backend, backend) == 0) {
            sb_printf(out, "    server r%u %s id %u %s\n", s->id, s->address, s->id, s->options);
        }
    }
    sb_putc(out, '\n');
}

static void put(struct proxy_text *t, enum proxy_map map, const char *key, const char *value)
{
    *vec_push(&t->maps[map]) = (struct text_entry){key, value};
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct text_entry *)a)->key, ((const struct text_entry *)b)->key);
}

static void take_maps(struct proxy_text *t, const struct proxy_service *v,
                      const struct proxy_tokens *tokens)
{
    struct arena *a = t->arena;
    long long id = v->id;
    const char *self = arena_printf(a, "s%lld", id);
    if (v->backend[0] != '\0') {
        put(t, MAP_ROUTES, self, arena_strdup(a, v->backend));
    }
    for (uint32_t i = 0; i < v->n_routes; i++) {
        put(t, MAP_ROUTES, arena_printf(a, "s%lld/%s", id, v->routes[i].slug),
            arena_strdup(a, v->routes[i].backend));
    }
    if (v->canary[0] != '\0' && v->canary_percent > 0) {
        put(t, MAP_CANARY, self, arena_strdup(a, v->canary));
        put(t, MAP_SHARE, self, arena_printf(a, "%u", v->canary_percent));
    }
    t->map_used[MAP_ROUTES] = t->map_used[MAP_CANARY] = t->map_used[MAP_SHARE] = true;
    if (!v->tokens_file) {
        return;
    }
    t->map_used[MAP_TOKENS] = true;
    uint32_t period = callers_period(v, tokens);
    for (size_t i = 0; i < tokens->list.len; i++) {
        const struct proxy_token *one = &tokens->list.items[i];
        double rate = one->rate >= 0 ? one->rate : v->rate_authenticated;
        put(t, MAP_TOKENS, arena_printf(a, "s%lld/%s", id, one->hex),
            arena_printf(a, "%llu", (unsigned long long)count_of(rate, period)));
    }
}

void proxy_map_text(const struct proxy_text *t, enum proxy_map map, struct str *out)
{
    for (size_t i = 0; i < t->maps[map].len; i++) {
        sb_printf(out, "%s %s\n", t->maps[map].items[i].key, t->maps[map].items[i].value);
    }
}

/* Shapes */

void proxy_shape_done(struct proxy_shape *s)
{
    vec_done(&s->backends);
    *s = (struct proxy_shape){0};
}

void proxy_shape_copy(struct proxy_shape *to, const struct proxy_shape *from)
{
    struct proxy_shape copy = {0};
    memcpy(copy.all, from->all, sizeof(copy.all));
    memcpy(copy.base, from->base, sizeof(copy.base));
    for (size_t i = 0; i < from->backends.len; i++) {
        *vec_push(&copy.backends) = from->backends.items[i];
    }
    proxy_shape_done(to);
    *to = copy;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct text_backend *)a)->name, ((const struct text_backend *)b)->name);
}

bool proxy_shape_covers(const struct proxy_shape *has, const struct proxy_shape *wanted)
{
    if (strcmp(has->base, wanted->base) != 0) {
        return false;
    }
    for (size_t i = 0, j = 0; i < wanted->backends.len; i++) {
        const struct text_backend *w = &wanted->backends.items[i];
        while (j < has->backends.len && by_name(&has->backends.items[j], w) < 0) {
            j++;
        }
        if (j == has->backends.len || by_name(&has->backends.items[j], w) != 0 ||
            strcmp(has->backends.items[j].shape, w->shape) != 0) {
            return false;
        }
    }
    return true;
}

static void short_digest(const char *data, size_t len, char ret[17])
{
    struct digest d;
    char hex[DIGEST_HEX + 1];
    digest_of(data, len, &d);
    digest_hex(&d, hex);
    memcpy(ret, hex, 16);
    ret[16] = '\0';
}

/* The whole */

void proxy_text_free(struct proxy_text *t)
{
    if (!t) {
        return;
    }
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        vec_done(&t->maps[i]);
    }
    vec_done(&t->servers);
    vec_done(&t->binds);
    proxy_shape_done(&t->shape);
    sb_done(&t->config);
    arena_free(t->arena);
    free(t);
}

static void compose_base(struct str *out, const struct proxy_state *s,
                         const struct proxy_tokens *const *tokens, const struct proxy_place *place,
                         const char *shape)
{
    add_global(out, s, place, shape);
    add_defaults(out);
    for (uint32_t i = 0; i < s->n_services; i++) {
        add_service(out, &s->services[i], tokens[i]);
    }
}

/* Without servers, whose coming and going changes no shape. */
static void find_shape(struct proxy_shape *ret, const struct proxy_state *s,
                       const struct proxy_tokens *const *tokens, const struct proxy_place *place)
{
    CLEANUP(sb_done) struct str text = {0};
    compose_base(&text, s, tokens, place, "");
    short_digest(text.data, text.len, ret->base);
    for (uint32_t i = 0; i < s->n_backends; i++) {
        struct text_backend *b = vec_push(&ret->backends);
        memcpy(b->name, s->backends[i].name, sizeof(b->name));
        sb_clear(&text);
        add_backend(&text, &s->backends[i]);
        short_digest(text.data, text.len, b->shape);
    }
    if (ret->backends.len > 1) {
        qsort(ret->backends.items, ret->backends.len, sizeof(*ret->backends.items), by_name);
    }
    sb_clear(&text);
    sb_puts(&text, ret->base);
    for (size_t i = 0; i < ret->backends.len; i++) {
        sb_printf(&text, " %s %s", ret->backends.items[i].name, ret->backends.items[i].shape);
    }
    short_digest(text.data, text.len, ret->all);
}

static void take_all(struct proxy_text *t, const struct proxy_state *s,
                     const struct proxy_tokens *const *tokens)
{
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct proxy_service *v = &s->services[i];
        take_maps(t, v, tokens[i]);
        *vec_push(&t->binds) = (struct text_bind){arena_strdup(t->arena, v->host), v->port};
    }
    for (uint32_t i = 0; i < s->n_backends; i++) {
        take_servers(t, &s->backends[i]);
    }
    for (int i = 0; i < PROXY_MAP_COUNT; i++) {
        if (t->maps[i].len > 1) {
            qsort(t->maps[i].items, t->maps[i].len, sizeof(*t->maps[i].items), by_key);
        }
    }
}

int proxy_render(const struct proxy_state *s, const struct proxy_tokens *const *tokens,
                 const struct proxy_place *place, struct proxy_text **ret, struct err *err)
{
    int rc = proxy_state_check(s, place, err);
    if (rc < 0) {
        return rc;
    }
    struct proxy_text *t = xcalloc(1, sizeof(*t));
    t->arena = arena_new();
    take_all(t, s, tokens);
    find_shape(&t->shape, s, tokens, place);
    compose_base(&t->config, s, tokens, place, t->shape.all);
    for (uint32_t i = 0; i < s->n_backends; i++) {
        add_backend(&t->config, &s->backends[i]);
        add_servers(&t->config, t, s->backends[i].name);
    }
    *ret = t;
    return 0;
}
