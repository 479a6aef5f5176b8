/* SPDX-License-Identifier: Apache-2.0 */
/* The key tables. Keys that stand in most steps come first: a key is found by walking its table. */
#include "workflows/schema.h"

#include "base/mem.h"
#include "workflows/model.h"

#include <string.h>

#define BIT(kind) (1u << (kind))
#define ALL (BIT(KIND_COUNT) - 1)
/* Kinds with a process of the user's. */
#define PROCESS                                                                                    \
    (BIT(KIND_COMMAND) | BIT(KIND_INGEST) | BIT(KIND_TRAIN) | BIT(KIND_SERVE) | BIT(KIND_AGGREGATE))
/* Kinds that end with files. */
#define BATCH (BIT(KIND_COMMAND) | BIT(KIND_INGEST) | BIT(KIND_TRAIN) | BIT(KIND_AGGREGATE))
/* Kinds that answer requests. */
#define SERVICE (BIT(KIND_SERVE) | BIT(KIND_AGGREGATE))
#define KEY(k, what, type_json, words)                                                             \
    {                                                                                              \
        .name = (k), .type = (what), .json = (type_json), .doc = (words), .kinds = ALL             \
    }
#define STEP(k, who, what, type_json, words)                                                       \
    {                                                                                              \
        .name = (k), .type = (what), .json = (type_json), .doc = (words), .kinds = (who)           \
    }
#define LATER(k, who, words)                                                                       \
    {                                                                                              \
        .name = (k), .type = "", .json = "true", .doc = (words), .kinds = (who),                   \
        .state = KEY_PLANNED                                                                       \
    }
#define REF(name) "{\"$ref\": \"#/$defs/" name "\"}"
/* One of these words, or an expression that gives one. */
#define CHOICE(words) "{\"anyOf\": [{\"enum\": [" words "]}, {\"$ref\": \"#/$defs/expression\"}]}"
#define TABLE(heading, list)                                                                       \
    {                                                                                              \
        .title = (heading), .keys = (list), .count = ARRAY_LEN(list)                               \
    }

static const struct schema_key top_keys[] = {
    KEY("steps", "a mapping of step names to steps", REF("steps"),
        "The DAG: a step's name is its identity, [A-Za-z_][A-Za-z0-9_-]*. The order in the file "
        "means nothing."),
    KEY("name", "a name", REF("string"),
        "The workflow's name: its history goes by it. Default: the file's name without its "
        "ending."),
    KEY("description", "a text", REF("string"),
        "One or two sentences, shown by wf graph --format json."),
    KEY("labels", "a mapping of names to texts", REF("texts"),
        "Free words, shown by wf graph --format json."),
    KEY("params", "a mapping of names to defaults", REF("params"),
        "What may be set with -p name=value or --params-file: a default value, or a mapping with "
        "its type and range. Read as ${{ params.name }}."),
    KEY("env", "a mapping of names to values", REF("env"), "Environment of every step."),
    KEY("secrets", "a mapping of names to {env: VAR} or {file: path}", REF("secrets"),
        "Where secret values come from. Handed to the steps that list them; shown as *** "
        "everywhere; never in a cache key, never stored."),
    KEY("defaults", "a mapping of step keys to values", REF("defaults"),
        "Step keys for every step; defaults.<kind> for the steps of one kind. A step's own value "
        "wins; env, labels and secrets merge by name; null removes."),
    KEY("max_parallel", "a number of steps", REF("count"),
        "Steps at once in a run. Default: the processors."),
    KEY("finally", "a mapping of step names to steps", REF("steps"),
        "Steps that run when all others ended, whatever the outcome."),
    KEY("on_failure", "continue or stop", CHOICE("\"continue\", \"stop\""),
        "continue (default): all that does not depend on the failed step goes on. stop: what runs "
        "is cancelled."),
    KEY("timeout", "a duration such as 30s, 5m or 1h30m", REF("duration"),
        "Bound of the whole run."),
    LATER("overlap", ALL, "What a second run of this workflow does while one runs."),
    LATER("pools", ALL, "Named slots shared by all runs of the store."),
    LATER("outputs", ALL, "What a step of kind workflow exports from this file."),
    LATER("values", ALL, "Values that a step of kind workflow exports from this file."),
    LATER("triggers", ALL, "What makes the daemon start a run."),
    LATER("notify", ALL, "Webhooks called on success, failure and promotion."),
};

