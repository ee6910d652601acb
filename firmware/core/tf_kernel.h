/* The inner loop, in portable C or in Cortex-M4F assembly (chosen at build time), with the same bits. */
#ifndef TF_KERNEL_H
#define TF_KERNEL_H

#include "tf_network.h"

/* out[row] = sum[row] + weight[row][first] x[0] + ... + weight[row][first + count - 1] x[count - 1], for every
 * row of the layer (padding included), in that order. out may be sum, but not x. */
void tf_accumulate(const tf_layer_t *layer, uint32_t first, uint32_t count, const float *sum, const float *x,
                   float *out);

#endif
