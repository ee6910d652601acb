#include "tf_observation.h"

#include <string.h>

#include "tf_math.h"

#define GRAVITY 9.81f           /* m/s^2 */
#define LONGEST_STEP_US 100000u /* a stall must not wind anything up */
#define PERIOD_US ((uint32_t)(1e6f / TF_HISTORY_RATE_HZ + 0.5f))

void tf_observation_init(tf_observation_t *observation)
{
    memset(observation, 0, sizeof *observation);
    observation->phase_us = PERIOD_US / 2u; /* a margin: a jittering clock skips no advance */
    observation->due = true;
    observation->moved = true;
}

/* The history's oldest slot drops out, and its newest is still to be filled. */
static void advance(tf_observation_t *observation)
{
#if TF_HAS_ACTION_HISTORY
    memmove(observation->input, observation->input + TF_MOTORS,
            (TF_ACTION_HISTORY_SIZE - TF_MOTORS) * sizeof(float));
#endif
    observation->moved = true;
}

uint32_t tf_observation_tick(tf_observation_t *observation, uint32_t now_us)
{
    uint32_t dt_us = observation->started ? now_us - observation->time_us : 0u;

    if (dt_us > LONGEST_STEP_US)
        dt_us = LONGEST_STEP_US;
    observation->started = true;
    observation->time_us = now_us;
    observation->phase_us += dt_us;
    for (; observation->phase_us >= PERIOD_US; observation->phase_us -= PERIOD_US) {
        if (observation->due)
            advance(observation); /* nobody has acted for a whole slot: the command stood, its newest slot is there twice */
        observation->due = true;
    }
    return dt_us;
}

static void subtract(const float a[3], const float b[3], float difference[3])
{
    for (uint32_t i = 0; i < 3u; i++)
        difference[i] = a[i] - b[i];
}

/* One channel: clip, then scale. */
static void fill(float *input, const float *value, uint32_t n, float limit, float scale)
{
    for (uint32_t i = 0; i < n; i++)
        input[i] = tf_clip(value[i], limit) * scale;
}

