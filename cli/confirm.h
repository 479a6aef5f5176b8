/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to whoever sits at the terminal, and the signal that ends long work early. */
#ifndef WF_CLI_CONFIRM_H
#define WF_CLI_CONFIRM_H

#include <stdbool.h>

struct cli;

/* Asks on stderr, reads a line: 1 yes, 0 no, -1 there is nobody to ask (stdin or stderr is no terminal). */
int confirm(const struct cli *c, const char *question);

/* From now on SIGINT and SIGTERM are only noted; a second one ends the program as ever. */
void interrupt_catch(void);
/* The exit code of the signal that came (130, 143), or 0. */
int interrupt_code(void);

#endif
