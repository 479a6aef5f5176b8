/* SPDX-License-Identifier: Apache-2.0 */
#include "score.h"

#include "dataset.h"

#include <math.h>

uint32_t best_class(const float *probabilities)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < CLASSES; c++) {
        if (probabilities[c] > probabilities[best])
            best = c;
    }
    return best;
}

void score_add(struct score *s, const float *probabilities, const uint8_t *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float *p = probabilities + i * CLASSES;
        s->right += best_class(p) == labels[i];
        s->loss -= log(fmax((double)p[labels[i]], 1e-6));
    }
    s->images += n;
}
