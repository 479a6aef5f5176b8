/* SPDX-License-Identifier: Apache-2.0 */
/* OCI containers through the engine's docker-compatible API (podman, docker): finding an engine, starting a podman service where none answers, images' identity, jobs. */
#ifndef WF_STEPS_CONTAINER_H
#define WF_STEPS_CONTAINER_H

#include "base/digest.h"
#include "steps/executor.h"

#include <stdbool.h>
#include <stdint.h>

struct str;

struct container_options {
    const char *
        host; /* unix:///path of an API socket; NULL: $WF_CONTAINER_HOST, $DOCKER_HOST, $XDG_RUNTIME_DIR/podman/podman.sock, /run/podman/podman.sock,
                        * /var/run/docker.sock, else `podman system service` started by us, on a socket in a private folder of $XDG_RUNTIME_DIR or /tmp, and ended with us */
};
/* `find` asks the engine at once if it is known (a short blocking call); before that it answers 0, and a job that is not there ends as JOB_LOST.
 * drain(), close() and container_facts() run the loop: not from one of its callbacks. Memory and cpu limits do nothing where probe() says so (an
 * ordinary user's engine on control groups of version 1): the caller tells the user. `s` may be NULL.
 * Finds nothing yet: the engine is looked for at first use, so that a run without containers pays nothing. */
int container_executor_open(struct loop *l, struct store *s, const struct container_options *o,
                            struct executor **ret, struct err *err);

/* An image's identity, resolved once per executor and name: `id` to start it by, `digest` of {os, architecture, variant, layers, env, entrypoint, command, user, workdir} for keys. Pulls as
 * `pull` says. on_done is called from the loop (err NULL: fine). Errors name the image and the mend (pull, build, permission). */
struct image {
    const char *name;
    char id[80];
    struct digest digest;
    bool has_entrypoint;
    const char *user;
};
typedef void (*image_fn)(const struct image *image, const struct err *err, void *arg);
void container_image(struct executor *x, const char *name, enum pull_policy pull, image_fn on_done,
                     void *arg);

/* For `wf doctor`: which engine, version, socket, rootless, cgroup, limits that work; or why none. Blocking (runs the loop). */
struct engine_facts {
    bool found, started_by_us, rootless, memory_limit;
    char name[32], version[32], socket[256], problem[600];
};
void container_facts(struct executor *x, struct engine_facts *ret);

#endif
