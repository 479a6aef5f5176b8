/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in HAProxy's files. Every text of a state is held against the letters it may consist of, so that none can end an argument, a line or a command;
 * what does not fit is refused, never mended. Messages show foreign texts with all but plain letters replaced. */
#include "base/err.h"
#include "serve/proxy_impl.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME_LETTERS LETTERS DIGITS "_"
#define SLUG_LETTERS UPPER LETTERS DIGITS "._-"
#define TOKEN_LETTERS UPPER LETTERS DIGITS "!#$%&'*+-.^_`|~" /* RFC 9110, 5.6.2 */
#define FILE_LETTERS UPPER LETTERS DIGITS "/._+=@,~-"
#define PATH_LETTERS UPPER LETTERS DIGITS "/-._~!$&'()*+,;=:@%?" /* RFC 3986 */

enum {
    NAME_MAX_LEN = 31,
    SLUG_MAX_LEN = 64,
    HEADER_MAX_LEN = 128,
    PATH_MAX_LEN = 1024,
    SOCKET_MAX_LEN = 107, /* sun_path */
    RUN_DIR_MAX_LEN = 80, /* leaves room for names and for the suffix of HAProxy's temporary ones */
    RATE_MAX = 1000000000, /* HAProxy counts in 32 bits */
};

/* A text that may be anything, for a message. */
struct shown {
    char text[64];
};
static struct shown show(const char *text)
{
    struct shown r;
    size_t n = 0;
    for (; text && text[n] != '\0' && n < sizeof(r.text) - 1; n++) {
        r.text[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    }
    r.text[n] = '\0';
    return r;
}

static bool made_of(const char *text, const char *letters, size_t max)
{
    size_t len = strlen(text);
    return len > 0 && len <= max && strspn(text, letters) == len;
}

/* A fixed array may lack its NUL. */
static bool is_name(const char text[32])
{
    return memchr(text, '\0', 32) && made_of(text, NAME_LETTERS, NAME_MAX_LEN);
}

static bool is_file(const char *path)
{
    return path[0] == '/' && made_of(path, FILE_LETTERS, SOCKET_MAX_LEN);
}

static const struct proxy_backend *find_backend(const struct proxy_state *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_backends; i++) {
        if (strcmp(s->backends[i].name, name) == 0) {
            return &s->backends[i];
        }
    }
    return NULL;
}

/* Backends */

static int check_server(const struct proxy_backend *b, uint32_t i, struct err *err)
{
    const struct proxy_server *s = &b->servers[i];
    if (s->id == 0 || s->id > INT32_MAX) {
        return err_set(err, ERR_INVALID, 0, "backend %s: a server's id is from 1 to %d", b->name,
                       INT32_MAX);
    }
    for (uint32_t j = 0; j < i; j++) {
        if (b->servers[j].id == s->id) {
            return err_set(err, ERR_INVALID, 0, "backend %s has two servers with the id %u",
                           b->name, s->id);
        }
    }
    if (s->socket && !is_file(s->socket)) {
        return err_set(err, ERR_INVALID, 0,
                       "backend %s: '%s' cannot be a server's socket: an absolute path of at most "
                       "%d plain letters is needed",
                       b->name, show(s->socket).text, SOCKET_MAX_LEN);
    }
    if (!s->socket && s->port == 0) {
        return err_set(err, ERR_INVALID, 0, "backend %s: server %u has no address", b->name, s->id);
    }
    return 0;
}

