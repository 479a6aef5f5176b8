/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the gateway: libmicrohttpd's functions, found at run time. */
#ifndef WF_SERVE_GATEWAY_MHD_H
#define WF_SERVE_GATEWAY_MHD_H

#include <microhttpd.h>

struct err;

#define MHD_FUNCTIONS(X)                                                                           \
    X(MHD_start_daemon)                                                                            \
    X(MHD_stop_daemon)                                                                             \
    X(MHD_quiesce_daemon)                                                                          \
    X(MHD_run)                                                                                     \
    X(MHD_get_timeout)                                                                             \
    X(MHD_get_daemon_info)                                                                         \
    X(MHD_suspend_connection)                                                                      \
    X(MHD_resume_connection)                                                                       \
    X(MHD_create_response_from_buffer)                                                             \
    X(MHD_add_response_header)                                                                     \
    X(MHD_queue_response)                                                                          \
    X(MHD_destroy_response)                                                                        \
    X(MHD_lookup_connection_value)

/* Members are named like the functions. */
struct mhd_api {
#define MHD_MEMBER(name) __typeof__(name) *name;
    MHD_FUNCTIONS(MHD_MEMBER)
#undef MHD_MEMBER
};

/* Opens the library at the first call; the table lives as long as the process. ERR_UNSUPPORTED: it is not installed. */
int mhd_api_open(const struct mhd_api **ret, struct err *err);

#endif
