#include "tf_kernel_i16.h"

#include <string.h>

#include "tf_tanh_i16_table.h"

#include "tf_block_i16.h"

/* x, negated when negative is 1; without a branch, as all below. */
static inline int32_t with_sign(int32_t x, uint32_t negative)
{
    const int32_t mask = -(int32_t)negative;

    return (x ^ mask) - mask;
}

static inline int16_t tanh_i16(int32_t x)
{
    const uint32_t most = (8u << 16) - 1u;
    const uint32_t negative = (uint32_t)x >> 31;
    uint32_t m = (uint32_t)with_sign(x, negative); /* the exporter keeps sums above -2^31 */

    m = m < most ? m : most;
    const int16_t *row = tf_tanh_i16_table + (m >> 11);
    const int32_t y = row[0] + (((row[1] - row[0]) * (int32_t)(m & 2047u) + 1024) >> 11);

    return (int16_t)with_sign(y, negative);
}

/* On the bits, since an M0 computes floats by hand. */
static int16_t quantise(float x, uint32_t bits)
{
    uint32_t raw;

    memcpy(&raw, &x, sizeof raw);
    const uint32_t magnitude = raw & 0x7fffffffu;
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t exponent = (magnitude >> 23) + bits; /* |x 2^bits| = mantissa 2^(exponent - 150) */
    const uint32_t least = exponent > 125u ? exponent : 125u;
    const uint32_t right = 150u - (least < 149u ? least : 149u); /* 1..25: all that matters below 2^15 */
    /* cppcheck-suppress shiftTooManyBits ; 2.10 does not see that least is 125 or more */
    const uint32_t rounded = (mantissa + (1u << (right - 1u))) >> right;
    const uint32_t held = rounded < 32767u ? rounded : 32767u;
    const uint32_t number = 0u - (uint32_t)(magnitude <= 0x7f800000u); /* all bits set, none for a NaN */

    return (int16_t)with_sign((int32_t)(held & number), raw >> 31);
}

void tf_quantise_i16(const float *x, uint32_t n, uint32_t bits, int16_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = quantise(x[i], bits);
}

void tf_accumulate_i16(const tf_layer_i16_t *layer, uint32_t first, uint32_t inputs, const int32_t *from,
                       const int16_t *x, int32_t *sum)
{
    const uint32_t rows = layer->rows;
    uint32_t at = 4u * first; /* of the weights: the next four rows, from input `first` on */

    if (sum != from)
        memcpy(sum, from, rows * sizeof *sum);
    for (uint32_t row = 0; row < rows; row += 4u, at += 4u * layer->inputs) {
        if (layer->weight8 != NULL)
            block8(layer->weight8 + at, x, inputs, sum + row);
        else
            block16(layer->weight + at, x, inputs, sum + row);
    }
}

void tf_scale_i16(const tf_layer_i16_t *layer, int32_t *sum)
{
    for (uint32_t row = 0; row < layer->rows; row++) {
        if (layer->scale != NULL)
            sum[row] = (int32_t)(((int64_t)sum[row] * layer->scale[row]) >> layer->shift);
        else
            sum[row] >>= layer->shift;
    }
}

void tf_tanh_rows_i16(const int32_t *x, uint32_t rows, int16_t *out)
{
    for (uint32_t row = 0; row < rows; row++)
        out[row] = tanh_i16(x[row]);
}
