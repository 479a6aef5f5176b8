/* SPDX-License-Identifier: Apache-2.0 */
/* What every program of the example shares: ending with a message, memory, exact file I/O, the clock, options. */
#ifndef FASHION_UTIL_H
#define FASHION_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* "PROGRAM: message" on standard error, then exit 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a wrong command line, with how to call the program; exit 2. */
_Noreturn void die_usage(const char *usage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* n zeroed elements of that size; ends the program when there is no memory. */
void *xcalloc(size_t n, size_t size);

/* Each ends the program with the file's name when it fails; `path` is what the message says. */
FILE *file_open(const char *path, const char *mode);
void file_write(FILE *f, const void *data, size_t len, const char *path);
void file_read(FILE *f, void *data, size_t len, const char *path);
void file_close(FILE *f, const char *path); /* after writing: also finds a full disk */
/* All of a file and a 0 byte after it; owned by the caller. */
char *file_load(const char *path, size_t *ret_len);

double seconds_now(void); /* monotonic */

/* Prints how to call the program and ends it, if --help is its first word. */
void option_help(int argc, char **argv, const char *usage);
/* A whole number from low to high, or the usage error that names the option. */
uint64_t option_number(const char *usage, const char *option, const char *text, uint64_t low,
                       uint64_t high);

/* splitmix64: small, and good from any seed, 0 included. */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);
uint32_t random_below(struct random *r, uint32_t bound); /* bound > 0 */
float random_normal(struct random *r);                   /* mean 0, deviation 1 */

#endif
