/* SPDX-License-Identifier: Apache-2.0 */
/* Names of files in what a user wrote: globs (semantics 18) and words of a script or command (semantics 19). Pure but for the folder reads of glob_expand(). */
#ifndef WF_STEPS_INPUTS_H
#define WF_STEPS_INPUTS_H

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct err;

struct paths {
    VEC(const char *) v;
};

bool glob_is_pattern(const char *text); /* holds * ? or [ */
/* One component against a pattern without '/': * ? [a-z] [!a-z]. A leading dot must be written. */
bool glob_match(const char *pattern, const char *name);
/* What matches below `root` (or from /, where the pattern is absolute), as paths relative to root (or absolute), in the order of their bytes; strings in `a`. `**` stands for any
 * number of folders; what ends in it means files. Dot files only where a dot is written, never .git. Blocking. Matching nothing is no error here. */
int glob_expand(const char *root, const char *pattern, struct arena *a, struct paths *ret,
                struct err *err);

/* The words of a script or an argument that may name a file: cut at blanks and at what the shell gives a meaning, a quoted text with blanks in it also whole, `--x=FILE` also as FILE.
 * Bytes 1 and 2 are special: a word that holds 1 is left out, 2 stands for a blank inside of a word. fn gets each, not NUL-terminated, perhaps several times. */
void words_each(const char *text, size_t len, void (*fn)(const char *word, size_t len, void *arg),
                void *arg);

#endif
