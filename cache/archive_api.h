/* SPDX-License-Identifier: Apache-2.0 */
/* Inside cache/archive: libarchive's functions, found at run time. */
#ifndef WF_CACHE_ARCHIVE_API_H
#define WF_CACHE_ARCHIVE_API_H

#include <archive.h>
#include <archive_entry.h>

struct err;

#define ARCHIVE_FUNCTIONS(X)                                                                       \
    X(archive_version_number)                                                                      \
    X(archive_error_string)                                                                        \
    X(archive_errno)                                                                               \
    X(archive_entry_new)                                                                           \
    X(archive_entry_free)                                                                          \
    X(archive_entry_clear)                                                                         \
    X(archive_entry_set_pathname)                                                                  \
    X(archive_entry_set_size)                                                                      \
    X(archive_entry_set_filetype)                                                                  \
    X(archive_entry_set_perm)                                                                      \
    X(archive_entry_set_mtime)                                                                     \
    X(archive_entry_pathname)                                                                      \
    X(archive_entry_hardlink)                                                                      \
    X(archive_entry_size)                                                                          \
    X(archive_entry_size_is_set)                                                                   \
    X(archive_entry_filetype)                                                                      \
    X(archive_entry_perm)                                                                          \
    X(archive_entry_sparse_count)                                                                  \
    X(archive_write_new)                                                                           \
    X(archive_write_free)                                                                          \
    X(archive_write_close)                                                                         \
    X(archive_write_fail)                                                                          \
    X(archive_write_set_format_pax_restricted)                                                     \
    X(archive_write_add_filter_zstd)                                                               \
    X(archive_write_set_bytes_in_last_block)                                                       \
    X(archive_write_open_fd)                                                                       \
    X(archive_write_header)                                                                        \
    X(archive_write_data)                                                                          \
    X(archive_read_new)                                                                            \
    X(archive_read_free)                                                                           \
    X(archive_read_support_filter_zstd)                                                            \
    X(archive_read_support_format_tar)                                                             \
    X(archive_read_open_fd)                                                                        \
    X(archive_read_next_header)                                                                    \
    X(archive_read_data)                                                                           \
    X(archive_read_data_skip)

/* Members are named like the functions with _ at the end. */
struct archive_api {
#define ARCHIVE_MEMBER(name) __typeof__(name) *name##_;
    ARCHIVE_FUNCTIONS(ARCHIVE_MEMBER)
#undef ARCHIVE_MEMBER
};

/* Opens the library at the first call; the table lives as long as the process. */
int archive_api_open(const struct archive_api **ret, struct err *err);

#endif
