#include <string.h>

#include "tf_kernel.h"
#include "tf_tanh_table.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* |x|, at most the limit; a NaN, too, gives the limit. On the bits, where compilers need no branch. */
static float magnitude(float x)
{
    const float limit = TF_TANH_BELOW_LIMIT;
    uint32_t bits, most;

    memcpy(&bits, &x, sizeof bits);
    memcpy(&most, &limit, sizeof most);
    bits &= 0x7fffffffu;
    bits = bits < most ? bits : most;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Piecewise cubic on |x| (tinyfly.activation): one IEEE operation each, in this order. */
float tf_tanh(float x)
{
    const float s = magnitude(x) * TF_TANH_PIECES_PER_UNIT;
    const int32_t piece = (int32_t)s;
    const float t = s - (float)piece;
    const float *c = tf_tanh_table[piece];
    const float r = ((c[3] * t + c[2]) * t + c[1]) * t + c[0];

    return x < 0.0f ? -r : r; /* not copysign: the sign of a NaN differs between processors */
}

#ifdef TF_KERNEL_M4F
#include "tf_tanh_m4f.h"

void tf_tanh_rows(float *x, uint32_t rows)
{
    tanh_pairs(x, rows / 2);
}
#else
void tf_tanh_rows(float *x, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++)
        x[i] = tf_tanh(x[i]);
}
#endif
