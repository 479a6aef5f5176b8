/* SPDX-License-Identifier: Apache-2.0 */
/* A service of a run as the supervisor is to carry it out: the step's options and texts, for each promoted model, made into a service_spec. */
#ifndef WF_ENGINE_SERVICE_SPEC_H
#define WF_ENGINE_SERVICE_SPEC_H

#include "engine/promotions.h"
#include "serve/spec.h"
#include "steps/question.h"

struct arena;
struct asker;
struct err;
struct value;
struct world;

/* What `model` is for a step's expressions: an object with path, name, slug, metric, metrics, matrix, outputs, promotion. In containers outputs are mounted below /wf/model. Lives in `a`. */
int service_model_value(struct store *s, const struct promoted_model *m, uint32_t promotion,
                        bool container, struct arena *a, struct value *ret, struct err *err);
/* What `replica` is: socket, port, index, as the words the supervisor replaces. */
void service_replica_value(struct arena *a, struct value *ret);
/* `p`: NULL where there are no models. The question is answered (of an aggregate without a command: NULL). Lives in `a` and in what it was made from. */
int service_spec_build(const struct world *w, struct asker *k, const struct instance_ref *i,
                       const struct question *q, const struct promotion *p, struct arena *a,
                       struct service_spec *ret, struct err *err);

#endif
