/* The network in 16-bit integers, for a Cortex-M0, which has no FPU, and for half the time on a Cortex-M4.
 *
 * Inputs, activations and weights are int16 with a power-of-two scale per layer, sums are int32 and cannot
 * overflow (the exporter chose the scales so), tanh is a table with linear steps. Integers are exact: every
 * machine gives the same bits as tinyfly_export.integer. The action differs from the float network's. */
#ifndef TF_NETWORK_I16_H
#define TF_NETWORK_I16_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows in blocks of four; within a block, for every pair of inputs, row after row the pair's two weights. Both
 * are padded with zeros: inputs to a multiple of two, rows of four. */
typedef struct {
    uint16_t pairs;  /* of inputs */
    uint16_t blocks; /* of rows */
    uint8_t shift;   /* a sum is in units of 2^-shift; at least 16 */
    const int32_t *bias;
    const int16_t *weight;
} tf_layer_i16_t;

typedef struct {
    uint32_t inputs;
    uint32_t layers;
    uint32_t input_bits; /* an input is in units of 2^-input_bits */
    const tf_layer_i16_t *layer;
    int16_t *scratch[2]; /* each holds the widest layer, or the inputs, padded; aligned to four bytes */
} tf_network_i16_t;

/* input -> action in [-1, 1]. Inputs beyond the scale saturate, a NaN counts as 0. */
void tf_network_i16_step(const tf_network_i16_t *net, const float *input, float action[4]);

/* The same in two: bias and the first n_old inputs (an even number) ahead of time, partial holding four sums for
 * every block of the first layer; then the rest of the inputs on the critical path. */
void tf_network_i16_prepare(const tf_network_i16_t *net, const float *history, uint32_t n_old, int32_t *partial);
void tf_network_i16_finish(const tf_network_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                           float action[4]);

#ifdef __cplusplus
}
#endif
#endif