static const struct schema_key step_keys[] = {
    STEP("run", PROCESS, "a script", REF("string"),
         "A script for the shell (sh -eu). ${{ }} in it is data: each value arrives as one word, "
         "whatever it holds."),
    STEP("command", PROCESS, "a list of arguments", REF("strings"),
         "An argument list, run as it is without a shell."),
    STEP("inputs", PROCESS | BIT(KIND_WORKFLOW), "a list of paths or a mapping of names to paths",
         REF("inputs"),
         "Files, folders and globs below the workflow's folder, or name: path. What is named here "
         "is part of the cache key, and visible in containers. Read as ${{ inputs.name }}."),
    STEP("outputs", BATCH, "a mapping of names to paths", REF("outputs"),
         "name: path below $WF_OUT, a file or a folder. All must exist when the step succeeds. "
         "Read as ${{ outputs.name }}, elsewhere as ${{ steps.this.outputs.name }}."),
    STEP("needs", ALL,
         "a step name, a list of step names, or a mapping of step names to all, any, each or a "
         "number",
         REF("needs"),
         "Steps that must have succeeded first. A ${{ steps.x }} reference adds the edge by "
         "itself; needs alone is order. name: any or a number: starts at the first, or at so many "
         "branches that succeeded. name: each: fans out along the other's matrix, every branch "
         "starts with its own."),
    STEP("kind", ALL, "a kind of step",
         "{\"enum\": [\"command\", \"ingest\", \"train\", \"select\", \"serve\", \"aggregate\"]}",
         "What the step is: command (default), ingest, train, select, serve, aggregate."),
    STEP("env", PROCESS, "a mapping of names to values", REF("env"),
         "Environment of the step, part of the cache key."),
    STEP("image", PROCESS, "an image name", REF("text_or_null"),
         "OCI image the step runs in. Its content, not its tag, is part of the cache key. null "
         "removes a default."),
    STEP("matrix", BATCH | BIT(KIND_WORKFLOW) | BIT(KIND_APPROVE), "a mapping of axes to lists",
         REF("matrix"),
         "Fan-out: one branch per combination of the axes, minus exclude, plus include. Read as "
         "${{ matrix.axis }}."),
    STEP("cache", BATCH | BIT(KIND_SELECT), "false or a mapping", REF("cache"),
         "false, or how long a result is good for. Default: as long as nothing that the step reads "
         "has changed."),
    STEP("if", ALL, "an expression", REF("condition"),
         "false: the step is skipped, and so are those that need it, unless their own if says "
         "otherwise."),
    STEP("retry", PROCESS, "a mapping such as {limit: 2, delay: 5s}", REF("retry"),
         "When and how often a failed attempt is repeated. Of a service: until it was ready once; "
         "later it is started again without end."),
    STEP("timeout", BATCH | BIT(KIND_APPROVE), "a duration such as 30s, 5m or 1h30m",
         REF("duration"),
         "Bound of one attempt: TERM, then KILL after grace, to the whole process tree."),
    STEP("grace", PROCESS, "a duration such as 30s, 5m or 1h30m", REF("duration"),
         "Time between TERM and KILL. Default: 10s."),
    STEP("publish", BATCH, "a mapping of output names to paths", REF("texts"),
         "output name: path below the workflow's folder; replaced there when the step succeeded or "
         "was restored."),
    STEP("values", BATCH | BIT(KIND_WORKFLOW) | BIT(KIND_APPROVE),
         "a list of names or a mapping of names to stdout", REF("values"),
         "Names that the step writes as name=value lines to $WF_VALUES; name: stdout takes the "
         "standard output. Read as ${{ steps.this.values.name }}."),
    STEP("description", ALL, "a text", REF("string"),
         "One or two sentences, shown by wf graph --format json."),
    STEP("labels", ALL, "a mapping of names to texts", REF("texts"),
         "Free words, shown by wf graph --format json."),
    STEP("executor", PROCESS, "process or container", REF("executor"),
         "Where the step runs. Default: container where there is an image, else process."),
    STEP("pull", PROCESS, "missing, always or never", CHOICE("\"missing\", \"always\", \"never\""),
         "When the image is pulled. Default: missing."),
    STEP("pass_env", PROCESS, "a list of variable names", REF("names"),
         "Host variables let through that are not part of the cache key."),
    STEP("secrets", PROCESS, "a list of secrets or a mapping of variables to secrets",
         REF("secret_uses"), "Secrets handed over as environment variables."),
    STEP("workdir", PROCESS, "a path", REF("string"),
         "Folder the step starts in. Default: the workflow's folder."),
    STEP("shell", PROCESS, "a shell's name or a list of arguments", REF("shell"),
         "What runs the script: sh (default), bash, or an argument list that gets the script's "
         "path appended."),
    STEP("network", PROCESS, "host or none", CHOICE("\"host\", \"none\""),
         "Network of a container. Default: host."),
    STEP("max_parallel", BATCH, "a number of branches", REF("count"),
         "Branches of the matrix at once."),
    STEP("fail_fast", BATCH, "true or false", REF("boolean"),
         "true: when one branch fails, the others are cancelled. Default: false."),
    STEP("continue_on_error", ALL, "true or false", REF("boolean"),
         "true: a failure is shown, and the run goes on."),
    STEP("resources", PROCESS, "a mapping such as {cpu: 500m, memory: 2GiB}", REF("resources"),
         "What the step takes: enforced in containers, admitted against the machine's size."),
    STEP("source", BIT(KIND_INGEST), "a path or a URL", REF("string"),
         "Where the data comes from: a path, http(s)://…, s3://bucket/key, or "
         "git+https://…@ref:path. Read as ${{ source.path }}."),
    STEP("sha256", BIT(KIND_INGEST), "64 hexadecimal digits", REF("sha256"),
         "What the fetched source must be."),
    STEP("from", BIT(KIND_SELECT) | BIT(KIND_SERVE) | BIT(KIND_AGGREGATE),
         "a step name or a list of step names", REF("name_or_names"),
         "The steps whose branches are chosen from, or combined. Of a serve step: the select step "
         "whose models it serves; without it there is one service and no model. An aggregate of a "
         "serve step answers requests itself."),
    STEP("metric", BIT(KIND_SELECT), "the name of a metric", REF("string"),
         "A key, or a.b.c, of each candidate's metrics output."),
    STEP("mode", BIT(KIND_SELECT), "max or min", CHOICE("\"max\", \"min\""),
         "Which is better. Default: max."),
    STEP("at_least", BIT(KIND_SELECT), "a number", REF("number"), "Candidates below are left out."),
    STEP("at_most", BIT(KIND_SELECT), "a number", REF("number"), "Candidates above are left out."),
    STEP("top", BIT(KIND_SELECT), "a number of models", REF("count"),
         "How many are kept. Default: 1."),
    STEP("min_models", BIT(KIND_SELECT), "a number of models", REF("count"),
         "With fewer the step fails. Default: 1."),
    STEP("tolerate", BIT(KIND_SELECT), "a number of candidates", REF("whole"),
         "How many candidates may fail. Default: all."),
    STEP("of", BIT(KIND_AGGREGATE), "the name of an output", REF("string"),
         "The output that is combined. May be left out where there is one."),
    STEP("method", BIT(KIND_AGGREGATE), "mean, vote, union, concat or best",
         CHOICE("\"mean\", \"vote\", \"union\", \"concat\", \"best\""),
         "mean by element, vote by most frequent, union or concat of lists, best: the best-ranked "
         "file or model's answer. Or run: for your own."),
    LATER("unpack", BIT(KIND_INGEST), "true: the fetched archive (tar, zip) is unpacked."),
    LATER("pool", ALL, "A pool whose slots the step takes."),
    LATER("slots", ALL, "How many slots of the pool."),
    LATER("checkpoint", PROCESS, "A folder kept between the attempts of a step."),
    STEP(
        "promote", BIT(KIND_SELECT), "complete or early", CHOICE("\"complete\", \"early\""),
        "complete (default): chooses once, when all candidates have ended. early: chooses again as "
        "each candidate finishes; every changed choice is a promotion."),
    STEP("wait", BIT(KIND_SELECT), "a mapping such as {for: 2, at_most: 10m}", REF("wait"),
         "With promote: early: what the first promotion waits for."),
    STEP("min_delta", BIT(KIND_SELECT), "a number", REF("number"),
         "A model that serves gives way only to one that is better by so much."),
    STEP("on_promotion", ALL, "last, first or each", CHOICE("\"last\", \"first\", \"each\""),
         "When a step that needs a service starts: at its last promotion of this run (default), at "
         "its first, or once per promotion."),
    STEP("replicas", BIT(KIND_SERVE), "a number of replicas", REF("count"),
         "Model servers per promoted model. Default: 1."),
    STEP("ready", BIT(KIND_SERVE), "a path such as /v2/health/ready, or a mapping", REF("ready"),
         "When a replica gets traffic: a path that answers 2xx, or a script of its own. Default: "
         "when it accepts a connection."),
    STEP("listen", SERVICE, "HOST:PORT or a port, such as 127.0.0.1:8080", REF("listen"),
         "Where the service answers. Default: a port of 127.0.0.1 that is chosen once and kept."),
    STEP("address", BIT(KIND_SERVE), "socket, port or a port's number", REF("address"),
         "How a replica is reached. socket (default): a unix socket that it is handed, "
         "${{ replica.socket }} and $WF_SOCKET. port: a port of 127.0.0.1 that it is handed, "
         "${{ replica.port }} and $PORT. A number: the port that its program insists on."),
    STEP("balance", BIT(KIND_SERVE), "round_robin, least_connections or hash",
         CHOICE("\"round_robin\", \"least_connections\", \"hash\""),
         "How requests are spread over the replicas. hash: by the caller's address. Default: "
         "round_robin."),
    STEP("shard_by", BIT(KIND_SERVE), "uri or header:NAME", REF("shard_by"),
         "Requests with an equal path, or an equal header, go to equal replicas."),
    STEP("limits", SERVICE, "a mapping such as {concurrent: 64, queue: 256}", REF("limits"),
         "Bounds of the traffic."),
    STEP("canary", BIT(KIND_SERVE), "a mapping such as {share: 10%, for: 15m}", REF("canary"),
         "A new promotion first gets a share of the traffic. It gets all of it after a time with "
         "few errors, and is rolled back otherwise."),
    STEP("scale", BIT(KIND_SERVE), "a mapping such as {min: 0, max: 4, target: 8}", REF("scale"),
         "The number of replicas follows the load."),
    STEP("lifetime", BIT(KIND_SERVE), "run or keep", CHOICE("\"run\", \"keep\""),
         "run (default): the service ends with its run. keep: with wf run --keep-serving it stays "
         "up until a later run replaces it."),
    STEP("replace", BIT(KIND_SERVE), "beside or first_stop", CHOICE("\"beside\", \"first_stop\""),
         "beside (default): a new promotion starts beside the old one and takes over when it is "
         "ready. first_stop: the old one is stopped first, where both do not fit."),
    STEP("quorum", BIT(KIND_AGGREGATE), "a number of models", REF("count"),
         "Of an aggregate of a serve step: how many models must answer, else the request fails "
         "with 503. Default: 1."),
    STEP("split", BIT(KIND_AGGREGATE), "a number of instances", REF("count"),
         "Of an aggregate of a serve step: a request with more instances is cut into parts that "
         "are spread over the replicas. Default: never."),
    LATER("file", BIT(KIND_WORKFLOW), "The workflow file that is run as a step."),
    LATER("params", BIT(KIND_WORKFLOW), "Params of that workflow."),
    LATER("message", BIT(KIND_APPROVE), "What the person who approves is asked."),
};

