/* SPDX-License-Identifier: Apache-2.0 */
/* Asking repositories elsewhere, and bringing a commit of theirs here. */
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/repo.h"
#include "base/repo_api.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session {
    const struct git_api *git;
    const struct repo_remote *r;
    int asked; /* how often the server wanted to know who we are */
};

/* --- who we are --- */

static int ssh_key(struct session *s, git_credential **ret, const char *user)
{
    static const char *const names[] = {"id_ed25519", "id_ecdsa", "id_rsa"};
    const char *home = getenv("HOME");
    size_t at = (size_t)s->asked - 2;

    if (s->asked == 1) {
        return s->git->git_credential_ssh_key_from_agent_(ret, user);
    }
    for (size_t i = at; home && i < ARRAY_LEN(names); i++) {
        CLEANUP(cleanup_free) char *key = xasprintf("%s/.ssh/%s", home, names[i]);
        if (access(key, R_OK) == 0) {
            s->asked = (int)i + 2;
            return s->git->git_credential_ssh_key_new_(ret, user, NULL, key, NULL);
        }
    }
    return GIT_EAUTH;
}

/* Called again after each refusal: what was tried is not tried twice. */
static int on_credentials(git_credential **ret, const char *url, const char *user_in_url,
                          unsigned allowed, void *arg)
{
    struct session *s = arg;
    const char *user = s->r->user ? s->r->user : user_in_url;

    (void)url;
    if (allowed & GIT_CREDENTIAL_USERNAME) {
        return s->git->git_credential_username_new_(ret, user ? user : "git");
    }
    s->asked++;
    if (allowed & GIT_CREDENTIAL_SSH_KEY) {
        return ssh_key(s, ret, user ? user : "git");
    }
    if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) && s->r->password && s->asked == 1) {
        return s->git->git_credential_userpass_plaintext_new_(ret, user ? user : "git",
                                                              s->r->password);
    }
    return GIT_EAUTH;
}

static int go_on(struct session *s)
{
    return !s->r->go_on || s->r->go_on(s->r->arg) ? 0 : GIT_EUSER;
}

static int on_progress(const git_indexer_progress *p, void *arg)
{
    (void)p;
    return go_on(arg);
}

static int on_words(const char *text, int len, void *arg)
{
    (void)text;
    (void)len;
    return go_on(arg);
}

static void set_callbacks(struct session *s, git_remote_callbacks *c)
{
    s->git->git_remote_init_callbacks_(c, GIT_REMOTE_CALLBACKS_VERSION);
    c->credentials = on_credentials;
    c->transfer_progress = on_progress;
    c->sideband_progress = on_words;
    c->payload = s;
}

static int failed(struct session *s, int rc, struct err *err)
{
    const git_error *e = s->git->git_error_last_();

    if (rc == GIT_EAUTH) {
        return err_set(err, ERR_DENIED, 0,
                       "the git repository '%s' wants to know who asks: hand a token to the step "
                       "as the secret SOURCE_TOKEN, or for ssh load a key into the agent",
                       s->r->name);
    }
    if (rc == GIT_EUSER) {
        return err_set(err, ERR_CANCELLED, 0, "fetching '%s' was broken off", s->r->name);
    }
    return git_api_err(s->git, e ? rc : GIT_ERROR, err, "cannot fetch the git repository",
                       s->r->name);
}

/* --- what a ref names --- */

static bool whole_id(const char *text)
{
    return text && strlen(text) == REPO_ID_LEN && strspn(text, "0123456789abcdef") == REPO_ID_LEN;
}

/* How well an advertised name suits the ref asked for; 0: not. As git has it, `name^{}` is the commit behind an annotated tag. */
static int suits(const char *name, const char *ref)
{
    static const char *const heads[] = {"", "refs/heads/", "refs/tags/", "refs/"};

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        size_t len = strlen(heads[i]);
        if (strncmp(name, heads[i], len) == 0 && text_starts(name + len, ref)) {
            const char *rest = name + len + strlen(ref);
            int rank = 2 * (int)(ARRAY_LEN(heads) - i);
            if (*rest == '\0' || strcmp(rest, "^{}") == 0) {
                return rank + (*rest != '\0');
            }
        }
    }
    return 0;
}

static int connect_remote(struct session *s, git_remote *remote, struct err *err)
{
    git_remote_callbacks callbacks;
    git_proxy_options proxy;

    set_callbacks(s, &callbacks);
    s->git->git_proxy_options_init_(&proxy, GIT_PROXY_OPTIONS_VERSION);
    proxy.type = GIT_PROXY_AUTO;
    s->asked = 0;
    int rc = s->git->git_remote_connect_(remote, GIT_DIRECTION_FETCH, &callbacks, &proxy, NULL);
    return rc < 0 ? failed(s, rc, err) : 0;
}

/* ret_name: the full name of the ref, owned by the caller; NULL where it is not wanted. */
static int find_ref(struct session *s, git_remote *remote, char ret[REPO_ID_LEN + 1],
                    char **ret_name, struct err *err)
{
    const char *ref = s->r->ref && *s->r->ref ? s->r->ref : "HEAD";
    const git_remote_head **heads = NULL, *best = NULL;
    size_t n = 0;
    int best_rank = 0, rc = s->git->git_remote_ls_(&heads, &n, remote);

    if (rc < 0) {
        return failed(s, rc, err);
    }
    for (size_t i = 0; i < n; i++) {
        int rank = suits(heads[i]->name, ref);
        if (rank > best_rank) {
            best_rank = rank;
            best = heads[i];
        }
    }
    if (!best) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "the git repository '%s' has no branch or tag '%s' (a commit needs its "
                       "whole id)",
                       s->r->name, ref);
    }
    s->git->git_oid_tostr_(ret, REPO_ID_LEN + 1, &best->oid);
    if (ret_name) {
        *ret_name = xstrndup(best->name, strcspn(best->name, "^"));
    }
    return 0;
}

