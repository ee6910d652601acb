#include <string.h>

#include "tf_network.h"
#include "tf_tanh_table.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* Piecewise cubic on |x| (tinyfly.activation): one IEEE operation each, in this order. */
float tf_tanh(float x)
{
    uint32_t bits;
    float y;

    memcpy(&bits, &x, sizeof bits);
    bits &= 0x7fffffffu;
    if (bits > TF_TANH_BELOW_LIMIT) /* every NaN too */
        bits = TF_TANH_BELOW_LIMIT;
    memcpy(&y, &bits, sizeof y);

    const float s = y * TF_TANH_PIECES_PER_UNIT;
    const int32_t piece = (int32_t)s;
    const float t = s - (float)piece;
    const float *c = tf_tanh_table[piece];
    const float r = ((c[3] * t + c[2]) * t + c[1]) * t + c[0];

    return x < 0.0f ? -r : r; /* not copysign: the sign of a NaN differs between processors */
}
