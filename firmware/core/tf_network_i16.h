/* The network in 16-bit integers, for a Cortex-M0, which has no FPU, for half the time on a Cortex-M4, and for half
 * the flash, or a quarter.
 *
 * Inputs and activations are int16 with a power-of-two scale, sums are int32 and cannot overflow (the exporter chose
 * the scales so), tanh is a table with linear steps. Weights are int16 with a power-of-two scale for the layer, or
 * int8 with a scale for each row. Integers are exact: every machine gives the same bits as tinyfly_export.integer.
 * The action differs from the float network's. */
#ifndef TF_NETWORK_I16_H
#define TF_NETWORK_I16_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows in blocks of four. int16: within a block, for every pair of inputs, row after row the pair's two weights.
 * int8: for every four inputs, row after row the four weights, in the order 0 2 1 3. Padded with zeros: inputs to
 * a multiple of two (int8: four), rows of four. */
typedef struct {
    uint16_t inputs;       /* as padded */
    uint16_t rows;         /* as padded */
    uint8_t shift;         /* (a sum times its scale) / 2^shift is tanh's argument in units of 2^-16 */
    const int32_t *bias;   /* one a row */
    const int32_t *scale;  /* int8: one a row; NULL for int16, whose scale is 1 */
    const int16_t *weight; /* one of the two, the other is NULL */
    const int8_t *weight8;
} tf_layer_i16_t;

typedef struct {
    uint32_t inputs;
    uint32_t layers;
    uint32_t input_bits; /* an input is in units of 2^-input_bits */
    const tf_layer_i16_t *layer;
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
