/* SPDX-License-Identifier: Apache-2.0 */
/* ULIDs (github.com/ulid/spec): 26 characters of Crockford base 32, sortable by time, beginning with a digit. */
#ifndef WF_BASE_ID_H
#define WF_BASE_ID_H

#include <stddef.h>
#include <stdint.h>

#define ID_LEN 26
void id_new(char out[ID_LEN + 1]);  /* monotonic within the process, random between processes */
int64_t id_time_ms(const char *id); /* -1: not an id */

/* The boot of this machine (/proc/sys/kernel/random/boot_id), "" when unknown. */
void boot_id(char out[40]);

#endif
