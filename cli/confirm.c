/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/confirm.h"

#include "cli/command.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int confirm(const struct cli *c, const char *question)
{
    char line[64];

    if (!c->err_tty || !isatty(STDIN_FILENO)) {
        return -1;
    }
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* A signal handler reaches nothing else. */
static volatile sig_atomic_t received;

static void note(int signum)
{
    received = signum;
}

void interrupt_catch(void)
{
    struct sigaction sa = {.sa_handler = note, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};

    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

int interrupt_code(void)
{
    return received ? 128 + received : 0;
}
