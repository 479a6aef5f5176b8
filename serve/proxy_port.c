/* SPDX-License-Identifier: Apache-2.0 */
/* Is an address free? Bound as HAProxy would, and let go. HAProxy's own failure would pause what it serves for a second, and not say who. */
#include "base/err.h"
#include "base/mem.h"
#include "serve/proxy_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t address(const char *host, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(ret, &v4, sizeof(v4));
        return sizeof(v4);
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(ret, &v6, sizeof(v6));
        return sizeof(v6);
    }
    return 0;
}

static int try_bind(const char *host, uint16_t port)
{
    struct sockaddr_storage at;
    socklen_t len = address(host, port, &at);
    if (len == 0) {
        return EINVAL;
    }
    CLEANUP(cleanup_close) int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0) {
        return errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&at, len) < 0 ? errno : 0;
}

int proxy_port_try(const char *host, uint16_t port, struct err *err)
{
    char at[128];
    (void)snprintf(at, sizeof(at), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    int sys = try_bind(host, port);
    switch (sys) {
    case 0:
        return 0;
    case EADDRINUSE:
        return err_set(err, ERR_BUSY, 0,
                       "%s is taken by another program; end that program, or give `listen` another "
                       "port",
                       at);
    case EADDRNOTAVAIL:
        return err_set(err, ERR_INVALID, 0, "%s is not an address of this machine", at);
    case EACCES:
        return err_set(err, ERR_DENIED, 0,
                       "%s may not be listened at: ports below 1024 need privileges; give `listen` "
                       "another port",
                       at);
    default:
        return err_set(err, ERR_NET, sys, "cannot listen at %s", at);
    }
}
