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

#include <stdint.h>

#ifdef __FAST_MATH__
#error "tinyfly's bits need IEEE arithmetic: compile without -ffast-math and with -ffp-contract=off"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* y = tanh(weight x + bias). Rows are padded with zeros to a multiple of four and stored in blocks of 16 rows
 * (then of 4); within a block, the block's weights for input 0, then for input 1, and so on. */
typedef struct {
    uint16_t inputs;
    uint16_t outputs;
    const float *bias;   /* outputs, rounded up to a multiple of 4 */
    const float *weight; /* inputs times that */
} tf_layer_t;

typedef struct {
    uint32_t layers;
    const tf_layer_t *layer;
    float *scratch[2]; /* the hidden layers' outputs take turns here; one step at a time per network */
} tf_network_t;

/* The whole step: input (inputs of the first layer) -> action. NaN in never means NaN out: |action| <= 1. */
void tf_network_step(const tf_network_t *net, const float *input, float action[4]);

/* Sums bias and the first n_old inputs. partial: TF_POLICY_PARTIAL floats, opaque, kept until the finish. */
void tf_network_prepare(const tf_network_t *net, const float *history, uint32_t n_old, float *partial);

/* The rest of the inputs (from input n_old on) -> action; may be called many times after one prepare. */
void tf_network_finish(const tf_network_t *net, const float *partial, const float *newest_and_state,
                       float action[4]);

/* tanh by the table, |error| <= 4e-7; a NaN gives what +infinity gives, so the network is total. */
float tf_tanh(float x);

#ifdef __cplusplus
}
#endif
#endif