#define FILL(channel, value) \
    fill(observation->input + TF_##channel##_OFFSET, value, TF_##channel##_SIZE, TF_##channel##_LIMIT, \
         TF_##channel##_SCALE)

#if TF_HAS_POSITION_INTEGRAL
/* The error of the step before: at a constant rate this is the sum that training saw. */
static void integrate(tf_observation_t *observation, uint32_t dt_us, const float error[3])
{
    const float step = TF_INTEGRAL_GAIN * ((float)dt_us * 1e-6f);

    for (uint32_t i = 0; i < 3u; i++) {
        observation->integral[i] += observation->clipped_error[i] * step;
        observation->integral[i] = tf_clip(observation->integral[i], TF_INTEGRAL_LIMIT);
        observation->clipped_error[i] = tf_clip(error[i], TF_INTEGRAL_ERROR_LIMIT);
    }
    FILL(POSITION_INTEGRAL, observation->integral);
}
#endif

#if TF_HAS_ROTATION || TF_HAS_SPECIFIC_FORCE
/* Body to world, row-major, from w x y z as it comes. */
static void rotation(const float q[4], float r[9])
{
    const float w = q[0], x = q[1], y = q[2], z = q[3];
    const float x2 = x + x, y2 = y + y, z2 = z + z;

    r[0] = 1.0f - (y * y2 + z * z2);
    r[1] = x * y2 - w * z2;
    r[2] = x * z2 + w * y2;
    r[3] = x * y2 + w * z2;
    r[4] = 1.0f - (x * x2 + z * z2);
    r[5] = y * z2 - w * x2;
    r[6] = x * z2 - w * y2;
    r[7] = y * z2 + w * x2;
    r[8] = 1.0f - (x * x2 + y * y2);
}
#endif

#if TF_HAS_SPECIFIC_FORCE || TF_HAS_ANGULAR_ACCELERATION
/* Whether there is a state before this one, not too long ago for their difference to tell something. */
static bool comparable(tf_observation_t *observation, uint32_t now_us, float *elapsed_s)
{
    const uint32_t elapsed_us = now_us - observation->state_us;
    const bool seen = observation->seen;

    observation->state_us = now_us;
    observation->seen = true;
    *elapsed_s = (float)elapsed_us * 1e-6f;
    return seen && elapsed_us <= LONGEST_STEP_US;
}
#endif

#if TF_HAS_SPECIFIC_FORCE
/* What an accelerometer would read, from what the velocity gained since the last state. */
static void feel(tf_observation_t *observation, bool compares, float elapsed_s, const float velocity[3],
                 const float r[9])
{
    float led[3]; /* along its trend */

    if (compares) {
        const float fade = elapsed_s * TF_SPECIFIC_FORCE_FADE;
        const float follow = elapsed_s * TF_SPECIFIC_FORCE_FOLLOW;
        const float *last = observation->frame;
        float gained[3];

        subtract(velocity, observation->velocity, gained);
        gained[2] += GRAVITY * elapsed_s;
        for (uint32_t i = 0; i < 3u; i++) {
            const float y = observation->force[i], still = i == 2u ? y + GRAVITY : y;
            const float turned = (r[i] + last[i]) * gained[0] + (r[3u + i] + last[3u + i]) * gained[1]
                                 + (r[6u + i] + last[6u + i]) * gained[2];

            observation->slow[i] += (y - observation->slow[i]) * follow;
            observation->force[i] = tf_clip(y + (turned * TF_SPECIFIC_FORCE_GAIN - still * fade),
                                            TF_SPECIFIC_FORCE_BOUND);
        }
    }
    memcpy(observation->velocity, velocity, sizeof observation->velocity);
    memcpy(observation->frame, r, sizeof observation->frame);
    for (uint32_t i = 0; i < 3u; i++) {
        const float trend = observation->force[i] - observation->slow[i];

        led[i] = (trend - tf_clip(trend, TF_SPECIFIC_FORCE_QUIET)) * TF_SPECIFIC_FORCE_LEAD + observation->force[i];
    }
    FILL(SPECIFIC_FORCE, led);
}
#endif

#if TF_HAS_ANGULAR_ACCELERATION
/* From what the angular velocity gained since the last state. */
static void turn(tf_observation_t *observation, bool compares, float elapsed_s, const float rate[3])
{
    if (compares) {
        const float gain =
            1.0f / (elapsed_s > TF_ANGULAR_ACCELERATION_TIME ? elapsed_s : TF_ANGULAR_ACCELERATION_TIME);

        for (uint32_t i = 0; i < 3u; i++) {
            const float a = observation->turning[i], gained = (rate[i] - observation->rate[i]) - a * elapsed_s;

            observation->turning[i] = tf_clip(a + gained * gain, TF_ANGULAR_ACCELERATION_BOUND);
        }
    }
    memcpy(observation->rate, rate, sizeof observation->rate);
    FILL(ANGULAR_ACCELERATION, observation->turning);
}
#endif

void tf_observation_step(tf_observation_t *observation, uint32_t now_us, const tf_state_t *state,
                         const tf_reference_t *reference)
{
    const uint32_t dt_us = tf_observation_tick(observation, now_us);
    float position_error[3], velocity_error[3];

    (void)dt_us;
    subtract(state->position, reference->position, position_error);
    subtract(state->velocity, reference->velocity, velocity_error);
#if TF_HAS_POSITION_INTEGRAL
    integrate(observation, dt_us, position_error);
#endif
#if TF_HAS_POSITION_ERROR
    FILL(POSITION_ERROR, position_error);
#endif
#if TF_HAS_ROTATION || TF_HAS_SPECIFIC_FORCE
    float r[9];
    rotation(state->quaternion, r);
#endif
#if TF_HAS_ROTATION
    FILL(ROTATION, r);
#endif
#if TF_HAS_SPECIFIC_FORCE || TF_HAS_ANGULAR_ACCELERATION
    float elapsed_s;
    const bool compares = comparable(observation, now_us, &elapsed_s);
#endif
#if TF_HAS_SPECIFIC_FORCE
    feel(observation, compares, elapsed_s, state->velocity, r);
#endif
#if TF_HAS_ANGULAR_ACCELERATION
    turn(observation, compares, elapsed_s, state->angular_velocity);
#endif
#if TF_HAS_VELOCITY_ERROR
    FILL(VELOCITY_ERROR, velocity_error);
#endif
#if TF_HAS_ANGULAR_VELOCITY
    FILL(ANGULAR_VELOCITY, state->angular_velocity);
#endif
#if TF_HAS_REFERENCE_ACCELERATION
    FILL(REFERENCE_ACCELERATION, reference->acceleration);
#endif
#if TF_HAS_ACCELERATION_PREVIEW
    FILL(ACCELERATION_PREVIEW, reference->preview[0]);
#endif
}

void tf_observation_record(tf_observation_t *observation, const float action[TF_MOTORS])
{
    const bool due = observation->due;

    if (due)
        advance(observation);
#if TF_HAS_ACTION_HISTORY
    float *newest = observation->input + TF_ACTION_HISTORY_SIZE - TF_MOTORS;

    if (due) {
        memcpy(observation->sum, action, sizeof observation->sum);
        observation->count = 1;
    } else {
        for (uint32_t i = 0; i < TF_MOTORS; i++)
            observation->sum[i] += action[i];
        observation->count++;
    }
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        newest[i] = observation->sum[i] / (float)observation->count;
    fill(newest, newest, TF_MOTORS, TF_ACTION_HISTORY_LIMIT, TF_ACTION_HISTORY_SCALE);
#else
    (void)action;
#endif
    observation->due = false;
}
