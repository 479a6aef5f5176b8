/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive by dlopen: it brings six compressors along, which no other command needs. */
#include "cache/archive_api.h"

#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* One library per process, and so one table. */
static struct {
    pthread_mutex_t lock;
    bool open;
    struct archive_api api;
} library = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int load(struct archive_api *api, struct err *err)
{
    void *lib = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);

    if (!lib) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "libarchive, which is needed for export and import, is not installed "
                       "(Debian's package libarchive13): %s",
                       dlerror());
    }
#define ARCHIVE_FIND(name)                                                                         \
    {                                                                                              \
        void *found = dlsym(lib, #name);                                                           \
        if (!found) {                                                                              \
            return err_set(err, ERR_UNSUPPORTED, 0,                                                \
                           "the installed libarchive is too old: no %s()", #name);                 \
        }                                                                                          \
        memcpy(&api->name##_, &found, sizeof(found));                                              \
    }
    ARCHIVE_FUNCTIONS(ARCHIVE_FIND)
#undef ARCHIVE_FIND
    return 0;
}

int archive_api_open(const struct archive_api **ret, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&library.lock);
    if (!library.open) {
        rc = load(&library.api, err);
        library.open = rc == 0;
    }
    if (rc == 0) {
        *ret = &library.api;
    }
    pthread_mutex_unlock(&library.lock);
    return rc;
}
