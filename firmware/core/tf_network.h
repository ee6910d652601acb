/* The policy network: input -> four motor actions in [-1, 1], the same bits on every machine.
 *
 * One accumulator per output starts at the bias; inputs are added in order; every multiply and every add
 * rounds once. That is the definition (tinyfly.network.act_exact); kernels may loop as they like.
 *
 * Because the action history comes first, bias + old history can be summed after an output has gone out
 * (tf_network_prepare) and only the newest slot and the state on the critical path (tf_network_finish):
 * the same additions in the same order as tf_network_step.
 *
 * No data-dependent loops or branches: a step always runs the same instructions.
 */
#ifndef TF_NETWORK_H
#define TF_NETWORK_H

#include "tf_layer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t inputs;
    uint32_t layers;
    const tf_layer_t *layer;
    float *scratch[2]; /* the hidden layers' outputs take turns here; one step at a time per network */
} tf_network_t;

/* The whole step: input (inputs of the first layer) -> action. NaN in never means NaN out: |action| <= 1. */
void tf_network_step(const tf_network_t *net, const float *input, float action[4]);

/* The same in two: bias and the first n_old inputs ahead of time, partial holding a float for every row of the first
 * layer; then the rest of the inputs, as many times as wanted. */
void tf_network_prepare(const tf_network_t *net, const float *history, uint32_t n_old, float *partial);
void tf_network_finish(const tf_network_t *net, const float *partial, uint32_t n_old, const float *rest,
                       float action[4]);

static inline uint32_t tf_network_outputs(const tf_network_t *net)
{
    return net->layer[net->layers - 1u].outputs;
}

#ifdef __cplusplus
}
#endif
#endif
