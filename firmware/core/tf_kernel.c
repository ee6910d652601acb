#include "tf_kernel.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* Sixteen accumulators stay in registers while one input is loaded once for all of them. Written out because
 * compilers at -O2 keep an array of sixteen in memory. */
#define ROWS16(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define ROWS4(DO) DO(0) DO(1) DO(2) DO(3)

#define LOAD(r) float a##r = sum[r];
#define MULTIPLY_ADD(r) a##r += w[r] * in;
#define STORE(r) out[r] = a##r;

#define BLOCK(name, rows, ROWS)                                                                        \
    static void name(const float *w, uint32_t count, const float *sum, const float *x, float *out)    \
    {                                                                                                  \
        ROWS(LOAD)                                                                                     \
        for (const float *end = x + count; x != end; w += rows) {                                      \
            const float in = *x++;                                                                     \
            ROWS(MULTIPLY_ADD)                                                                         \
        }                                                                                              \
        ROWS(STORE)                                                                                    \
    }

BLOCK(block16, 16, ROWS16)
BLOCK(block4, 4, ROWS4)

void tf_accumulate(const tf_layer_t *layer, uint32_t first, uint32_t count, const float *sum, const float *x,
                   float *out)
{
    const uint32_t rows = (layer->outputs + 3u) & ~3u;
    const float *w = layer->weight;
    uint32_t row = 0;

    for (; row + 16 <= rows; row += 16, w += 16u * layer->inputs)
        block16(w + 16 * first, count, sum + row, x, out + row);
    for (; row < rows; row += 4, w += 4u * layer->inputs)
        block4(w + 4 * first, count, sum + row, x, out + row);
}
