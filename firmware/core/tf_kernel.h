/* The inner loops, in portable C or in Cortex-M4F assembly (chosen at build time), with the same bits. */
#ifndef TF_KERNEL_H
#define TF_KERNEL_H

#include "tf_layer.h"

/* Armv7E-M with an FPU (Cortex-M4F, M7). TF_PORTABLE_KERNEL keeps to C there too. */
#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FP) && !defined(TF_PORTABLE_KERNEL)
#define TF_KERNEL_M4F
#endif

/* out[row] = sum[row] + weight[row][first] x[0] + ... + weight[row][first + count - 1] x[count - 1], for every
 * row of the layer as stored, in that order. out may be sum, but not x. */
void tf_accumulate(const tf_layer_t *layer, uint32_t first, uint32_t count, const float *sum, const float *x,
                   float *out);

/* x[i] = tf_tanh(x[i]); rows is a multiple of four. */
void tf_tanh_rows(float *x, uint32_t rows);

#endif
