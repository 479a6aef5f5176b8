/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that never returns NULL (out of memory aborts with a message: being killed anywhere is a tested path),
 * and clean-up by scope. */
#ifndef WF_BASE_MEM_H
#define WF_BASE_MEM_H

#include <stddef.h>
#include <stdio.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size); /* checks the product */
void *xrealloc(void *ptr, size_t size);
void *xreallocarray(void *ptr, size_t count, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
void *xmemdup(const void *data, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* CLEANUP(fn) T x: calls fn(&x) at the end of the scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
void cleanup_free(void *pp); /* char *p: free */
void cleanup_close(int *fd); /* int fd: close when >= 0 */
void cleanup_file(FILE **f);
/* Hands a pointer (an fd) over: returns it and leaves NULL (-1). */
void *take_ptr_(void *pp);
#define take_ptr(p) ((__typeof__(p))take_ptr_(&(p)))
int take_fd(int *fd);

#endif
