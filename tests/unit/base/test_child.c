/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "temp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct loop *loop;

static void set_up(void)
{
    struct err err = {0};
    cr_assert_eq(child_setup(&err), 0, "%s", err.msg);
    loop = loop_new();
}

static void tear_down(void)
{
    loop_free(loop);
}

TestSuite(base_child, .init = set_up, .fini = tear_down, .timeout = 30);

struct seen {
    int calls;
    struct child_exit how;
};

static int running;

static void on_exit_seen(const struct child_exit *how, void *arg)
{
    struct seen *s = arg;
    s->calls++;
    s->how = *how;
    if (--running == 0) {
        loop_stop(loop);
    }
}

static const char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "WF_TOKEN=this-one",
                                    NULL};

static struct child_spec shell(const char *const *argv)
{
    return (struct child_spec){.program = "/bin/sh",
                               .argv = argv,
                               .envp = environment,
                               .stdin_fd = -1,
                               .stdout_fd = -1,
                               .stderr_fd = -1,
                               .extra_fd = -1};
}

static struct child *start(const char *script, struct seen *seen)
{
    struct err err = {0};
    struct child *c = NULL;
    const char *argv[] = {"sh", "-c", script, NULL};
    struct child_spec spec = shell(argv);
    cr_assert_eq(child_spawn(loop, &spec, on_exit_seen, seen, &c, &err), 0, "%s", err.msg);
    running++;
    return c;
}

static struct child_exit run(const char *script)
{
    struct seen seen = {0};
    struct child *c = start(script, &seen);
    loop_run(loop);
    child_free(c);
    cr_assert_eq(seen.calls, 1);
    return seen.how;
}

/* Runs a script with its standard output in a file, and gives what it wrote. */
static struct child_exit run_for_output(const char *script, struct str *out)
{
    char path[] = "/tmp/wf-child-XXXXXX";
    CLEANUP(cleanup_close) int fd = mkostemp(path, O_CLOEXEC);
    cr_assert(fd >= 0);
    struct err err = {0};
    struct seen seen = {0};
    struct child *c = NULL;
    const char *argv[] = {"sh", "-c", script, NULL};
    struct child_spec spec = shell(argv);
    spec.stdout_fd = fd;
    cr_assert_eq(child_spawn(loop, &spec, on_exit_seen, &seen, &c, &err), 0, "%s", err.msg);
    running++;
    loop_run(loop);
    child_free(c);
    cr_assert_eq(fs_read_file(path, 1 << 20, out, &err), 0, "%s", err.msg);
    unlink(path);
    return seen.how;
}

static bool alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

Test(base_child, exit_codes)
{
    cr_assert_eq(run("exit 0").exit_code, 0);
    struct child_exit how = run("exit 42");
    cr_assert_eq(how.exit_code, 42);
    cr_assert_eq(how.signal, 0);
    cr_assert_eq(how.stragglers, 0);
    cr_assert_gt(how.max_rss_kib, 0);
}

Test(base_child, signals)
{
    struct child_exit how = run("kill -SEGV $$");
    cr_assert_eq(how.exit_code, -1);
    cr_assert_eq(how.signal, SIGSEGV);
}

Test(base_child, cpu_time_counts_waited_for_children)
{
    struct child_exit how = run("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done & wait");
    cr_assert_gt(how.cpu_us, 1000);
}

static int fail_to_start(const char *program, const char *cwd, struct err *err)
{
    struct child *c = NULL;
    struct seen seen = {0};
    const char *argv[] = {program, NULL};
    struct child_spec spec = shell(argv);
    spec.program = program;
    spec.cwd = cwd;
    return child_spawn(loop, &spec, on_exit_seen, &seen, &c, err);
}

Test(base_child, missing_program)
{
    struct err err = {0};
    cr_assert_eq(fail_to_start("/no/such/program", NULL, &err), -ERR_NOT_FOUND);
    cr_assert(strstr(err.msg, "/no/such/program"), "%s", err.msg);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
    cr_assert_eq(errno, ECHILD); /* nothing is left of the attempt */
}

Test(base_child, missing_folder)
{
    struct err err = {0};
    cr_assert_eq(fail_to_start("/bin/sh", "/no/such/folder", &err), -ERR_NOT_FOUND);
    cr_assert(strstr(err.msg, "/no/such/folder"), "%s", err.msg);
}

Test(base_child, files_that_are_no_programs)
{
    struct err err = {0};
    char path[] = "/tmp/wf-child-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    cr_assert_eq(write(fd, "plainly no program\n", 19), 19);
    fchmod(fd, 0644);
    close(fd);
    cr_assert_eq(fail_to_start(path, NULL, &err), -ERR_DENIED, "%s", err.msg);
    chmod(path, 0755);
    cr_assert_eq(fail_to_start(path, NULL, &err), -ERR_INVALID, "%s", err.msg);
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, "#!/no/interpreter\n", 18), 18);
    close(fd);
    cr_assert_eq(fail_to_start(path, NULL, &err), -ERR_NOT_FOUND, "%s", err.msg);
    cr_assert(strstr(err.msg, "interpreter"), "%s", err.msg);
    unlink(path);
}