static const struct schema_key param_keys[] = {
    KEY("default", "a string, a number or true/false", REF("scalar"),
        "The value when none is given."),
    KEY("type", "string, integer, number or boolean",
        "{\"enum\": [\"string\", \"integer\", \"number\", \"boolean\"]}",
        "Default: the type of the default."),
    KEY("enum", "a list of values",
        "{\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/scalar\"}, \"minItems\": 1}",
        "The values that are allowed."),
    KEY("min", "a number", REF("number"), "The smallest value allowed."),
    KEY("max", "a number", REF("number"), "The greatest value allowed."),
    KEY("description", "a text", REF("string"),
        "One sentence, shown where -p names a param that there is not."),
    KEY("required", "true or false", REF("boolean"),
        "true: a value must be given. So it is where there is no default."),
};

static const struct schema_key retry_keys[] = {
    KEY("limit", "a number of attempts", REF("whole"), "Further attempts after the first one."),
    KEY("delay", "a duration such as 30s, 5m or 1h30m", REF("duration"),
        "Wait before the first further attempt. Default: 0s."),
    KEY("backoff", "a number of at least 1", REF("number"),
        "Each wait is so many times the one before. Default: 1."),
    KEY("max_delay", "a duration such as 30s, 5m or 1h30m", REF("duration"),
        "No wait is longer. Default: 10m."),
    KEY("on", "a list of exit codes, ranges such as 2-255, timeout, lost and oom", REF("retry_on"),
        "Which failures are retried. Default: any."),
};

