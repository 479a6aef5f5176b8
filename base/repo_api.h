/* SPDX-License-Identifier: Apache-2.0 */
/* Inside base/repo: libgit2's functions, found at run time. */
#ifndef WF_BASE_REPO_API_H
#define WF_BASE_REPO_API_H

#include <git2.h>

struct err;

#define GIT_FUNCTIONS(X)                                                                           \
    X(git_libgit2_init)                                                                            \
    X(git_error_last)                                                                              \
    X(git_repository_open_ext)                                                                     \
    X(git_repository_init)                                                                         \
    X(git_repository_free)                                                                         \
    X(git_repository_is_bare)                                                                      \
    X(git_repository_index)                                                                        \
    X(git_repository_odb)                                                                          \
    X(git_index_entrycount)                                                                        \
    X(git_index_free)                                                                              \
    X(git_odb_read_header)                                                                         \
    X(git_odb_free)                                                                                \
    X(git_revparse_single)                                                                         \
    X(git_object_peel)                                                                             \
    X(git_object_id)                                                                               \
    X(git_object_free)                                                                             \
    X(git_oid_tostr)                                                                               \
    X(git_oid_fromstr)                                                                             \
    X(git_commit_lookup)                                                                           \
    X(git_commit_tree)                                                                             \
    X(git_commit_free)                                                                             \
    X(git_tree_id)                                                                                 \
    X(git_tree_lookup)                                                                             \
    X(git_tree_free)                                                                               \
    X(git_tree_walk)                                                                               \
    X(git_tree_entry_bypath)                                                                       \
    X(git_tree_entry_free)                                                                         \
    X(git_tree_entry_id)                                                                           \
    X(git_tree_entry_name)                                                                         \
    X(git_tree_entry_type)                                                                         \
    X(git_tree_entry_filemode)                                                                     \
    X(git_blob_lookup)                                                                             \
    X(git_blob_rawcontent)                                                                         \
    X(git_blob_rawsize)                                                                            \
    X(git_blob_free)                                                                               \
    X(git_remote_create_detached)                                                                  \
    X(git_remote_create_anonymous)                                                                 \
    X(git_remote_init_callbacks)                                                                   \
    X(git_remote_connect)                                                                          \
    X(git_remote_ls)                                                                               \
    X(git_remote_fetch)                                                                            \
    X(git_remote_disconnect)                                                                       \
    X(git_remote_free)                                                                             \
    X(git_fetch_options_init)                                                                      \
    X(git_proxy_options_init)                                                                      \
    X(git_credential_userpass_plaintext_new)                                                       \
    X(git_credential_ssh_key_from_agent)                                                           \
    X(git_credential_ssh_key_new)                                                                  \
    X(git_credential_username_new)                                                                 \
    X(git_status_options_init)                                                                     \
    X(git_status_foreach_ext)

/* Members are named like the functions with _ at the end, as in http_api.h. */
struct git_api {
#define GIT_MEMBER(name) __typeof__(name) *name##_;
    GIT_FUNCTIONS(GIT_MEMBER)
#undef GIT_MEMBER
};

/* Opens the library at the first call; the table lives as long as the process. */
int git_api_open(const struct git_api **ret, struct err *err);
/* Fills err with libgit2's own words for the failure `rc` of this thread's last call. */
int git_api_err(const struct git_api *g, int rc, struct err *err, const char *what,
                const char *name);

#endif
