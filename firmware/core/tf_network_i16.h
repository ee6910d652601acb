/* The network in 16-bit integers, layer by layer: for a Cortex-M0, which has no FPU, for less time on a Cortex-M4, and
 * for half the flash, or a quarter. The action differs from the float network's; tf_kernel_i16.h says how it is made. */
#ifndef TF_NETWORK_I16_H
#define TF_NETWORK_I16_H

#include "tf_kernel_i16.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t inputs;
    uint32_t layers;
    uint32_t input_bits; /* an input is in units of 2^-input_bits */
    const tf_layer_i16_t *layer;
    int32_t *sum;        /* room for the widest layer's */
    int16_t *scratch[2]; /* each holds the widest layer, or the inputs, to a multiple of four; aligned to four bytes */
} tf_network_i16_t;

/* input -> action in [-1, 1]. Inputs beyond the scale saturate, a NaN counts as 0. */
void tf_network_i16_step(const tf_network_i16_t *net, const float *input, float action[4]);

/* The same in two: bias and the first n_old inputs (a multiple of four) ahead of time, partial holding a sum for
 * every row of the first layer; then the rest of the inputs on the critical path. */
void tf_network_i16_prepare(const tf_network_i16_t *net, const float *history, uint32_t n_old, int32_t *partial);
void tf_network_i16_finish(const tf_network_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                           float action[4]);

static inline uint32_t tf_network_i16_outputs(const tf_network_i16_t *net)
{
    return net->layer[net->layers - 1u].rows;
}

#ifdef __cplusplus
}
#endif
#endif
