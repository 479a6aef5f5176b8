/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, quantities and times as users write and read them (semantics 5). */
#ifndef WF_BASE_UNITS_H
#define WF_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

struct str;
struct err;

/* Numbers may have decimals ("1.5h", "0.5GiB"); what is below one unit of the result is dropped. Units of a duration come from
 * large to small, each once. */
/* "30s", "5m", "1h30m", "500ms", "2h", "14d", "2w" -> milliseconds. A bare number, a sign, an overflow are errors whose message says what is
 * expected ("expected a duration such as 30s, 5m or 1h30m"). */
int parse_duration(const char *text, int64_t *ret_ms, struct err *err);
/* "512B" "10kB" "2MB" "1GB" "1TB" "4KiB" "2MiB" "8GiB" "1TiB" -> bytes. A bare number is an error. */
int parse_size(const char *text, uint64_t *ret_bytes, struct err *err);
/* Kubernetes cpu quantities: "2", "0.5", "500m" -> thousandths of a processor; finer ones are errors. */
int parse_cpu(const char *text, uint32_t *ret_milli, struct err *err);
/* "20%" -> 0.2; from 0% to 100%. */
int parse_percent(const char *text, double *ret_fraction, struct err *err);

/* For people: "0.004s" "1.2s" "1m05s" "2h03m" "3d4h". */
void add_duration(struct str *s, int64_t ms);
/* "317 B" "31.4 kB" "2.1 GB" (powers of 1000). */
void add_size(struct str *s, uint64_t bytes);

int64_t now_ms(void);  /* wall clock, milliseconds since 1970 */
int64_t now_us(void);  /* the same in microseconds */
int64_t mono_us(void); /* monotonic, microseconds */
/* RFC 3339 in UTC with milliseconds: 2026-01-05T03:00:00.000Z (24 characters + NUL). */
void format_time(int64_t ms, char out[32]);
void format_time_local(int64_t ms,
                       char out[32]); /* "2026-01-05 04:00:00", local time, for people */

#endif
