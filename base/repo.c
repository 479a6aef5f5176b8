/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a repository on this machine: what a revision holds at a path, its files written elsewhere, changes of a work tree. */
#include "base/repo.h"

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/repo_api.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    POINTER_MAX = 1024, /* bytes of a Git LFS pointer, by its specification */
    ATTRIBUTES_MAX = 1 << 20,
};
static const char lfs_head[] = "version https://git-lfs.github.com/spec/";

struct repo {
    const struct git_api *git;
    git_repository *repo;
};

static void repo_close(struct repo *r)
{
    if (r->repo) {
        r->git->git_repository_free_(r->repo);
    }
}

static int repo_open(const char *path, const char *name, struct repo *ret, struct err *err)
{
    int rc = git_api_open(&ret->git, err);

    if (rc != 0) {
        return rc;
    }
    rc = ret->git->git_repository_open_ext_(&ret->repo, path, 0, NULL);
    return rc < 0 ? git_api_err(ret->git, rc, err, "cannot open the git repository", name) : 0;
}

static bool is_root(const char *path)
{
    return !path || *path == '\0' || strcmp(path, ".") == 0;
}

/* --- what a revision holds --- */

static int find_commit(struct repo *r, const char *name, const char *revision, git_oid *ret,
                       struct err *err)
{
    git_object *found = NULL, *commit = NULL;
    int rc = r->git->git_revparse_single_(&found, r->repo, revision);

    if (rc < 0) {
        return err_set(err, ERR_NOT_FOUND, 0, "the git repository '%s' has no '%s'", name,
                       revision);
    }
    rc = r->git->git_object_peel_(&commit, found, GIT_OBJECT_COMMIT);
    r->git->git_object_free_(found);
    if (rc < 0) {
        return err_set(err, ERR_NOT_FOUND, 0, "'%s' in the git repository '%s' is not a commit",
                       revision, name);
    }
    *ret = *r->git->git_object_id_(commit);
    r->git->git_object_free_(commit);
    return 0;
}

static int root_tree(struct repo *r, const char *name, const git_oid *commit, git_tree **ret,
                     struct err *err)
{
    git_commit *c = NULL;
    int rc = r->git->git_commit_lookup_(&c, r->repo, commit);

    rc = rc < 0 ? rc : r->git->git_commit_tree_(ret, c);
    if (c) {
        r->git->git_commit_free_(c);
    }
    return rc < 0 ? git_api_err(r->git, rc, err, "cannot read the git repository", name) : 0;
}

/* --- Git LFS: what the repository holds in place of such a file is a pointer, and no data --- */

struct hunt {
    struct repo *r;
    git_odb *odb;
    const char *path; /* of the tree walked, "": the root */
    bool lfs;         /* some .gitattributes speaks of it */
    struct str pointer;
};

static bool blob_holds(struct repo *r, const git_oid *id, size_t max, const char *word, bool first)
{
    git_blob *blob = NULL;
    bool yes = false;

    if (r->git->git_blob_lookup_(&blob, r->repo, id) < 0) {
        return false;
    }
    size_t len = (size_t)r->git->git_blob_rawsize_(blob), word_len = strlen(word);
    if (len <= max && len >= word_len) {
        const char *text = r->git->git_blob_rawcontent_(blob);
        yes = first ? memcmp(text, word, word_len) == 0 : memmem(text, len, word, word_len) != NULL;
    }
    r->git->git_blob_free_(blob);
    return yes;
}

static bool speaks_of_lfs(struct repo *r, const git_oid *attributes)
{
    return blob_holds(r, attributes, ATTRIBUTES_MAX, "filter=lfs", false);
}

static int on_attributes(const char *root, const git_tree_entry *e, void *arg)
{
    struct hunt *h = arg;
    const struct git_api *g = h->r->git;

    (void)root;
    h->lfs = h->lfs || (g->git_tree_entry_type_(e) == GIT_OBJECT_BLOB &&
                        strcmp(g->git_tree_entry_name_(e), ".gitattributes") == 0 &&
                        speaks_of_lfs(h->r, g->git_tree_entry_id_(e)));
    return h->lfs ? -1 : 0;
}

