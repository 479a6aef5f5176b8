/* SPDX-License-Identifier: Apache-2.0 */
/* What the container tests share: an executor with a real engine, an image FROM scratch around a static
 * busybox, and a way to run one job to its end. */
#ifndef WF_TESTS_STEPS_CONTAINER_FIXTURE_H
#define WF_TESTS_STEPS_CONTAINER_FIXTURE_H

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "steps/container_impl.h"

#define TEST_IMAGE "localhost/wf-unit-busybox:1"

struct outcome {
    int ends; /* how often on_end was called */
    enum job_outcome outcome;
    int exit_code;
    char message[1000];
};
struct fixture {
    struct loop *loop;
    struct executor *x;
    struct containers *c;
    char dir[64]; /* a folder of the test's own */
    char log_path[96];
    int log_fd;
    char image_id[80];
    char token[32], store_id[32];
    struct job job; /* filled in: change what the test is about */
    struct outcome got;
    struct timer *limit;
    bool too_late;
};

extern struct fixture fx;

/* Skips the test, saying why, where no engine can be had. */
void fixture_open(void);
/* Drains, checks that no container is left, closes. */
void fixture_close(void);
void on_job_end(const struct job_end *end, void *arg); /* arg: struct outcome */
/* Runs the loop until *flag, at most 60 s (a failure). */
void run_until(const bool *flag);
/* Runs the loop until the job has ended. */
void wait_end(struct outcome *o);
/* Submits fx.job with argv and runs it to its end; the handle is released. */
void run_job(const char *const *argv);
void run_shell(const char *script);
struct job_handle *start_shell(const char *script);
/* Runs the loop until the log holds `text`. */
void wait_log(const char *text);
/* Runs the loop until the engine answered that the job was started. */
void wait_running(struct job_handle *h);
void read_log(struct str *ret);
int containers_left(void);
/* One call to the engine beside the executor; its status. */
int call_engine(const char *method, const char *path, const char *json);
struct image_answer {
    bool done, failed;
    struct digest digest;
    bool has_entrypoint;
    char id[80], message[1000];
};
void ask_image(const char *name, enum pull_policy pull, struct image_answer *ret);

#endif
