/* SPDX-License-Identifier: Apache-2.0 */
/* What people see: colour by meaning, tables that fit the terminal. */
#ifndef WF_CLI_OUT_H
#define WF_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;
struct str;

enum tone { TONE_NONE, TONE_GOOD, TONE_BAD, TONE_WARN, TONE_DIM, TONE_BOLD, TONE_REUSED };
/* The escape that begins a tone ("" without colour), and the one that ends it. */
const char *tone_on(bool colour, enum tone t);
const char *tone_off(bool colour);
enum tone tone_of_status(const char *status); /* succeeded, cached, failed, … */

/* A table: cells are added row by row; columns are as wide as their widest cell; the last column is cut at the terminal's width when it is one. */
struct table;
struct table *table_new(size_t columns, const char *const *titles);
void table_cell(struct table *t, enum tone tone, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void table_print(struct table *t, bool colour, int width, struct str *out); /* width 0: never cut */
void table_free(struct table *t);

/* Writes to stdout in one go; a closed pipe ends the program quietly (exit code as for SIGPIPE), a full disk is an error. */
void out_write(const char *data, size_t len);
/* The same for who has more to do than to print: 0, or errno. */
int out_try(const char *data, size_t len);
/* Says what is wrong with the output (nothing when only its reader is gone) and returns the exit code. */
int out_problem(int problem);
void out_str(struct str *s); /* writes and clears */

/* "3m ago", "2h ago", "2026-01-05 04:00" */
void add_ago(struct str *s, int64_t ms);
/* "12ab34cd" of "sha256:…" or a bare digest */
void add_short_digest(struct str *s, const unsigned char *bytes);

#endif
