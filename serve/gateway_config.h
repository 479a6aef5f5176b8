/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: its configuration, read and checked. */
#ifndef WF_SERVE_GATEWAY_CONFIG_H
#define WF_SERVE_GATEWAY_CONFIG_H

#include "serve/gateway.h"

struct arena;
struct err;

#define GATEWAY_MAX_BODY (UINT64_C(64) << 20)
#define GATEWAY_TIMEOUT_MS INT64_C(30000)
/* Defaults are filled in. Everything lives in `a`. ERR_INVALID names the file and what is wrong in it. */
int gateway_read(const char *path, struct arena *a, struct gateway_config *ret, struct err *err);

#endif
