/* SPDX-License-Identifier: Apache-2.0 */
/* How good probabilities are: CLASSES of them for each image. */
#ifndef FASHION_SCORE_H
#define FASHION_SCORE_H

#include <stddef.h>
#include <stdint.h>

/* The most probable class; the first of equals. */
uint32_t best_class(const float *probabilities);

/* Right answers counted, and the cross-entropy summed with no probability taken below 1e-6: vote shares may be 0. */
struct score {
    uint64_t images, right;
    double loss;
};
void score_add(struct score *s, const float *probabilities, const uint8_t *labels, size_t n);

#endif
