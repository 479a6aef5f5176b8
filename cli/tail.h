/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a log. */
#ifndef WF_CLI_TAIL_H
#define WF_CLI_TAIL_H

struct str;

/* Appends the file's last `count` lines as they are, without the last newline; at most 16 KiB are looked at. Nothing when it cannot
 * be read. */
void tail_file(const char *path, int count, struct str *out);

#endif
