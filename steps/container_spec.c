/* SPDX-License-Identifier: Apache-2.0 */
/* A job as the engine's create document, and what an engine answers to it in a user's words. */
#include "base/json.h"
#include "base/mem.h"
#include "steps/container_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NANO_PER_MILLI = 1000000 };

char *spec_refusal(const struct containers *c, const struct job *job)
{
    if (!job->image) {
        return xstrdup("the step has no image to start a container from; give it 'image'");
    }
    if (job->resources.gpu > 0 && c->engine.libpod) {
        return xstrdup("gpu is not supported with podman yet; use docker (DOCKER_HOST), or remove "
                       "'gpu' from the step's resources");
    }
    /* podman makes a missing source itself, as an empty folder. */
    for (size_t i = 0; i < job->n_mounts; i++) {
        struct stat st;
        if (stat(job->mounts[i].host, &st) < 0) {
            return xasprintf("'%s', which the container needs at '%s', cannot be mounted: %s",
                             job->mounts[i].host, job->mounts[i].inner, strerror(errno));
        }
    }
    return NULL;
}

static void write_texts(struct jsonw *w, const char *key, const char *const *texts)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; texts && texts[i]; i++) {
        jw_text(w, texts[i]);
    }
    jw_end_array(w);
}

static void write_labels(struct jsonw *w, const struct job *job)
{
    char attempt[16];
    snprintf(attempt, sizeof(attempt), "%u", (unsigned)job->attempt);
    jw_key(w, "Labels");
    jw_object(w);
    jw_kv_text(w, "wf.attempt", attempt);
    jw_kv_text(w, "wf.run", job->run);
    jw_kv_text(w, "wf.step", job->step);
    jw_kv_text(w, "wf.store", job->store_id);
    jw_end_object(w);
}

static void write_mounts(struct jsonw *w, const struct job *job)
{
    jw_key(w, "Mounts");
    jw_array(w);
    for (size_t i = 0; i < job->n_mounts; i++) {
        const struct mount *m = &job->mounts[i];
        jw_object(w);
        jw_kv_text(w, "Type", "bind");
        jw_kv_text(w, "Source", m->host);
        jw_kv_text(w, "Target", m->inner);
        jw_kv_bool(w, "ReadOnly", !m->writable);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void write_limits(struct jsonw *w, const struct resources *r)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    /* A limit of all processors or more is none; docker refuses it. */
    if (r->cpu_milli > 0 && (processors < 1 || r->cpu_milli < (unsigned long)processors * 1000)) {
        jw_kv_i64(w, "NanoCpus", (int64_t)r->cpu_milli * NANO_PER_MILLI);
    }
    if (r->memory > 0) {
        jw_kv_i64(w, "Memory", (int64_t)r->memory);
        jw_kv_i64(w, "MemorySwap", (int64_t)r->memory); /* together: no swap on top */
    }
    if (r->gpu > 0) {
        jw_key(w, "DeviceRequests");
        jw_array(w);
        jw_object(w);
        jw_kv_i64(w, "Count", r->gpu);
        jw_key(w, "Capabilities");
        jw_raw(w, "[[\"gpu\"]]", strlen("[[\"gpu\"]]"));
        jw_end_object(w);
        jw_end_array(w);
    }
    jw_kv_i64(w, "PidsLimit", -1);
}

static void write_host(struct jsonw *w, const struct containers *c, const struct job *job)
{
    static const char *const safety[] = {"no-new-privileges", "label=disable", NULL};
    jw_key(w, "HostConfig");
    jw_object(w);
    jw_kv_bool(w, "Init", !c->no_init);
    /* Kept by the engine too, so that nothing is lost when it is restarted. */
    jw_key(w, "LogConfig");
    jw_object(w);
    jw_kv_text(w, "Type", "json-file");
    jw_end_object(w);
    write_mounts(w, job);
    jw_kv_text(w, "NetworkMode", job->network == NETWORK_NONE ? "none" : "host");
    write_texts(w, "SecurityOpt", safety);
    write_limits(w, &job->resources);
    jw_end_object(w);
}

void spec_write(const struct containers *c, const struct job *job, struct str *out)
{
    struct jsonw w;
    jw_init(&w, out, false);
    jw_object(&w);
    jw_kv_text(&w, "Image", job->image);
    if (job->argv) {
        /* All of it as entrypoint: an empty one is not taken by podman for "none". */
        write_texts(&w, "Entrypoint", job->argv);
        write_texts(&w, "Cmd", NULL);
    }
    write_texts(&w, "Env", job->env);
    if (job->workdir) {
        jw_kv_text(&w, "WorkingDir", job->workdir);
    }
    write_labels(&w, job);
    jw_kv_bool(&w, "AttachStdout", true);
    jw_kv_bool(&w, "AttachStderr", true);
    write_host(&w, c, job);
    jw_end_object(&w);
}

static bool has(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

char *spec_explain(const struct containers *c, const struct job *job, const char *message)
{
    const char *image = image_name(c, job->image);
    const char *program = job->argv && job->argv[0] ? job->argv[0] : "its entrypoint";
    if (has(message, "no such image") || has(message, "image not known")) {
        return xasprintf("image '%s' is not on this machine any more; build or pull it again",
                         image);
    }
    if (has(message, "docker-init")) {
        return xstrdup("docker's own init program (docker-init) is missing; install the package "
                       "tini, or docker's own packages");
    }
    if (has(message, "unable to find user") || has(message, "no matching entries in passwd") ||
        has(message, "unable to find group")) {
        return xasprintf("image '%s' names a user that it does not have: %.300s", image, message);
    }
    /* Of init: catatonit "failed to exec pid1: No such file…", tini "exec NAME failed: No such file…". */
    bool of_program = has(message, "exec");
    if (of_program &&
        (has(message, "executable file not found") || has(message, "no such file or directory"))) {
        return xasprintf("program '%s' was not found in image '%s'; see that the image has it and "
                         "that PATH in the step's environment leads to it",
                         program, image);
    }
    if (of_program && has(message, "permission denied")) {
        return xasprintf("program '%s' may not be executed in image '%s'; make it executable "
                         "(chmod +x) where the image is built",
                         program, image);
    }
    if (of_program && has(message, "exec format error")) {
        return xasprintf("program '%s' of image '%s' is not made for this machine's processor, or "
                         "is a script without a first line like #!/bin/sh",
                         program, image);
    }
    return xasprintf("the container could not be started from image '%s': %.600s; `wf doctor` "
                     "shows whether the engine works",
                     image, message[0] ? message : "the engine gives no reason");
}
