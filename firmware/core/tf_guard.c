#include "tf_guard.h"

#include "tf_math.h"
#include "tf_messages.h"

void tf_guard_init(tf_guard_t *guard)
{
    guard->state_age_us = UINT32_MAX;
    guard->good_us = 0;
    guard->late_us = 0;
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        guard->safe[i] = 0.0f;
    tf_guard_clear(guard);
}

void tf_guard_clear(tf_guard_t *guard)
{
    for (uint32_t i = 0; i < TF_BAD_COUNT - 1u; i++)
        guard->bad_age_us[i] = UINT32_MAX;
    guard->latched = TF_REASON_NONE;
}

void tf_guard_step(tf_guard_t *guard, uint32_t dt_us)
{
    guard->state_age_us = tf_age_add(guard->state_age_us, dt_us);
    for (uint32_t i = 0; i < TF_BAD_COUNT - 1u; i++)
        guard->bad_age_us[i] = tf_age_add(guard->bad_age_us[i], dt_us);
}

bool tf_guard_numbers(const float *x, uint32_t n, float limit)
{
    bool within = true;

    for (uint32_t i = 0; i < n; i++)
        within &= tf_within(x[i], limit);
    return within;
}

static bool finite(const float *x, uint32_t n)
{
    bool all = true;

    for (uint32_t i = 0; i < n; i++)
        all &= tf_finite(x[i]);
    return all;
}

uint8_t tf_guard_check(const tf_state_t *state)
{
    const float *q = state->quaternion;

    if (!finite(state->position, 3) || !finite(q, 4) || !finite(state->velocity, 3) ||
        !finite(state->angular_velocity, 3))
        return TF_REASON_NON_FINITE_STATE;
    if (!tf_guard_numbers(state->position, 3, TF_POSITION_MAX_M) ||
        !tf_guard_numbers(state->velocity, 3, TF_VELOCITY_MAX_M_S) ||
        !tf_guard_numbers(state->angular_velocity, 3, TF_ANGULAR_VELOCITY_MAX_RAD_S) ||
        !tf_within(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3] - 1.0f, TF_QUATERNION_NORM2_ERROR))
        return TF_REASON_IMPLAUSIBLE_STATE;
    return TF_REASON_NONE;
}

void tf_guard_good(tf_guard_t *guard, uint32_t late_us)
{
    /* Time counts from one good state to the next, when they are near and nothing bad came between. */
    const bool late = guard->state_age_us >= late_us;
    const bool unbroken = !late && guard->bad_age_us[0] > guard->state_age_us;

    guard->late_us = late ? tf_age_add(guard->late_us, guard->state_age_us) : 0u;
    guard->good_us = unbroken ? tf_age_add(guard->good_us, guard->state_age_us) : 0u;
    guard->state_age_us = 0;
}

bool tf_guard_bad_of_late(const tf_guard_t *guard)
{
    return guard->bad_age_us[TF_BAD_COUNT - 2u] <= TF_BAD_WINDOW_US;
}

void tf_guard_bad(tf_guard_t *guard, uint8_t reason)
{
    if (tf_guard_bad_of_late(guard))
        guard->latched = reason;
    for (uint32_t i = TF_BAD_COUNT - 2u; i > 0u; i--)
        guard->bad_age_us[i] = guard->bad_age_us[i - 1u];
    guard->bad_age_us[0] = 0;
    guard->good_us = 0;
}

bool tf_guard_settled(const tf_guard_t *guard)
{
    return guard->good_us >= TF_SETTLED_US && guard->state_age_us < TF_STALE_US;
}

/* How far age is from begin to end, 0..1. */
static float ramp(uint32_t age_us, uint32_t begin_us, uint32_t end_us)
{
    if (age_us <= begin_us)
        return 0.0f;
    return age_us >= end_us ? 1.0f : (float)(age_us - begin_us) / (float)(end_us - begin_us);
}

/* A policy balances with differences between motors that are right for milliseconds; held for longer they tip
 * the aircraft over. So the last safe command stands for one step, then its differences fade out: equal motors
 * make no torque, and whatever attitude and rate there was changes no further. The common command goes to one
 * a little below hover whatever the last was (a climbing or falling policy's would run away), and
 * from TF_STALE_US sinks to TF_BLIND_END until the supervisor turns the motors off at TF_LOST_US. From a hover
 * that is a descent of 0.1 m at up to 0.7 m/s. */
void tf_guard_blind(const tf_guard_t *guard, float hover, float motors[TF_MOTORS])
{
    const float level = ramp(guard->state_age_us, TF_HOLD_US, TF_LEVEL_US);
    const float descend = ramp(guard->state_age_us, TF_STALE_US, TF_LOST_US);
    const float collective = hover * (TF_BLIND_BEGIN - (TF_BLIND_BEGIN - TF_BLIND_END) * descend);

    for (uint32_t i = 0; i < TF_MOTORS; i++)
        motors[i] = (1.0f - level) * guard->safe[i] + level * collective;
}
