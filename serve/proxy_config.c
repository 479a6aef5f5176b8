/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of HAProxy's configuration. Pure. The names are the caller's backends ([a-z0-9_]) and
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

/* The shortest period in which `rate` is a whole number of requests, but for half a percent. */
static uint32_t period_of(double rate)
{
    static const uint32_t periods[] = {1, 10, 60, 600, 3600};
    for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
        double n = rate * periods[i];
        if (rate <= 0 || (n >= 1 && fabs(round(n) - n) <= n * 0.005)) {
            return periods[i];
        }
    }
    return rate * 3600 >= 1 ? 3600 : 24 * 3600;
}

/* 0 only for no limit. */
uint64_t proxy_count_of(double rate, uint32_t period_s)
{
    double n = rate * period_s;
    return rate <= 0 ? 0 : n < 1 ? 1 : (uint64_t)llround(n);
}

uint32_t proxy_callers_period(const struct proxy_service *v, const struct proxy_tokens *tokens)
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
        (unsigned long long)proxy_count_of(v->rate_anonymous, period_of(v->rate_anonymous)), who);
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
        uint32_t period = proxy_callers_period(v, tokens);
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

void proxy_add_server_options(struct str *out, const struct proxy_backend *b)
{
    sb_puts(out, "check inter 1s fastinter 100ms downinter 200ms fall 3 rise 1 weight 100 "
                 "observe layer4 error-limit 1 on-error fastinter");
    if (b->maxconn > 0) {
        sb_printf(out, " maxconn %u", b->maxconn);
    }
}

/* All but its servers. */
void proxy_add_backend(struct str *out, const struct proxy_backend *b)
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
    proxy_add_server_options(out, b);
    sb_putc(out, '\n');
}

void proxy_add_base(struct str *out, const struct proxy_state *s,
                    const struct proxy_tokens *const *tokens, const struct proxy_place *place,
                    const char *shape)
{
    add_global(out, s, place, shape);
    add_defaults(out);
    for (uint32_t i = 0; i < s->n_services; i++) {
        add_service(out, &s->services[i], tokens[i]);
    }
}