static const struct schema_key resources_keys[] = {
    KEY("cpu", "processors such as 2 or 500m", REF("scalar"), "Processors: 2, 0.5 or 500m."),
    KEY("memory", "a size such as 512MiB or 2GB", REF("size"), "Memory."),
    KEY("gpu", "a number of GPUs", REF("whole"), "GPUs."),
};

static const struct schema_key cache_keys[] = {
    KEY("policy", "content, time or change", CHOICE("\"content\", \"time\", \"change\""),
        "content (default): reuse while nothing that is read changed. time: while the newest "
        "result is younger than ttl. change: while the source's measure moved by less than "
        "threshold."),
    KEY("ttl", "a duration such as 12h or 14d", REF("duration"),
        "How old a result may be. Bounds every policy."),
    KEY("measure", "records, bytes, files, etag, git or a command", REF("string"),
        "What policy change looks at: records, bytes, files, etag, git (the tree or file at the "
        "commit), or a command that prints a number or a word."),
    KEY("threshold", "a share such as 20%", REF("percent"),
        "How far the measure may move. Default: not at all."),
    KEY("version", "a text or a number", REF("scalar"),
        "A word of your own in the key: another one makes the step run again."),
    KEY("shared", "true or false", REF("boolean"),
        "Whether the results may go to a shared cache. Default: those of container steps "
        "without secrets, and of steps that wf works out itself. What policy time or change made "
        "never leaves this machine."),
};

