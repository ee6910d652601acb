#include "tf_network_i16.h"

#include <string.h>

#include "tf_tanh_i16_table.h"

/* Four rows: sum[r] += w x, pair after pair. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && !defined(TF_PORTABLE_KERNEL)
/* r4, r5: two pairs of inputs; r8..r11: their weights. Two multiply-adds are one instruction. */
#define PAIR(pair)                        \
    "ldmia %[w]!, {r8-r11}\n\t"           \
    "smlad %[s0], r8, " pair ", %[s0]\n\t" \
    "smlad %[s1], r9, " pair ", %[s1]\n\t" \
    "smlad %[s2], r10, " pair ", %[s2]\n\t" \
    "smlad %[s3], r11, " pair ", %[s3]\n\t"
#define TWO_PAIRS "ldmia %[x]!, {r4-r5}\n\t" PAIR("r4") PAIR("r5")
#define EIGHT_PAIRS TWO_PAIRS TWO_PAIRS TWO_PAIRS TWO_PAIRS

static void block(const int16_t *w, const int16_t *x, uint32_t pairs, int32_t sum[4])
{
    int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];

    __asm__ volatile("subs %[n], %[n], #8\n\t"
                     "blo 2f\n\t"
                     ".p2align 3\n"
                     "1:\n\t" EIGHT_PAIRS
                     "subs %[n], %[n], #8\n\t"
                     "bhs 1b\n"
                     "2:\n\t"
                     "adds %[n], %[n], #8\n\t"
                     "beq 4f\n"
                     "3:\n\t"
                     "ldmia %[x]!, {r4}\n\t" PAIR("r4")
                     "subs %[n], %[n], #1\n\t"
                     "bne 3b\n"
                     "4:\n\t"
                     : [w] "+r"(w), [x] "+r"(x), [n] "+r"(pairs), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2),
                       [s3] "+r"(s3)
                     :
                     : "cc", "memory", "r4", "r5", "r8", "r9", "r10", "r11");
    sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
}
#else
/* Two rows at a time: a Cortex-M0 has eight registers to hold pointers, inputs and sums. */
static void two_rows(const int16_t *w, const int16_t *x, uint32_t pairs, int32_t sum[2])
{
    int32_t s0 = sum[0], s1 = sum[1];

    for (const int16_t *end = x + 2 * pairs; x != end; x += 2, w += 8) {
        const int32_t x0 = x[0], x1 = x[1];

        s0 += w[0] * x0;
        s0 += w[1] * x1;
        s1 += w[2] * x0;
        s1 += w[3] * x1;
    }
    sum[0] = s0, sum[1] = s1;
}

static void block(const int16_t *w, const int16_t *x, uint32_t pairs, int32_t sum[4])
{
    two_rows(w, x, pairs, sum);
    two_rows(w + 4, x, pairs, sum + 2);
}
#endif

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
    const uint32_t rounded = (mantissa + (1u << (right - 1u))) >> right;
    const uint32_t held = rounded < 32767u ? rounded : 32767u;
    const uint32_t number = 0u - (uint32_t)(magnitude <= 0x7f800000u); /* all bits set, none for a NaN */

    return (int16_t)with_sign((int32_t)(held & number), raw >> 31);
}

static void quantise_all(const tf_network_i16_t *net, const float *input, uint32_t n, int16_t *x)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = quantise(input[i], net->input_bits);
    if (n & 1u)
        x[n] = 0;
}

/* sum = from + the weights' part from input pair `first` on, for the four rows of a block. */
static void sum_block(const tf_layer_i16_t *layer, uint32_t i, uint32_t first, uint32_t pairs, const int32_t *from,
                      const int16_t *x, int32_t sum[4])
{
    memcpy(sum, from + 4 * i, 4 * sizeof *sum);
    block(layer->weight + 8u * (i * layer->pairs + first), x, pairs, sum);
}

/* The layers from the partial sums of the first one on; scratch[0] holds its inputs from pair `first` on. */
static void run(const tf_network_i16_t *net, const int32_t *from, uint32_t first, float action[4])
{
    int16_t *x = net->scratch[0];
    int16_t *out = net->scratch[1];

    for (uint32_t k = 0; k < net->layers; k++) {
        const tf_layer_i16_t *layer = &net->layer[k];
        int16_t *const swap = x;

        for (uint32_t i = 0; i < layer->blocks; i++) {
            int32_t sum[4];

            sum_block(layer, i, first, layer->pairs - first, k == 0 ? from : layer->bias, x, sum);
            for (uint32_t r = 0; r < 4u; r++)
                out[4 * i + r] = tanh_i16(sum[r] >> (layer->shift - 16u));
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
    for (uint32_t i = 0; i < layer->blocks; i++)
        sum_block(layer, i, 0, n_old / 2u, layer->bias, net->scratch[0], partial + 4 * i);
}

void tf_network_i16_finish(const tf_network_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                           float action[4])
{
    quantise_all(net, rest, net->inputs - n_old, net->scratch[0]);
    run(net, partial, n_old / 2u, action);
}
