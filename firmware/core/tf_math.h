/* The little arithmetic the core needs, the same bits on every processor (compile with -ffp-contract=off).
 * No libm: its sine differs between C libraries. */
#ifndef TF_MATH_H
#define TF_MATH_H

#include <stdbool.h>
#include <stdint.h>

/* |x| <= limit, and so finite: compared as integers, so that -ffast-math cannot reason it away.
 * limit must be positive and finite. */
bool tf_within(float x, float limit);

/* Finite: neither NaN nor infinite, by bit pattern. */
bool tf_finite(float x);

/* x limited to [-limit, limit]; limit >= 0. A NaN gives 0. */
float tf_clip(float x, float limit);

/* x limited to [0, 1]; a NaN gives 0. */
float tf_clip_unit(float x);

/* Sine and cosine of a whole number of turns (1 turn = 2 pi rad), |turns| < 2^20; error <= 2e-7. */
void tf_sin_cos(float turns, float *sine, float *cosine);

/* Square root, x >= 0 and finite; relative error <= 2e-7. */
float tf_sqrt(float x);

/* Time that only grows: a + b, held at UINT32_MAX instead of wrapping, so that old never looks new again. */
uint32_t tf_age_add(uint32_t age_us, uint32_t dt_us);

#endif
