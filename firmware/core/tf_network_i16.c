#include "tf_network_i16.h"

#include <string.h>

#include "tf_tanh_i16_table.h"

#include "tf_block_i16.h"

/* x, negated when negative is 1. Without a branch, as all below: a step takes the same time whatever comes. */
static inline int32_t with_sign(int32_t x, uint32_t negative)
{
    const int32_t mask = -(int32_t)negative;

    return (x ^ mask) - mask;
}

/* tanh(x / 2^16) * 2^15, at most 32767; |error| <= 1.3e-4. */
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

/* x 2^bits, rounded half away from zero, at most +-32767; on the bits, since an M0 computes floats by hand. */
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

static void quantise_all(const tf_network_i16_t *net, const float *input, uint32_t n, int16_t *x)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = quantise(input[i], net->input_bits);
    for (; n % 4u != 0u; n++)
        x[n] = 0;
}

/* sum = from + the weights' part from input `first` on, for the four rows from `row` on. */
static void sum_block(const tf_layer_i16_t *layer, uint32_t row, uint32_t first, uint32_t inputs, const int32_t *from,
                      const int16_t *x, int32_t sum[4])
{
    const uint32_t at = row * layer->inputs + 4u * first;

    memcpy(sum, from + row, 4 * sizeof *sum);
    if (layer->weight8 != NULL)
        block8(layer->weight8 + at, x, inputs, sum);
    else
        block16(layer->weight + at, x, inputs, sum);
}

/* tanh's arguments, in place. The exporter keeps them within int32. */
static void scale_block(const tf_layer_i16_t *layer, uint32_t row, int32_t sum[4])
{
    for (uint32_t r = 0; r < 4u; r++) {
        if (layer->scale != NULL)
            sum[r] = (int32_t)(((int64_t)sum[r] * layer->scale[row + r]) >> layer->shift);
        else
            sum[r] >>= layer->shift;
    }
}

/* The layers from the partial sums of the first one on; scratch[0] holds its inputs from `first` on. */
static void run(const tf_network_i16_t *net, const int32_t *from, uint32_t first, float action[4])
{
    int16_t *x = net->scratch[0];
    int16_t *out = net->scratch[1];

    for (uint32_t k = 0; k < net->layers; k++) {
        const tf_layer_i16_t *layer = &net->layer[k];
        int16_t *const swap = x;

        for (uint32_t row = 0; row < layer->rows; row += 4u) {
            int32_t sum[4];

            sum_block(layer, row, first, layer->inputs - first, k == 0 ? from : layer->bias, x, sum);
            scale_block(layer, row, sum);
            for (uint32_t r = 0; r < 4u; r++)
                out[row + r] = tanh_i16(sum[r]);
        }
        x = out;
        out = swap;
        first = 0;
    }
    for (uint32_t i = 0; i < 4u; i++)
        action[i] = (float)x[i] * 0x1p-15f;
}

void tf_network_i16_step(const tf_network_i16_t *net, const float *input, float action[4])
{
    quantise_all(net, input, net->inputs, net->scratch[0]);
    run(net, net->layer[0].bias, 0, action);
}

void tf_network_i16_prepare(const tf_network_i16_t *net, const float *history, uint32_t n_old, int32_t *partial)
{
    const tf_layer_i16_t *layer = &net->layer[0];

    quantise_all(net, history, n_old, net->scratch[0]);
    for (uint32_t row = 0; row < layer->rows; row += 4u)
        sum_block(layer, row, 0, n_old, layer->bias, net->scratch[0], partial + row);
}

void tf_network_i16_finish(const tf_network_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                           float action[4])
{
    quantise_all(net, rest, net->inputs - n_old, net->scratch[0]);
    run(net, partial, n_old, action);
}