static const struct schema_key output_keys[] = {
    KEY("path", "a path below $WF_OUT", REF("string"), "Where the step writes it, below $WF_OUT."),
    KEY("non_empty", "true or false", REF("boolean"),
        "true: an empty file or folder fails the step."),
    KEY("sha256", "64 hexadecimal digits", REF("sha256"), "What the file must be."),
};

static const struct schema_key input_keys[] = {
    KEY("path", "a path or a glob", REF("string"), "The file, folder or glob."),
    KEY("optional", "true or false", REF("boolean"), "true: it may be missing."),
};

static const struct schema_key secret_keys[] = {
    KEY("env", "the name of an environment variable", REF("string"),
        "The variable of wf's own environment that holds the secret."),
    KEY("file", "a path", REF("string"),
        "The file that holds the secret; its last newline is dropped."),
};

static const struct schema_key wait_keys[] = {
    KEY("for", "a number of candidates", REF("count"),
        "So many candidates that pass the thresholds."),
    KEY("at_most", "a duration such as 30s, 5m or 1h30m", REF("duration"),
        "But no longer than this after the first of them."),
};

static const struct schema_key ready_keys[] = {
    KEY("path", "a path such as /v2/health/ready", REF("string"),
        "Answers 2xx when the replica is ready."),
    KEY("run", "a script", REF("string"),
        "A smoke test that gates every switch of traffic: it is repeated until it succeeds. It "
        "runs on this machine, in sh, with $WF_SOCKET or $PORT and $WF_MODEL; ${{ model.path }} "
        "and ${{ replica.socket }} are paths of this machine there."),
    KEY("timeout", "a duration such as 30s, 5m or 1h30m", REF("duration"),
        "How long a replica may take. Default: 5m."),
};