static bool is_pointer(struct hunt *h, const git_oid *id)
{
    size_t len = 0;
    git_object_t type;

    return h->r->git->git_odb_read_header_(&len, &type, h->odb, id) == 0 && len <= POINTER_MAX &&
           blob_holds(h->r, id, POINTER_MAX, lfs_head, true);
}

static int on_blob(const char *root, const git_tree_entry *e, void *arg)
{
    struct hunt *h = arg;
    const struct git_api *g = h->r->git;

    if (g->git_tree_entry_type_(e) == GIT_OBJECT_BLOB && is_pointer(h, g->git_tree_entry_id_(e))) {
        sb_printf(&h->pointer, "%s%s%s%s", h->path, *h->path ? "/" : "", root,
                  g->git_tree_entry_name_(e));
        return -1;
    }
    return 0;
}

/* The attributes of the folders on the way to the path hold there too. */
static bool lfs_above(struct repo *r, git_tree *root, const char *path)
{
    bool yes = false;

    for (const char *slash = path; !yes && slash; slash = *slash ? strchr(slash + 1, '/') : NULL) {
        CLEANUP(cleanup_free)
        char *at =
            xasprintf("%.*s%s.gitattributes", (int)(slash - path), path, slash == path ? "" : "/");
        git_tree_entry *e = NULL;
        if (r->git->git_tree_entry_bypath_(&e, root, at) == 0) {
            yes = speaks_of_lfs(r, r->git->git_tree_entry_id_(e));
            r->git->git_tree_entry_free_(e);
        }
    }
    return yes;
}

static int refuse_lfs(struct repo *r, git_tree *root, const char *path, const struct repo_found *f,
                      const char *name, struct err *err)
{
    struct hunt h = {.r = r, .path = path};
    git_tree *tree = NULL;
    git_oid id;

    h.lfs = lfs_above(r, root, path);
    r->git->git_oid_fromstr_(&id, f->id);
    if (r->git->git_repository_odb_(&h.odb, r->repo) < 0) {
        return err_set(err, ERR_IO, 0, "cannot read the git repository '%s'", name);
    }
    if (f->kind == 'd' && r->git->git_tree_lookup_(&tree, r->repo, &id) == 0) {
        if (!h.lfs) {
            r->git->git_tree_walk_(tree, GIT_TREEWALK_PRE, on_attributes, &h);
        }
        if (h.lfs) {
            r->git->git_tree_walk_(tree, GIT_TREEWALK_PRE, on_blob, &h);
        }
        r->git->git_tree_free_(tree);
    } else if (h.lfs && is_pointer(&h, &id)) {
        sb_puts(&h.pointer, path);
    }
    r->git->git_odb_free_(h.odb);
    int rc = h.pointer.len == 0
                 ? 0
                 : err_set(err, ERR_UNSUPPORTED, 0,
                           "'%s' in the git repository '%s' is kept by Git LFS, which is not "
                           "fetched: name a path without such files, or fetch it by a step's own "
                           "`git lfs pull`",
                           sb_text(&h.pointer), name);
    sb_done(&h.pointer);
    return rc;
}

static int find_path(struct repo *r, git_tree *root, const char *path, struct repo_found *ret)
{
    git_tree_entry *e = NULL;
    git_object_t type;

    if (is_root(path)) {
        ret->kind = 'd';
        r->git->git_oid_tostr_(ret->id, sizeof(ret->id), r->git->git_tree_id_(root));
        return 0;
    }
    if (r->git->git_tree_entry_bypath_(&e, root, path) < 0) {
        return -1;
    }
    type = r->git->git_tree_entry_type_(e);
    ret->kind = type == GIT_OBJECT_TREE ? 'd' : 'f';
    ret->exec = r->git->git_tree_entry_filemode_(e) == GIT_FILEMODE_BLOB_EXECUTABLE;
    r->git->git_oid_tostr_(ret->id, sizeof(ret->id), r->git->git_tree_entry_id_(e));
    bool fine =
        type == GIT_OBJECT_TREE ||
        (type == GIT_OBJECT_BLOB && r->git->git_tree_entry_filemode_(e) != GIT_FILEMODE_LINK);
    r->git->git_tree_entry_free_(e);
    return fine ? 0 : -1;
}

