/* What the integer networks are made of: a layer in flash, its sums, its activation.
 *
 * Inputs and activations are int16 with a power-of-two scale, sums are int32 and cannot overflow (the exporter chose
 * the scales so), tanh is a table with linear steps. Weights are int16 with a power-of-two scale for the layer, or
 * int8 with a scale for each row. Integers are exact: every machine gives the same bits as tinyfly_export.integer.
 * Nothing here branches on data: a step takes the same time whatever comes. */
#ifndef TF_KERNEL_I16_H
#define TF_KERNEL_I16_H

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

/* x 2^bits, rounded half away from zero, at most +-32767; a NaN gives 0. */
void tf_quantise_i16(const float *x, uint32_t n, uint32_t bits, int16_t *out);

/* sum[row] = from[row] + the weights' part from input `first` on, for every row: `inputs` of them, x on. */
void tf_accumulate_i16(const tf_layer_i16_t *layer, uint32_t first, uint32_t inputs, const int32_t *from,
                       const int16_t *x, int32_t *sum);

/* Sums of every row -> tanh's arguments in units of 2^-16, in place. The exporter keeps them within int32. */
void tf_scale_i16(const tf_layer_i16_t *layer, int32_t *sum);

/* tanh(x / 2^16) * 2^15, at most 32767; |error| <= 1.3e-4. */
void tf_tanh_rows_i16(const int32_t *x, uint32_t rows, int16_t *out);

#ifdef __cplusplus
}
#endif
#endif