int repo_ask(const struct repo_remote *r, char ret_commit[REPO_ID_LEN + 1], struct err *err)
{
    struct session s = {.r = r};
    git_remote *remote = NULL;

    if (whole_id(r->ref)) {
        memcpy(ret_commit, r->ref, REPO_ID_LEN + 1);
        return 0;
    }
    int rc = git_api_open(&s.git, err);
    if (rc < 0) {
        return rc;
    }
    rc = s.git->git_remote_create_detached_(&remote, r->url);
    if (rc < 0) {
        return failed(&s, rc, err);
    }
    rc = connect_remote(&s, remote, err);
    rc = rc < 0 ? rc : find_ref(&s, remote, ret_commit, NULL, err);
    s.git->git_remote_disconnect_(remote);
    s.git->git_remote_free_(remote);
    return rc;
}

/* --- bringing it here --- */

static bool has_commit(struct session *s, git_repository *repo, const char *commit)
{
    git_commit *c = NULL;
    git_tree *tree = NULL;
    git_oid id;

    if (s->git->git_oid_fromstr_(&id, commit) < 0 ||
        s->git->git_commit_lookup_(&c, repo, &id) < 0) {
        return false;
    }
    bool yes = s->git->git_commit_tree_(&tree, c) == 0;
    if (yes) {
        s->git->git_tree_free_(tree);
    }
    s->git->git_commit_free_(c);
    return yes;
}

static int fetch_refs(struct session *s, git_repository *repo, char **specs, size_t n,
                      struct err *err)
{
    git_remote *remote = NULL;
    git_fetch_options o;
    git_strarray list = {specs, n};
    int rc = s->git->git_remote_create_anonymous_(&remote, repo, s->r->url);

    if (rc < 0) {
        return failed(s, rc, err);
    }
    s->git->git_fetch_options_init_(&o, GIT_FETCH_OPTIONS_VERSION);
    set_callbacks(s, &o.callbacks);
    o.proxy_opts.type = GIT_PROXY_AUTO;
    o.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    o.update_fetchhead = 0;
#if LIBGIT2_VER_MAJOR > 1 || (LIBGIT2_VER_MAJOR == 1 && LIBGIT2_VER_MINOR >= 7)
    if (!text_starts(s->r->url, "file://")) {
        o.depth = 1;
    }
#endif
    s->asked = 0;
    rc = s->git->git_remote_fetch_(remote, &list, &o, NULL);
    s->git->git_remote_free_(remote);
    return rc < 0 ? failed(s, rc, err) : 0;
}

/* The one ref first; a commit that no ref names any more is asked for by its id, which not every server grants; then everything. */
static int fetch_commit(struct session *s, git_repository *repo, const char *commit,
                        struct err *err)
{
    const char *ref = s->r->ref && *s->r->ref ? s->r->ref : "HEAD";
    char at[REPO_ID_LEN + 1];
    CLEANUP(cleanup_free) char *name = NULL;
    CLEANUP(cleanup_free) char *one = NULL;
    CLEANUP(cleanup_free) char *exact = xasprintf("+%s:refs/wf/%s", commit, commit);
    char branches[] = "+refs/heads/*:refs/wf/heads/*", tags[] = "+refs/tags/*:refs/wf/tags/*";
    char *all[] = {branches, tags};
    int rc = 0;

    if (!whole_id(ref)) {
        git_remote *remote = NULL;
        rc = s->git->git_remote_create_anonymous_(&remote, repo, s->r->url);
        rc = rc < 0 ? failed(s, rc, err) : connect_remote(s, remote, err);
        rc = rc < 0 ? rc : find_ref(s, remote, at, &name, err);
        s->git->git_remote_free_(remote);
        if (rc < 0) {
            return rc;
        }
        one = xasprintf("+%s:refs/wf/one",
                        name); /* always the same: no name can stand in the way of another */
        rc = fetch_refs(s, repo, &one, 1, err);
    }
    if (rc == 0 && !has_commit(s, repo, commit)) {
        (void)fetch_refs(s, repo, &exact, 1, NULL);
    }
    if (rc == 0 && !has_commit(s, repo, commit)) {
        rc = go_on(s) < 0 ? failed(s, GIT_EUSER, err)
                          : fetch_refs(s, repo, all, ARRAY_LEN(all), err);
    }
    if (rc == 0 && !has_commit(s, repo, commit)) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "the git repository '%s' has no commit %s", s->r->name,
                     commit);
    }
    return rc;
}

int repo_fetch(const struct repo_remote *r, const char *commit, const char *mirror, struct err *err)
{
    struct session s = {.r = r};
    git_repository *repo = NULL;
    int rc = git_api_open(&s.git, err);

    if (rc < 0) {
        return rc;
    }
    if (s.git->git_repository_open_ext_(&repo, mirror, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0) {
        /* Not there, or left half made by a wf that was killed. */
        rc = fs_remove_tree(mirror, err);
        rc = rc < 0 ? rc : s.git->git_repository_init_(&repo, mirror, 1);
        if (rc < 0 || !repo) {
            return rc < 0 ? failed(&s, rc, err) : rc;
        }
    }
    if (!has_commit(&s, repo, commit)) {
        rc = fetch_commit(&s, repo, commit, err);
    }
    s.git->git_repository_free_(repo);
    return rc;
}
