/* SPDX-License-Identifier: Apache-2.0 */
/* ULIDs: 48 bits of milliseconds, 80 random bits. Within one millisecond (and when the clock goes back) the random part is
 * counted up, so that ids of one process ascend. */
#include "base/id.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TIME_CHARS 10
#define TIME_MAX ((INT64_C(1) << 48) - 1)

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The last id of this process. A forked child starts anew: its parent counts on from the same place. */
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    pid_t pid;
    int64_t ms;
    uint16_t high; /* of the 80 random bits */
    uint64_t low;
} last;

static void fill_random(void *data, size_t len)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        WF_ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static void put_base32(char *out, uint64_t value, int chars)
{
    for (int i = chars - 1; i >= 0; i--) {
        out[i] = digits[value & 31];
        value >>= 5;
    }
}

void id_new(char out[ID_LEN + 1])
{
    int64_t ms = now_ms();
    pid_t pid = getpid();

    pthread_mutex_lock(&last_lock);
    if (last.pid != pid || ms > last.ms) {
        last.pid = pid;
        last.ms = ms < 0 ? 0 : ms > TIME_MAX ? TIME_MAX : ms;
        char random[sizeof(last.low) + sizeof(last.high)];
        fill_random(random, sizeof(random));
        memcpy(&last.low, random, sizeof(last.low));
        memcpy(&last.high, random + sizeof(last.low), sizeof(last.high));
    } else if (++last.low == 0 && ++last.high == 0) {
        last.ms++; /* all 2^80 of this millisecond are used up */
    }
    ms = last.ms;
    uint64_t low = last.low;
    uint16_t high = last.high;
    pthread_mutex_unlock(&last_lock);

    /* 80 bits are two groups of 40, eight characters each. */
    put_base32(out, (uint64_t)ms, TIME_CHARS);
    put_base32(out + TIME_CHARS, (uint64_t)high << 24 | low >> 40, 8);
    put_base32(out + TIME_CHARS + 8, low & ((UINT64_C(1) << 40) - 1), 8);
    out[ID_LEN] = '\0';
}

static int digit_value(char c)
{
    if (c >= 'a' && c <= 'z') {
        c = (char)(c - 'a' + 'A');
    }
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

int64_t id_time_ms(const char *id)
{
    int64_t ms = 0;

    if (strnlen(id, ID_LEN + 1) != ID_LEN || id[0] > '7') {
        return -1; /* 26 characters hold 130 bits: the first has three */
    }
    for (int i = 0; i < ID_LEN; i++) {
        int value = digit_value(id[i]);
        if (value < 0) {
            return -1;
        }
        if (i < TIME_CHARS) {
            ms = ms * 32 + value;
        }
    }
    return ms;
}

void boot_id(char out[40])
{
    CLEANUP(cleanup_close) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, 39) : 0;

    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}
