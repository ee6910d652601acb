/* One layer of a network, as the kernels want it in flash, and its activation. */
#ifndef TF_LAYER_H
#define TF_LAYER_H

#include <stdint.h>

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__)
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

/* Rows of a layer as stored: its outputs, rounded up to whole blocks of four. */
static inline uint32_t tf_rows(const tf_layer_t *layer)
{
    return (layer->outputs + 3u) & ~3u;
}

/* tanh by the table, |error| <= 4e-7; a NaN gives what +infinity gives, so the network is total. */
float tf_tanh(float x);

#ifdef __cplusplus
}
#endif
#endif
