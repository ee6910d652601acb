#include "tf_kernel.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* block16 and block4: out[r] = sum[r] + w[r] x[0] + w[rows + r] x[1] + ..., count inputs. */
#ifdef TF_KERNEL_M4F
#include "tf_block_m4f.h"
#else
#include "tf_block_c.h"
#endif

void tf_accumulate(const tf_layer_t *layer, uint32_t first, uint32_t count, const float *sum, const float *x,
                   float *out)
{
    const uint32_t rows = tf_rows(layer);
    const float *w = layer->weight;
    uint32_t row = 0;

    for (; row + 16 <= rows; row += 16, w += 16u * layer->inputs)
        block16(w + 16 * first, count, sum + row, x, out + row);
    for (; row < rows; row += 4, w += 4u * layer->inputs)
        block4(w + 4 * first, count, sum + row, x, out + row);
}
