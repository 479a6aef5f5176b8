/* SPDX-License-Identifier: Apache-2.0 */
/* libgit2 by dlopen: starting it takes 7 ms, more than a whole short command. Its structs differ between minor versions, so exactly the version of the headers is
 * opened. It is never closed again. */
#include "base/repo_api.h"

#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* One library per process, and so one table. */
static struct {
    pthread_mutex_t lock;
    bool open;
    struct git_api api;
} git = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int load(struct git_api *api, struct err *err)
{
    void *lib = dlopen("libgit2.so." LIBGIT2_SOVERSION, RTLD_NOW | RTLD_LOCAL);

    if (!lib) {
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "libgit2 " LIBGIT2_SOVERSION
                       ", which is needed to read git repositories, is not installed "
                       "(Debian's package libgit2-" LIBGIT2_SOVERSION "): %s",
                       dlerror());
    }
#define GIT_FIND(name)                                                                             \
    {                                                                                              \
        void *found = dlsym(lib, #name);                                                           \
        if (!found) {                                                                              \
            return err_set(err, ERR_UNSUPPORTED, 0, "the installed libgit2 has no %s()", #name);   \
        }                                                                                          \
        memcpy(&api->name##_, &found, sizeof(found));                                              \
    }
    GIT_FUNCTIONS(GIT_FIND)
#undef GIT_FIND
    int rc = api->git_libgit2_init_();
    return rc < 0 ? git_api_err(api, rc, err, "libgit2 does not start", NULL) : 0;
}

int git_api_open(const struct git_api **ret, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&git.lock);
    if (!git.open) {
        rc = load(&git.api, err);
        git.open = rc == 0;
    }
    if (rc == 0) {
        *ret = &git.api;
    }
    pthread_mutex_unlock(&git.lock);
    return rc;
}

static enum err_code code_of(int rc)
{
    switch (rc) {
    case GIT_ENOTFOUND:
        return ERR_NOT_FOUND;
    case GIT_EAUTH:
    case GIT_ECERTIFICATE:
    case GIT_EOWNER:
        return ERR_DENIED;
    case GIT_EUSER:
        return ERR_CANCELLED;
    default:
        return ERR_NET;
    }
}

int git_api_err(const struct git_api *g, int rc, struct err *err, const char *what,
                const char *name)
{
    const git_error *e = g->git_error_last_();

    return err_set(err, code_of(rc), 0, "%s%s%s%s: %s", what, name ? " '" : "", name ? name : "",
                   name ? "'" : "", e && e->message ? e->message : "libgit2 gives no reason");
}
