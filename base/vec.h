/* SPDX-License-Identifier: Apache-2.0 */
/* A growable array of any type: `struct { T *items; size_t len, cap; }` in the owner, these macros on it.
 *   VEC(struct thing) things = {0}; *vec_push(&things) = (struct thing){…}; vec_done(&things); */
#ifndef WF_BASE_VEC_H
#define WF_BASE_VEC_H

#include <stddef.h>

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *items;                                                                                  \
        size_t len, cap;                                                                           \
    }
/* Makes room for one more and yields a pointer to it (not cleared). */
#define vec_push(v)                                                                                \
    ((v)->len == (v)->cap ? (vec_grow((void **)&(v)->items, &(v)->cap, sizeof(*(v)->items)),       \
                             &(v)->items[(v)->len++])                                              \
                          : &(v)->items[(v)->len++])
#define vec_done(v) (vec_free((void **)&(v)->items, &(v)->len, &(v)->cap))
#define vec_clear(v) ((void)((v)->len = 0))

void vec_grow(void **items, size_t *cap, size_t item_size);
void vec_free(void **items, size_t *len, size_t *cap);

#endif
