/* Between the world and the motors: what may be believed, and what to do when nothing may.
 * Every check is on bit patterns, so -ffast-math cannot remove it. */
#ifndef TF_GUARD_H
#define TF_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "tf_types.h"

/* A plausible state, per component. */
#define TF_POSITION_MAX_M 100.0f
#define TF_VELOCITY_MAX_M_S 30.0f
#define TF_ANGULAR_VELOCITY_MAX_RAD_S 60.0f /* the Crazyflie's gyro ends at 2000 deg/s = 35 rad/s */
#define TF_QUATERNION_NORM2_ERROR 0.1f      /* | |q|^2 - 1 | */
#define TF_INPUT_MAX 1e4f                   /* any network input */

#define TF_STALE_US 100000u      /* level and descend */
#define TF_LOST_US 500000u       /* motors off */
#define TF_SETTLED_US 500000u    /* of good states before an arm */
#define TF_TOO_SLOW_US 250000u   /* not one state in time for so long: as good as stale */
#define TF_BAD_WINDOW_US 100000u
#define TF_BAD_COUNT 3u          /* bad ones in the window: degraded */

/* With no state to fly on (see tf_guard_blind). */
#define TF_HOLD_US 10000u        /* one step of the slowest rate: the last safe command stands */
#define TF_LEVEL_US 30000u       /* from here on all four motors turn alike */
#define TF_BLIND_BEGIN 0.95f     /* of hover speed: 0.90 of the weight */
#define TF_BLIND_END 0.80f       /* of hover speed: 0.64 of the weight */

typedef struct {
    uint32_t state_age_us;                 /* since the last good state */
    uint32_t good_us;                      /* for how long states have been good without a gap */
    uint32_t late_us;                      /* for how long every good one has come late */
    uint32_t bad_age_us[TF_BAD_COUNT - 1]; /* since the last bad one, and the one before */
    uint8_t latched;                       /* TF_REASON_ of the latched fault, or none */
    float safe[TF_MOTORS];                 /* the last motor command that came from a good state */
} tf_guard_t;

/* Nothing seen yet: no state, no fault. */
void tf_guard_init(tf_guard_t *guard);

/* Forgets the faults, not the state: for a new arm. */
void tf_guard_clear(tf_guard_t *guard);

/* Lets time pass: all ages grow by dt_us. */
void tf_guard_step(tf_guard_t *guard, uint32_t dt_us);

/* TF_REASON_NONE, TF_REASON_NON_FINITE_STATE or TF_REASON_IMPLAUSIBLE_STATE. */
uint8_t tf_guard_check(const tf_state_t *state);

/* A good state has come (and, when flying, a good action from it). late_us after the one before it is late: a gap. */
void tf_guard_good(tf_guard_t *guard, uint32_t late_us);

/* Something bad has come; the third within the window latches its reason. */
void tf_guard_bad(tf_guard_t *guard, uint8_t reason);

/* Two bad ones within the window: something comes, only nothing to fly on. */
bool tf_guard_bad_of_late(const tf_guard_t *guard);

/* Good states for TF_SETTLED_US, and the last of them fresh. */
bool tf_guard_settled(const tf_guard_t *guard);

/* Motor speed fractions with no state to fly on, by the age of the last good one: hover is the hover speed. */
void tf_guard_blind(const tf_guard_t *guard, float hover, float motors[TF_MOTORS]);

/* n numbers, each of magnitude <= limit (and so finite)? */
bool tf_guard_numbers(const float *x, uint32_t n, float limit);

#endif