int repo_find(const char *repo, const char *name, const char *revision, const char *path,
              struct repo_found *ret, struct err *err)
{
    CLEANUP(repo_close) struct repo r = {0};
    CLEANUP(sb_done) struct str clean = {0};
    struct repo_found found = {0};
    git_tree *root = NULL;
    git_oid commit;

    if (!is_root(path) && !fs_clean_relative(path, &clean)) {
        return err_set(err, ERR_INVALID, 0, "'%s' is no path in a git repository", path);
    }
    int rc = repo_open(repo, name, &r, err);
    rc = rc < 0 ? rc : find_commit(&r, name, revision, &commit, err);
    rc = rc < 0 ? rc : root_tree(&r, name, &commit, &root, err);
    if (rc < 0) {
        return rc;
    }
    r.git->git_oid_tostr_(found.commit, sizeof(found.commit), &commit);
    if (find_path(&r, root, sb_text(&clean), &found) < 0) {
        rc = err_set(err, ERR_NOT_FOUND, 0,
                     "the git repository '%s' has no file or folder '%s' at %.10s", name, path,
                     found.commit);
    } else {
        rc = refuse_lfs(&r, root, sb_text(&clean), &found, name, err);
    }
    r.git->git_tree_free_(root);
    if (rc == 0) {
        *ret = found;
    }
    return rc;
}

/* --- writing files --- */

struct write_out {
    struct repo *r;
    const char *to;
    struct err *err;
    int rc;
};

/* Each name is new: what is there already came from an entry of the same name, and a link among them could lead out. */
static int write_blob(struct repo *r, const git_oid *id, bool exec, const char *to, struct err *err)
{
    git_blob *blob = NULL;
    int rc = r->git->git_blob_lookup_(&blob, r->repo, id);

    if (rc < 0) {
        return git_api_err(r->git, rc, err, "cannot read a file of the git repository", NULL);
    }
    CLEANUP(cleanup_close)
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, exec ? 0755 : 0644);
    rc = fd < 0 ? err_set(err, ERR_IO, errno, "cannot write '%s'", to)
                : fs_write_all(fd, r->git->git_blob_rawcontent_(blob),
                               (size_t)r->git->git_blob_rawsize_(blob), err);
    r->git->git_blob_free_(blob);
    return rc;
}

static int write_link(struct repo *r, const git_oid *id, const char *to, struct err *err)
{
    git_blob *blob = NULL;
    int rc = r->git->git_blob_lookup_(&blob, r->repo, id);

    if (rc < 0) {
        return git_api_err(r->git, rc, err, "cannot read a link of the git repository", NULL);
    }
    CLEANUP(cleanup_free)
    char *text =
        xstrndup(r->git->git_blob_rawcontent_(blob), (size_t)r->git->git_blob_rawsize_(blob));
    r->git->git_blob_free_(blob);
    return symlink(text, to) == 0 ? 0
                                  : err_set(err, ERR_IO, errno, "cannot make the link '%s'", to);
}

static int on_entry(const char *root, const git_tree_entry *e, void *arg)
{
    struct write_out *w = arg;
    const struct git_api *g = w->r->git;
    const char *name = g->git_tree_entry_name_(e);
    CLEANUP(cleanup_free) char *to = xasprintf("%s/%s%s", w->to, root, name);
    const git_oid *id = g->git_tree_entry_id_(e);
    git_filemode_t mode = g->git_tree_entry_filemode_(e);

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/') ||
        strcasecmp(name, ".git") == 0) {
        w->rc = err_set(w->err, ERR_INVALID, 0, "the git repository holds a file named '%s%s'",
                        root, name);
    } else if (mode == GIT_FILEMODE_TREE || mode == GIT_FILEMODE_COMMIT) {
        w->rc = mkdir(to, 0755) == 0
                    ? 0
                    : err_set(w->err, ERR_IO, errno, "cannot make the folder '%s'", to);
    } else if (mode == GIT_FILEMODE_LINK) {
        w->rc = write_link(w->r, id, to, w->err);
    } else {
        w->rc = write_blob(w->r, id, mode == GIT_FILEMODE_BLOB_EXECUTABLE, to, w->err);
    }
    return w->rc < 0 ? -1 : 0;
}