Test(base_child, too_long_arguments)
{
    struct err err = {0};
    struct child *c = NULL;
    char *huge = xmalloc(3 << 20);
    memset(huge, 'x', 3 << 20);
    huge[(3 << 20) - 1] = '\0';
    const char *argv[] = {"sh", huge, NULL};
    struct child_spec spec = shell(argv);
    cr_assert_eq(child_spawn(loop, &spec, on_exit_seen, NULL, &c, &err), -ERR_IO);
    cr_assert_eq(err.sys, E2BIG);
    free(huge);
}

Test(base_child, surroundings)
{
    CLEANUP(sb_done) struct str out = {0};
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    run_for_output(
        "umask; grep -E '^Sig(Blk|Ign):' /proc/self/status; ls /proc/$$/fd; "
        "readlink /proc/$$/fd/0 /proc/$$/fd/2; [ $(ps -o pgid= $$) = $$ ] && echo leader",
        &out);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
    cr_assert_str_eq(out.data, "0022\n"
                               "SigBlk:\t0000000000000000\n"
                               "SigIgn:\t0000000000000000\n"
                               "0\n1\n2\n"
                               "/dev/null\n/dev/null\n"
                               "leader\n");
}

Test(base_child, passes_descriptors_that_stand_in_each_others_place)
{
    int pipes[2][2];
    struct err err = {0};
    struct seen seen = {0};
    struct child *c = NULL;
    char got[2][16] = {{0}};
    cr_assert_eq(pipe2(pipes[0], O_CLOEXEC), 0);
    cr_assert_eq(pipe2(pipes[1], O_CLOEXEC), 0);
    const char *argv[] = {"sh", "-c", "echo one >&2; echo three >&3", NULL};
    struct child_spec spec = shell(argv);
    int saved = dup(STDIN_FILENO);
    /* What becomes standard error stands where standard input is put first. */
    cr_assert_eq(dup3(pipes[0][1], STDIN_FILENO, O_CLOEXEC), STDIN_FILENO);
    spec.stderr_fd = STDIN_FILENO;
    spec.extra_fd = pipes[1][1];
    int rc = child_spawn(loop, &spec, on_exit_seen, &seen, &c, &err);
    dup2(saved, STDIN_FILENO);
    close(saved);
    cr_assert_eq(rc, 0, "%s", err.msg);
    running++;
    loop_run(loop);
    child_free(c);
    cr_assert_eq(read(pipes[0][0], got[0], 15), 4);
    cr_assert_eq(read(pipes[1][0], got[1], 15), 6);
    cr_assert_str_eq(got[0], "one\n");
    cr_assert_str_eq(got[1], "three\n");
}

Test(base_child, background_process_in_the_group_is_ended)
{
    CLEANUP(sb_done) struct str out = {0};
    struct child_exit how = run_for_output("sleep 1000 & echo $!; exit 3", &out);
    cr_assert_eq(how.exit_code, 3);
    cr_assert_eq(how.stragglers, 1);
    cr_assert(!alive(atoi(out.data)));
}

Test(base_child, process_in_its_own_session_is_ended)
{
    CLEANUP(sb_done) struct str out = {0};
    /* The inner shell has a session, and a child with another one. */
    struct child_exit how = run_for_output("mkfifo_dir=$(mktemp -d); mkfifo $mkfifo_dir/f;"
                                           "setsid sh -c 'setsid sleep 1000 & echo $! $$ > "
                                           "'$mkfifo_dir'/f; sleep 1000' & "
                                           "cat $mkfifo_dir/f; rm -r $mkfifo_dir; exit 0",
                                           &out);
    int inner = 0, outer = 0;
    cr_assert_eq(sscanf(out.data, "%d %d", &inner, &outer), 2, "%s", out.data);
    cr_assert_eq(how.exit_code, 0);
    cr_assert_geq(how.stragglers, 2);
    cr_assert(!alive(inner));
    cr_assert(!alive(outer));
}

Test(base_child, process_without_environment_is_ended)
{
    CLEANUP(sb_done) struct str out = {0};
    struct child_exit how = run_for_output(
        "env -i /usr/bin/setsid /bin/sleep 1000 & echo $!;"
        "while [ $(ps -o comm= $!) != sleep ]; do :; done", /* it has a session by then */
        &out);
    cr_assert_eq(how.stragglers, 1);
    cr_assert(!alive(atoi(out.data)));
}

