/* SPDX-License-Identifier: Apache-2.0 */
/* Where the supervisor keeps things. Sockets' names are at most 107 bytes long, so they lie in a short folder of their own, 0700; all else is below the store's serve/. */
#ifndef WF_SERVE_FOLDER_H
#define WF_SERVE_FOLDER_H

struct err;
struct store;

#define SERVE_LOCK "serve.lock" /* below live/: held by the supervisor; says where its socket is */

/* Makes $XDG_RUNTIME_DIR/wf-XXXXXXXX, else /tmp/wf-UID-XXXXXXXX (XXXXXXXX: the end of the store's id), or takes the one that is there if nobody else can write to it. *ret is owned by the caller. */
int run_folder_make(const struct store *s, char **ret, struct err *err);
/* serve/NAME below the store; its folder exists afterwards. Owned by the caller; NULL + err. */
char *serve_folder_make(const struct store *s, const char *name, struct err *err);
/* A folder for one replica's socket that a process of any user may make one in, inside our private one: whatever its umask is, we may connect. */
int socket_folder_make(const char *path, struct err *err);

#endif
