/* SPDX-License-Identifier: Apache-2.0 */
/* What a run wants served, complete: nothing of the workflow's text is needed to carry it out. Written as JSON into the store by the run (desired.h), read by the supervisor, maybe days later and after
 * both were restarted. Paths are absolute and stay: models lie in the store's models/ (models.h). No secret is in it. */
#ifndef WF_SERVE_SPEC_H
#define WF_SERVE_SPEC_H

#include "base/digest.h"
#include "workflows/model.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct err;
struct str;

/* In arguments, scripts and environment of a program these stand for what only the supervisor knows. */
#define SPEC_SOCKET "\x1fsocket\x1f" /* as the replica sees it */
#define SPEC_PORT "\x1fport\x1f"
#define SPEC_INDEX "\x1findex\x1f" /* 0, 1, … */

struct spec_mount { /* of containers; read-only */
    const char *host, *inner;
};
/* A secret: handed over as `name`; its value comes from the run through the control socket, or from `file`. */
struct spec_secret {
    const char *name;
    const char *env;  /* variable of the run's environment; NULL */
    const char *file; /* NULL */
};

/* What one replica runs. Arrays are NULL-terminated. */
struct spec_program {
    const char *const
        *argv;          /* NULL: the image's own entrypoint. With `script` its path is appended */
    const char *script; /* text of a file that is written for it; NULL: none */
    const char *const *env; /* NAME=value, complete but for secrets, WF_SOCKET, PORT and WF_TOKEN */
    uint32_t n_secrets;
    const struct spec_secret *secrets;
    const char *workdir; /* as the program sees it */
    const char *image;   /* image id: a container; NULL: a process of this machine */
    enum network_mode network;
    struct resources resources;
    uint32_t n_mounts;
    const struct spec_mount *mounts;
};

struct spec_model {
    const char *name; /* train[model=mlp]; the step's own name where there is no model */
    const char *slug; /* in URLs: [A-Za-z0-9._-]{1,64}, unique in the service */
    double metric;
    struct digest
        content; /* of what it is: its files and its program. A replica of equal content is kept over promotions */
    struct spec_program program;
    const char *
        ready_script; /* its smoke test for sh, run on this machine with WF_SOCKET or PORT and WF_MODEL set; may hold the marks above; NULL */
};

struct service_spec {
    bool aggregate; /* a gateway over another service; else model servers */
    const char *workflow, *step;
    const char *run;    /* that wants it */
    uint32_t promotion; /* 0: it has no models to choose from */
    const char *select; /* the step that chose them; NULL: none */
    struct listen_options listen;
    struct limit_options limits; /* tokens: unused, see tokens_file */
    const char *tokens_file;     /* absolute, NULL */
    bool keep;

    /* serve */
    uint32_t n_models; /* best first. 0: nothing has been promoted yet; the address answers 503 */
    const struct spec_model *models;
    uint32_t replicas;
    const char *ready_path; /* NULL: it accepts a connection */
    int64_t ready_timeout_ms, grace_ms;
    struct retry retry; /* until it was ready once; later restarts have no limit */
    enum address_mode address;
    uint16_t fixed_port;
    enum balance balance;
    const char *shard_header;
    bool shard_uri;
    double canary_share, canary_max_errors;
    int64_t canary_for_ms;
    bool scales;
    uint32_t scale_min, scale_max, scale_target;
    bool first_stop;

    /* aggregate: over the serve step `over` of the same workflow */
    const char *over;
    enum method method;
    const char *const *
        command; /* METHOD_COMMAND: gets the members' answers as a JSON list on stdin, prints the answer; NULL */
    const char *const *command_env;
    const char *command_script; /* as in spec_program */
    uint32_t quorum, split;
};

/* Compact JSON. */
void spec_encode(const struct service_spec *s, struct str *out);
/* Everything lives in `a`. ERR_CORRUPT: not one of ours. */
int spec_decode(const char *json, size_t len, struct arena *a, struct service_spec *ret,
                struct err *err);
/* What is served and how, without run, promotion and order in time: equal contents need no switch. */
struct digest spec_content(const struct service_spec *s);

#endif