Test(base_child, a_librarys_child_is_left_alone)
{
    siginfo_t info;
    int status = 0;
    pid_t quick = fork(), slow;
    if (quick == 0) {
        _exit(9);
    }
    cr_assert_eq(waitid(P_PID, (id_t)quick, &info, WEXITED | WNOWAIT), 0);
    slow = fork();
    if (slow == 0) {
        for (;;) {
            pause();
        }
    }
    cr_assert_eq(run("exit 0").stragglers, 0);
    cr_assert_eq(waitpid(quick, &status, 0), quick);
    cr_assert_eq(WEXITSTATUS(status), 9);
    cr_assert_eq(waitpid(slow, NULL, WNOHANG), 0);
    kill(slow, SIGKILL);
    cr_assert_eq(waitpid(slow, NULL, 0), slow);
}

Test(base_child, another_steps_daemon_is_left_alone)
{
    char path[] = "/tmp/wf-child-XXXXXX";
    CLEANUP(cleanup_close) int fd = mkostemp(path, O_CLOEXEC);
    unlink(path);
    struct err err = {0};
    struct seen other = {0}, mine = {0};
    struct child *keeper = NULL;
    int gate[2], ready[2];
    char c = 0;
    cr_assert_eq(pipe2(gate, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    const char *env[] = {environment[0], "WF_TOKEN=other", NULL};
    const char *argv[] = {"sh", "-c", "(setsid sleep 1000 & echo $! >&3; echo >&1); read x", NULL};
    struct child_spec spec = shell(argv);
    spec.envp = env;
    spec.stdin_fd = gate[0];
    spec.stdout_fd = ready[1];
    spec.extra_fd = fd;
    cr_assert_eq(child_spawn(loop, &spec, on_exit_seen, &other, &keeper, &err), 0);
    running++;
    cr_assert_eq(read(ready[0], &c, 1), 1); /* the daemon is ours now, its step still runs */
    running++;                              /* do not stop for the keeper */
    struct child *quick = start("exit 0", &mine);
    running--;
    char pid[16] = {0};
    cr_assert_gt(pread(fd, pid, 15, 0), 0);
    running = 1;
    loop_run(loop); /* until `quick` has ended */
    cr_assert_eq(mine.calls, 1);
    cr_assert_eq(mine.how.stragglers, 0);
    cr_assert(alive(atoi(pid)));
    running = 1;
    cr_assert_eq(write(gate[1], "\n", 1), 1);
    loop_run(loop);
    cr_assert_eq(other.calls, 1);
    cr_assert_eq(other.how.stragglers, 1);
    cr_assert(!alive(atoi(pid)));
    child_free(quick);
    child_free(keeper);
}

Test(base_child, stop_is_obeyed)
{
    struct seen seen = {0};
    struct child *c = start("trap 'exit 5' TERM; while :; do sleep 0.01; done", &seen);
    /* Before the trap stands, TERM kills the shell: both are ends by TERM. */
    child_stop(c, 20000);
    loop_run(loop);
    cr_assert(seen.how.exit_code == 5 || seen.how.signal == SIGTERM);
    child_free(c);
}

Test(base_child, ignored_term_is_followed_by_kill)
{
    int ready[2];
    char byte;
    struct err err = {0};
    struct seen seen = {0};
    struct child *c = NULL;
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    const char *argv[] = {"sh", "-c", "trap '' TERM; sleep 1000 & echo; wait; sleep 1000", NULL};
    struct child_spec spec = shell(argv);
    spec.stdout_fd = ready[1];
    cr_assert_eq(child_spawn(loop, &spec, on_exit_seen, &seen, &c, &err), 0);
    running++;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    child_stop(c, 100000);
    child_stop(c, 50); /* shortens */
    child_stop(c, 100000);
    loop_run(loop);
    clock_gettime(CLOCK_MONOTONIC, &to);
    long ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    cr_assert_geq(ms, 49);
    cr_assert_lt(ms, 20000);
    cr_assert_eq(seen.how.signal, SIGKILL);
    child_free(c);
}

Test(base_child, group_has_the_grace_after_its_leader)
{
    CLEANUP(sb_done) struct str out = {0};
    char path[] = "/tmp/wf-child-XXXXXX";
    CLEANUP(cleanup_close) int fd = mkostemp(path, O_CLOEXEC);
    int ready[2];
    char byte;
    struct err err = {0};
    struct seen seen = {0};
    struct child *c = NULL;
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    /* The leader dies of TERM at once, the other tidies up first. */
    const char *argv[] = {"sh", "-c",
                          "sh -c 'trap \"sleep 0.05; echo tidy >&3; exit\" TERM; echo; "
                          "while :; do sleep 0.01; done' & wait",
                          NULL};
    struct child_spec spec = shell(argv);
    spec.stdout_fd = ready[1];
    spec.extra_fd = fd;
    cr_assert_eq(child_spawn(loop, &spec, on_exit_seen, &seen, &c, &err), 0);
    running++;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    child_stop(c, 20000);
    loop_run(loop);
    cr_assert_eq(seen.how.signal, SIGTERM);
    cr_assert_eq(seen.how.stragglers, 0);
    cr_assert_eq(fs_read_file(path, 100, &out, &err), 0);
    cr_assert_str_eq(sb_text(&out), "tidy\n");
    unlink(path);
    child_free(c);
}

static void on_exit_freed(const struct child_exit *how, void *arg)
{
    struct child **c = arg;
    child_free(*c);
    *c = NULL;
    cr_assert_eq(how->exit_code, 7);
    loop_stop(loop);
}

Test(base_child, how_it_ended_can_be_read_after_it_was_freed)
{
    struct err err = {0};
    struct child *c = NULL;
    const char *argv[] = {"sh", "-c", "exit 7", NULL};
    struct child_spec spec = shell(argv);
    cr_assert_eq(child_spawn(loop, &spec, on_exit_freed, &c, &c, &err), 0, "%s", err.msg);
    loop_run(loop);
    cr_assert_null(c);
}

Test(base_child, free_ends_what_runs)
{
    struct seen seen = {0};
    struct child *c = start("sleep 1000 & sleep 1000", &seen);
    pid_t pid = child_pid(c);
    cr_assert_gt(child_start_time(c), 0);
    child_free(c);
    cr_assert(!alive(pid));
    cr_assert_eq(kill(-pid, 0), -1);
    cr_assert_eq(seen.calls, 0);
    running = 0;
}

Test(base_child, two_hundred_at_once)
{
    enum { COUNT = 200 };
    static struct seen seen[COUNT];
    struct child *children[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char script[32];
        snprintf(script, sizeof(script), "exit %d", i % 100);
        children[i] = start(script, &seen[i]);
    }
    loop_run(loop);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(seen[i].calls, 1);
        cr_assert_eq(seen[i].how.exit_code, i % 100);
        cr_assert_eq(seen[i].how.stragglers, 0);
        child_free(children[i]);
    }
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
    cr_assert_eq(errno, ECHILD);
}

Test(base_child, run_collects_both_outputs)
{
    CLEANUP(sb_done) struct str out = {0}, errout = {0};
    struct err err = {0};
    int status = 0;
    const char *argv[] = {"sh", "-c", "cat; echo problem >&2; exit 7", NULL};
    cr_assert_eq(child_run(argv, "given", 1000, &out, &errout, &status, 0, &err), 0, "%s", err.msg);
    cr_assert_str_eq(sb_text(&out), "given");
    cr_assert_str_eq(sb_text(&errout), "problem\n");
    cr_assert_eq(WEXITSTATUS(status), 7);
}

Test(base_child, run_keeps_no_more_than_asked)
{
    CLEANUP(sb_done) struct str out = {0};
    struct err err = {0};
    int status = -1;
    const char *argv[] = {"head", "-c", "1000000", "/dev/zero", NULL};
    cr_assert_eq(child_run(argv, NULL, 1000, &out, NULL, &status, 0, &err), 0, "%s", err.msg);
    cr_assert_eq(out.len, 1000);
    cr_assert_eq(status, 0);
}

Test(base_child, run_survives_a_reader_that_does_not_read)
{
    struct err err = {0};
    int status = -1;
    char *big = xmalloc(1 << 20);
    memset(big, 'x', (1 << 20) - 1);
    big[(1 << 20) - 1] = '\0';
    const char *argv[] = {"true", NULL};
    cr_assert_eq(child_run(argv, big, 1000, NULL, NULL, &status, 0, &err), 0, "%s", err.msg);
    cr_assert_eq(status, 0);
    free(big);
}

Test(base_child, run_gives_up)
{
    CLEANUP(sb_done) struct str out = {0};
    struct err err = {0};
    int status = -1;
    const char *slow[] = {"sleep", "1000", NULL};
    cr_assert_eq(child_run(slow, NULL, 1000, &out, NULL, &status, 20, &err), -ERR_TIMEOUT);
    cr_assert_eq(status, -1);
    const char *none[] = {"no-such-program-anywhere", NULL};
    cr_assert_eq(child_run(none, NULL, 1000, &out, NULL, &status, 0, &err), -ERR_NOT_FOUND);
    /* Somebody in the background who holds the pipe does not hold us. */
    const char *held[] = {"sh", "-c", "echo said; setsid sleep 2 & exit 0", NULL};
    cr_assert_eq(child_run(held, NULL, 1000, &out, NULL, &status, 1500, &err), 0, "%s", err.msg);
    cr_assert_str_eq(sb_text(&out), "said\n");
}