int repo_check_out(const char *repo, const struct repo_found *f, const char *to, struct err *err)
{
    CLEANUP(repo_close) struct repo r = {0};
    struct write_out w = {.r = &r, .to = to, .err = err};
    git_tree *tree = NULL;
    git_oid id;

    int rc = repo_open(repo, repo, &r, err);
    if (rc < 0) {
        return rc;
    }
    r.git->git_oid_fromstr_(&id, f->id);
    if (f->kind == 'f') {
        return write_blob(&r, &id, f->exec, to, err);
    }
    rc = r.git->git_tree_lookup_(&tree, r.repo, &id);
    if (rc < 0) {
        return git_api_err(r.git, rc, err, "cannot read a folder of the git repository", repo);
    }
    if (mkdir(to, 0755) != 0) {
        w.rc = err_set(err, ERR_IO, errno, "cannot make the folder '%s'", to);
    } else {
        rc = r.git->git_tree_walk_(tree, GIT_TREEWALK_PRE, on_entry, &w);
        if (rc < 0 && w.rc == 0) {
            w.rc = git_api_err(r.git, rc, err, "cannot read a folder of the git repository", repo);
        }
    }
    r.git->git_tree_free_(tree);
    return w.rc;
}

/* --- a work tree --- */

/* What no manifest of a folder holds either (cache/manifest.h), and git only ignores. */
static bool left_out(const char *path)
{
    CLEANUP(cleanup_free) char *whole = xasprintf("/%s/", path);

    return strstr(whole, "/__pycache__/") || strstr(whole, "/.ipynb_checkpoints/");
}

static int on_change(const char *path, unsigned flags, void *arg)
{
    if ((flags & GIT_STATUS_IGNORED) && left_out(path)) {
        return 0;
    }
    *(bool *)arg = true;
    return 1; /* one is enough */
}

char *repo_path_in(const char *path)
{
    CLEANUP(cleanup_free) char *real = fs_real(path, NULL);
    struct stat st;

    for (size_t len = real ? strlen(real) : 0; len > 0;) {
        CLEANUP(cleanup_free) char *git = xasprintf("%.*s/.git", (int)len, real);
        if (stat(git, &st) == 0) {
            return xstrdup(real[len] == '/' ? real + len + 1 : "");
        }
        while (len > 0 && real[--len] != '/') {
        }
    }
    return NULL;
}

static int too_many(struct repo *r, size_t max_files)
{
    git_index *index = NULL;

    if (r->git->git_repository_index_(&index, r->repo) < 0) {
        return 1;
    }
    size_t count = r->git->git_index_entrycount_(index);
    r->git->git_index_free_(index);
    return count > max_files;
}

static int compare(const char *path, size_t max_files, unsigned flags, bool *ret, struct err *err)
{
    CLEANUP(repo_close) struct repo r = {0};
    CLEANUP(cleanup_free) char *below = repo_path_in(path);
    char *paths[] = {below};
    git_status_options o;
    bool dirty = false;

    if (!below) {
        return 1;
    }
    int rc = repo_open(path, path, &r, err);
    if (rc < 0) {
        return rc;
    }
    if (r.git->git_repository_is_bare_(r.repo) || too_many(&r, max_files)) {
        return 1;
    }
    r.git->git_status_options_init_(&o, GIT_STATUS_OPTIONS_VERSION);
    o.show = GIT_STATUS_SHOW_INDEX_AND_WORKDIR;
    o.flags = GIT_STATUS_OPT_DISABLE_PATHSPEC_MATCH | flags;
    if (*below) {
        o.pathspec = (git_strarray){paths, 1};
    }
    rc = r.git->git_status_foreach_ext_(r.repo, &o, on_change, &dirty);
    if (rc < 0 && !dirty) {
        return git_api_err(r.git, rc, err, "cannot compare the work tree with its commit", path);
    }
    *ret = dirty;
    return 0;
}

int repo_dirty(const char *path, size_t max_files, bool *ret, struct err *err)
{
    return compare(path, max_files, GIT_STATUS_OPT_EXCLUDE_SUBMODULES, ret, err);
}

int repo_changed(const char *path, bool *ret, struct err *err)
{
    return compare(path, SIZE_MAX,
                   GIT_STATUS_OPT_INCLUDE_UNTRACKED | GIT_STATUS_OPT_INCLUDE_IGNORED, ret, err);
}

const char *repo_library_version(void)
{
    return LIBGIT2_VERSION;
}
