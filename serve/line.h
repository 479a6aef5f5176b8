/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a unix stream socket that carries lines of JSON, on the loop. */
#ifndef WF_SERVE_LINE_H
#define WF_SERVE_LINE_H

#include <stddef.h>

struct line;
struct loop;
struct str;

struct line_calls {
    /* Either may free the line. `text` has no newline; borrowed for the call. */
    void (*on_text)(const char *text, size_t len, void *arg);
    void (*on_end)(
        void *arg); /* the other end is gone, or talks nonsense; nothing follows but line_free() */
    void *arg;
};
/* Takes fd over (non-blocking from now on). */
struct line *line_new(struct loop *l, int fd, const struct line_calls *calls);
/* Sends text and a newline; what does not fit waits. Too much of that ends the line (from the loop). */
void line_send(struct line *n, const char *text, size_t len);
void line_free(struct line *n);

/* Connects to a unix socket; the fd, or -1 with errno. Blocks for a moment at most. */
int unix_connect(const char *path);
/* Listens at a new path, 0600; the fd, or -1 with errno. */
int unix_listen(const char *path);

#endif
