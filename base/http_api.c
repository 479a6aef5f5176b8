/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl by dlopen: starting it costs more than the rest of a short command. It is never closed
 * again, for the TLS library in it leaves handlers behind. */
#include "base/http_api.h"

#include "base/err.h"
#include "base/http.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* One library per process, and so one table. */
static struct {
    pthread_mutex_t lock;
    bool open;
    struct curl_api api;
} curl = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int load(struct curl_api *api, struct err *err)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    void *lib = dlopen(names[0], RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        lib = dlopen(names[1], RTLD_NOW | RTLD_LOCAL);
    }
    if (!lib) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "libcurl, which is needed for network access, is not installed (Debian's "
                       "package libcurl4): %s",
                       dlerror());
    }
#define CURL_FIND(name)                                                                            \
    {                                                                                              \
        void *found = dlsym(lib, #name);                                                           \
        if (!found) {                                                                              \
            return err_set(err, ERR_UNSUPPORTED, 0, "the installed libcurl is too old: no %s()",   \
                           #name);                                                                 \
        }                                                                                          \
        memcpy(&api->name##_, &found, sizeof(found));                                              \
    }
    CURL_FUNCTIONS(CURL_FIND)
#undef CURL_FIND
    /* From 7.85 on the allowed protocols are named as text; also, what is older has known holes. */
    const curl_version_info_data *version = api->curl_version_info_(CURLVERSION_NOW);
    if (version->version_num < 0x075500) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "the installed libcurl %s is too old: 7.85 or newer is needed",
                       version->version);
    }
    CURLcode rc = api->curl_global_init_(CURL_GLOBAL_DEFAULT);
    if (rc != CURLE_OK) {
        return err_set(err, ERR_UNSUPPORTED, 0, "libcurl does not start: %s",
                       api->curl_easy_strerror_(rc));
    }
    return 0;
}

int curl_api_open(const struct curl_api **ret, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&curl.lock);
    if (!curl.open) {
        rc = load(&curl.api, err);
        curl.open = rc == 0;
    }
    if (rc == 0) {
        *ret = &curl.api;
    }
    pthread_mutex_unlock(&curl.lock);
    return rc;
}

const char *http_library_version(void)
{
    pthread_mutex_lock(&curl.lock);
    const char *version = curl.open ? curl.api.curl_version_info_(CURLVERSION_NOW)->version : "";
    pthread_mutex_unlock(&curl.lock);
    return version;
}