static const struct schema_key limits_keys[] = {
    KEY("concurrent", "a number of requests", REF("count"), "Requests at once in each replica."),
    KEY("queue", "a number of requests", REF("count"),
        "Requests that wait for a place; more are answered 503."),
    KEY("rate", "a mapping such as {anonymous: 10/s}", REF("rate"),
        "Requests of one caller per time; more are answered 429."),
};

static const struct schema_key rate_keys[] = {
    KEY("anonymous", "a rate such as 10/s or 600/m", REF("per_time"),
        "Of one address, without a token."),
    KEY("authenticated", "a rate such as 10/s or 600/m", REF("per_time"), "Of one token."),
    KEY("tokens", "a path", REF("string"),
        "A file with the tokens, one line each: TOKEN NAME, and a rate of its own where it has "
        "one. Callers send Authorization: Bearer TOKEN."),
};

static const struct schema_key canary_keys[] = {
    KEY("share", "a share such as 10%", REF("percent"), "The new promotion's share at first."),
    KEY("for", "a duration such as 30s, 5m or 1h30m", REF("duration"), "How long it is tried."),
    KEY("max_errors", "a share such as 1%", REF("percent"),
        "With more answers of 5xx it is rolled back. Default: 1%."),
};

static const struct schema_key scale_keys[] = {
    KEY("min", "a number of replicas", REF("whole"),
        "The fewest. 0: the first request waits for a start. Default: 1."),
    KEY("max", "a number of replicas", REF("count"), "The most."),
    KEY("target", "a number of requests", REF("count"),
        "Requests at once per replica that are aimed at. Default: 8."),
};

const struct schema_table schema_top = TABLE("Top level", top_keys);
const struct schema_table schema_step = TABLE("Every step", step_keys);
const struct schema_table schema_param = TABLE("A param", param_keys);
const struct schema_table schema_retry = TABLE("retry", retry_keys);
const struct schema_table schema_resources = TABLE("resources", resources_keys);
const struct schema_table schema_cache = TABLE("cache", cache_keys);
const struct schema_table schema_output = TABLE("An output", output_keys);
const struct schema_table schema_input = TABLE("An input", input_keys);
const struct schema_table schema_secret = TABLE("A secret", secret_keys);
const struct schema_table schema_wait = TABLE("wait", wait_keys);
const struct schema_table schema_ready = TABLE("ready", ready_keys);
const struct schema_table schema_limits = TABLE("limits", limits_keys);
const struct schema_table schema_rate = TABLE("limits.rate", rate_keys);
const struct schema_table schema_canary = TABLE("canary", canary_keys);
const struct schema_table schema_scale = TABLE("scale", scale_keys);

const struct schema_key *schema_find(const struct schema_table *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *key = t->keys[i].name;
        if (key[0] == name[0] && strcmp(key, name) == 0)
            return &t->keys[i];
    }
    return NULL;
}
