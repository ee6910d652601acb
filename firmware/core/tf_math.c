#include "tf_math.h"

#include <string.h>

#define MAGNITUDE 0x7FFFFFFFu
#define INFINITE 0x7F800000u

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

bool tf_within(float x, float limit)
{
    return (bits_of(x) & MAGNITUDE) <= bits_of(limit); /* IEEE magnitudes sort as their bits, NaN above all */
}

bool tf_finite(float x)
{
    return (bits_of(x) & MAGNITUDE) < INFINITE;
}

float tf_clip(float x, float limit)
{
    const uint32_t bits = bits_of(x);

    if ((bits & MAGNITUDE) > INFINITE)
        return 0.0f;
    if ((bits & MAGNITUDE) <= bits_of(limit))
        return x;
    return float_of(bits_of(limit) | (bits & ~MAGNITUDE));
}

float tf_clip_unit(float x)
{
    return (bits_of(x) & ~MAGNITUDE) != 0u ? 0.0f : tf_clip(x, 1.0f);
}

void tf_sin_cos(float turns, float *sine, float *cosine)
{
    /* The nearest quarter turn is taken off exactly; Taylor's series on what is left, |x| <= pi / 4. */
    const float quarters = turns * 4.0f;
    const int32_t nearest = (int32_t)(quarters < 0.0f ? quarters - 0.5f : quarters + 0.5f);
    const float x = (quarters - (float)nearest) * 0x1.921fb6p+0f;
    const float y = x * x;
    const float s = x + x * y * (-1.0f / 6 + y * (1.0f / 120 + y * (-1.0f / 5040 + y * (1.0f / 362880))));
    const float c = 1.0f + y * (-0.5f + y * (1.0f / 24 + y * (-1.0f / 720 + y * (1.0f / 40320))));

    switch ((uint32_t)nearest & 3u) {
    case 0u: *sine = s, *cosine = c; break;
    case 1u: *sine = c, *cosine = -s; break;
    case 2u: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}

float tf_sqrt(float x)
{
    if (x <= 0.0f)
        return 0.0f;
    float y = float_of((bits_of(x) >> 1) + 0x1FBD1DF5u); /* halves the exponent: within 4 % */
    for (uint32_t i = 0; i < 3u; i++) /* Newton squares the error: 7e-4, 3e-7, rounding */
        y = 0.5f * (y + x / y);
    return y;
}

uint32_t tf_age_add(uint32_t age_us, uint32_t dt_us)
{
    return dt_us > UINT32_MAX - age_us ? UINT32_MAX : age_us + dt_us;
}
