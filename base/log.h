/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics for maintainers (--log-level), on stderr as "level component: text". Not the user's output, not run events. Libraries log at
 * debug only. Thread-safe. */
#ifndef WF_BASE_LOG_H
#define WF_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };
void log_set_level(enum log_level level);
enum log_level log_level_now(void);
int log_level_parse(const char *name, enum log_level *ret); /* 0, or -1 */
void log_write(enum log_level level, const char *component, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(component, ...)                                                                  \
    (log_level_now() >= LOG_DEBUG ? log_write(LOG_DEBUG, component, __VA_ARGS__) : (void)0)

#endif
