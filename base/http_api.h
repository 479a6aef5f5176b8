/* SPDX-License-Identifier: Apache-2.0 */
/* Inside base/http: libcurl's functions, found at run time. */
#ifndef WF_BASE_HTTP_API_H
#define WF_BASE_HTTP_API_H

#include <curl/curl.h>

struct err;

#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_global_init)                                                                            \
    X(curl_version_info)                                                                           \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_easy_init)                                                                              \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_easy_cleanup)                                                                           \
    X(curl_multi_init)                                                                             \
    X(curl_multi_setopt)                                                                           \
    X(curl_multi_add_handle)                                                                       \
    X(curl_multi_remove_handle)                                                                    \
    X(curl_multi_socket_action)                                                                    \
    X(curl_multi_info_read)                                                                        \
    X(curl_multi_assign)                                                                           \
    X(curl_multi_cleanup)

/* Members are named like the functions with _ at the end (curl.h has macros by the plain names). */
struct curl_api {
#define CURL_MEMBER(name) __typeof__(name) *name##_;
    CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

/* Opens the library at the first call; the table lives as long as the process. */
int curl_api_open(const struct curl_api **ret, struct err *err);

#endif
