/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd by dlopen: it brings a TLS library that no other command needs. Never closed again. */
#include "serve/gateway_mhd.h"

#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* One library per process, and so one table. */
static struct {
    pthread_mutex_t lock;
    bool open;
    struct mhd_api api;
} mhd = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int load(struct mhd_api *api, struct err *err)
{
    void *lib = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);

    if (!lib) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "libmicrohttpd, which the endpoint of an aggregate step needs, is not "
                       "installed (Debian's package libmicrohttpd12): %s",
                       dlerror());
    }
#define MHD_FIND(name)                                                                             \
    {                                                                                              \
        void *found = dlsym(lib, #name);                                                           \
        if (!found) {                                                                              \
            return err_set(err, ERR_UNSUPPORTED, 0,                                                \
                           "the installed libmicrohttpd is too old: no %s()", #name);              \
        }                                                                                          \
        memcpy(&api->name, &found, sizeof(found));                                                 \
    }
    MHD_FUNCTIONS(MHD_FIND)
#undef MHD_FIND
    return 0;
}

int mhd_api_open(const struct mhd_api **ret, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&mhd.lock);
    if (!mhd.open) {
        rc = load(&mhd.api, err);
        mhd.open = rc == 0;
    }
    if (rc == 0) {
        *ret = &mhd.api;
    }
    pthread_mutex_unlock(&mhd.lock);
    return rc;
}