static int check_backend(const struct proxy_state *s, uint32_t i, struct err *err)
{
    const struct proxy_backend *b = &s->backends[i];
    if (!is_name(b->name)) {
        return err_set(err, ERR_INVALID, 0,
                       "a backend's name consists of at most %d of a-z, 0-9 and _", NAME_MAX_LEN);
    }
    if (find_backend(s, b->name) != b) {
        return err_set(err, ERR_INVALID, 0, "there are two backends %s", b->name);
    }
    if (b->shard_header && !made_of(b->shard_header, TOKEN_LETTERS, HEADER_MAX_LEN)) {
        return err_set(err, ERR_INVALID, 0,
                       "'%s' is not a header's name (letters, digits and !#$%%&'*+-.^_`|~)",
                       show(b->shard_header).text);
    }
    if (b->check_path &&
        (b->check_path[0] != '/' || !made_of(b->check_path, PATH_LETTERS, PATH_MAX_LEN))) {
        return err_set(err, ERR_INVALID, 0,
                       "'%s' is not a path of a URL: it begins with / and has neither blanks nor "
                       "control characters; others are written as %%XX",
                       show(b->check_path).text);
    }
    if (b->balance >= BALANCE_COUNT || b->timeout_ms < 0 || b->timeout_ms > INT32_MAX) {
        return err_set(err, ERR_INVALID, 0, "backend %s: its options are out of range", b->name);
    }
    for (uint32_t j = 0; j < b->n_servers; j++) {
        int rc = check_server(b, j, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Services */

static int check_target(const struct proxy_state *s, int64_t id, const char name[32],
                        struct err *err)
{
    if (!is_name(name) || !find_backend(s, name)) {
        return err_set(err, ERR_INVALID, 0, "service %lld names a backend that is not there",
                       (long long)id);
    }
    return 0;
}

static bool is_address(const char *host)
{
    struct in6_addr any;
    return inet_pton(AF_INET, host, &any) == 1 ||
           (inet_pton(AF_INET6, host, &any) == 1 && !strchr(host, '%'));
}

/* A socket of `::` takes IPv4's callers too. */
static bool same_address(const char *a, const char *b)
{
    struct in6_addr six[2];
    struct in_addr four[2];
    bool is_six[2] = {inet_pton(AF_INET6, a, &six[0]) == 1, inet_pton(AF_INET6, b, &six[1]) == 1};
    if ((is_six[0] && IN6_IS_ADDR_UNSPECIFIED(&six[0])) ||
        (is_six[1] && IN6_IS_ADDR_UNSPECIFIED(&six[1]))) {
        return true;
    }
    if (is_six[0] || is_six[1]) {
        return is_six[0] && is_six[1] && memcmp(&six[0], &six[1], sizeof(six[0])) == 0;
    }
    return inet_pton(AF_INET, a, &four[0]) != 1 || inet_pton(AF_INET, b, &four[1]) != 1 ||
           four[0].s_addr == four[1].s_addr || four[0].s_addr == INADDR_ANY ||
           four[1].s_addr == INADDR_ANY;
}

static int check_address(const struct proxy_state *s, uint32_t i, struct err *err)
{
    const struct proxy_service *a = &s->services[i];
    if (!a->host || !is_address(a->host) || a->port == 0) {
        return err_set(err, ERR_INVALID, 0,
                       "'%s', port %u: HAProxy listens at an IP address and a port, for example "
                       "127.0.0.1:8080 or [::1]:8080",
                       show(a->host).text, a->port);
    }
    for (uint32_t j = 0; j < i; j++) {
        const struct proxy_service *b = &s->services[j];
        if (b->id == a->id) {
            return err_set(err, ERR_INVALID, 0, "there are two services %lld", (long long)a->id);
        }
        if (b->port == a->port && same_address(b->host, a->host)) {
            return err_set(err, ERR_INVALID, 0,
                           "two services want port %u of %s; give one of them another port",
                           a->port, a->host);
        }
    }
    return 0;
}

static int check_routes(const struct proxy_state *s, const struct proxy_service *v, struct err *err)
{
    for (uint32_t i = 0; i < v->n_routes; i++) {
        const char *slug = v->routes[i].slug;
        if (!slug || !made_of(slug, SLUG_LETTERS, SLUG_MAX_LEN)) {
            return err_set(err, ERR_INVALID, 0,
                           "'%s' cannot stand for a model in a URL: at most %d letters, digits, "
                           "'.', '_' and '-'",
                           show(slug).text, SLUG_MAX_LEN);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(slug, v->routes[j].slug) == 0) {
                return err_set(err, ERR_INVALID, 0, "two models of one service are called %s",
                               slug);
            }
        }
        int rc = check_target(s, v->id, v->routes[i].backend, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static bool is_rate(double rate)
{
    return isfinite(rate) && rate >= 0 && rate <= RATE_MAX;
}

static int check_service(const struct proxy_state *s, uint32_t i, struct err *err)
{
    const struct proxy_service *v = &s->services[i];
    if (v->id <= 0) {
        return err_set(err, ERR_INVALID, 0, "a service's id is positive");
    }
    if (!is_rate(v->rate_anonymous) || !is_rate(v->rate_authenticated)) {
        return err_set(err, ERR_INVALID, 0, "a rate is from 0 to %d requests per second", RATE_MAX);
    }
    if (v->activator && !is_file(v->activator)) {
        return err_set(err, ERR_INVALID, 0, "'%s' cannot be a socket's path",
                       show(v->activator).text);
    }
    if (v->canary_percent > 100) {
        return err_set(err, ERR_INVALID, 0, "a canary's share is from 0 to 100 percent");
    }
    int rc = check_address(s, i, err);
    if (rc == 0 && v->backend[0] != '\0') {
        rc = check_target(s, v->id, v->backend, err);
    }
    if (rc == 0 && v->canary[0] != '\0') {
        rc = check_target(s, v->id, v->canary, err);
    }
    return rc < 0 ? rc : check_routes(s, v, err);
}

int proxy_state_check(const struct proxy_state *s, const struct proxy_place *place, struct err *err)
{
    if (place->run_dir[0] != '/' || !made_of(place->run_dir, FILE_LETTERS, RUN_DIR_MAX_LEN)) {
        return err_set(
            err, ERR_INVALID, 0,
            "'%s' cannot be the folder of HAProxy's sockets: an absolute path of at most "
            "%d plain letters is needed; set XDG_RUNTIME_DIR to another",
            show(place->run_dir).text, RUN_DIR_MAX_LEN);
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n_backends; i++) {
        rc = check_backend(s, i, err);
    }
    for (uint32_t i = 0; rc == 0 && i < s->n_services; i++) {
        rc = check_service(s, i, err);
    }
    return rc;
}
