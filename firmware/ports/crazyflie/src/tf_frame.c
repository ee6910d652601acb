#include "tf_frame.h"

#include "tf_math.h"

#define RAD_PER_DEG 0.0174532925f
#define YAW_MAX_DEG 3600.0f /* a heading beyond this is no heading */
#define SAME 0.01f          /* m, m/s: a commander that differs by less asks for the same */
#define SAME_DEG 1.0f       /* also a second */

void tf_frame_turn(tf_frame_t *frame, float heading_deg)
{
    const float turns = tf_within(heading_deg, YAW_MAX_DEG) ? heading_deg / 360.0f : 0.0f;

    frame->heading_deg = turns * 360.0f;
    tf_sin_cos(turns, &frame->sine, &frame->cosine);
    tf_sin_cos(0.5f * turns, &frame->half_sine, &frame->half_cosine);
}

/* The same angle within half a turn. */
static float wrapped(float deg)
{
    const float turns = deg / 360.0f;

    return deg - 360.0f * (float)(int32_t)(turns + (turns < 0.0f ? -0.5f : 0.5f));
}

void tf_frame_follow(tf_frame_t *frame, const setpoint_t *sp, float dt_s)
{
    float change = 0.0f;

    if (sp->mode.yaw == modeVelocity)
        change = tf_clip(sp->attitudeRate.yaw, TF_YAW_RATE_MAX_DEG_S) * dt_s;
    else if (sp->mode.yaw == modeAbs && tf_within(sp->attitude.yaw, YAW_MAX_DEG))
        change = tf_clip(wrapped(sp->attitude.yaw - frame->heading_deg), TF_YAW_RATE_MAX_DEG_S * dt_s);
    if (change != 0.0f)
        tf_frame_turn(frame, wrapped(frame->heading_deg + change));
}

bool tf_frame_commanded(const setpoint_t *sp)
{
    return sp->mode.x != modeDisable && sp->mode.y != modeDisable && sp->mode.z != modeDisable;
}

bool tf_frame_nothing(const setpoint_t *sp)
{
    return sp->mode.x == modeDisable && sp->mode.y == modeDisable && sp->mode.z == modeDisable && sp->thrust == 0.0f;
}

/* A number that has become another one; what is no number says nothing. */
static bool moved(float from, float to, float by)
{
    return tf_finite(to) && !tf_within(to - from, by);
}

static bool turned(const setpoint_t *from, const setpoint_t *to)
{
    if (to->mode.yaw == modeVelocity)
        return moved(from->attitudeRate.yaw, to->attitudeRate.yaw, SAME_DEG);
    return to->mode.yaw == modeAbs &&
           !tf_within(wrapped(tf_clip(to->attitude.yaw - from->attitude.yaw, YAW_MAX_DEG)), SAME_DEG);
}

bool tf_frame_changed(const setpoint_t *from, const setpoint_t *to)
{
    const stab_mode_t was[4] = {from->mode.x, from->mode.y, from->mode.z, from->mode.yaw};
    const stab_mode_t is[4] = {to->mode.x, to->mode.y, to->mode.z, to->mode.yaw};
    const float places[3][2] = {{from->position.x, to->position.x}, {from->position.y, to->position.y},
                                {from->position.z, to->position.z}};
    const float velocities[3][2] = {{from->velocity.x, to->velocity.x}, {from->velocity.y, to->velocity.y},
                                    {from->velocity.z, to->velocity.z}};
    bool changed = was[3] != is[3] || turned(from, to);

    for (uint32_t i = 0; i < 3u; i++) {
        const float *what = is[i] == modeVelocity ? velocities[i] : places[i];

        changed |= was[i] != is[i] || moved(what[0], what[1], SAME);
    }
    return changed;
}

void tf_frame_anchor(tf_frame_t *frame, const state_t *s)
{
    frame->origin[0] = s->position.x;
    frame->origin[1] = s->position.y;
    frame->origin[2] = s->position.z;
}

void tf_frame_point(const tf_frame_t *frame, const float world[3], float out[3])
{
    out[0] = frame->cosine * world[0] + frame->sine * world[1];
    out[1] = frame->cosine * world[1] - frame->sine * world[0];
    out[2] = world[2];
}

void tf_frame_reference(tf_frame_t *frame, const setpoint_t *sp, const state_t *s, float dt_s,
                        float values[TF_SETPOINT_VALUES])
{
    const stab_mode_t mode[3] = {sp->mode.x, sp->mode.y, sp->mode.z};
    const float here[3] = {s->position.x, s->position.y, s->position.z};
    float position[3] = {sp->position.x, sp->position.y, sp->position.z};
    float velocity[3] = {sp->velocity.x, sp->velocity.y, sp->velocity.z};
    float acceleration[3] = {sp->acceleration.x, sp->acceleration.y, sp->acceleration.z};

    if (sp->velocity_body) { /* with the heading, not the tilt, as the stock position controller takes it */
        velocity[0] = frame->cosine * sp->velocity.x - frame->sine * sp->velocity.y;
        velocity[1] = frame->sine * sp->velocity.x + frame->cosine * sp->velocity.y;
    }
    for (uint32_t i = 0; i < 3u; i++) {
        if (mode[i] != modeVelocity) {
            frame->origin[i] = here[i];
            continue;
        }
        if (tf_finite(velocity[i])) /* one that is not goes on, to be refused */
            velocity[i] = tf_clip(velocity[i], TF_SETPOINT_VELOCITY_MAX_M_S);
        frame->origin[i] = here[i] + tf_clip(frame->origin[i] + velocity[i] * dt_s - here[i], TF_SETPOINT_LEASH_M);
        position[i] = frame->origin[i];
        acceleration[i] = 0.0f;
    }
    tf_frame_point(frame, position, values);
    tf_frame_point(frame, velocity, values + 3);
    tf_frame_point(frame, acceleration, values + 6);
    for (uint32_t i = 9; i < TF_SETPOINT_VALUES; i++) /* what comes is not known: as it is now */
        values[i] = values[i - 3u];
}

tf_state_t tf_frame_state(const tf_frame_t *frame, const state_t *s, const sensorData_t *sensors)
{
    const quaternion_t *q = &s->attitudeQuaternion;
    const float c = frame->half_cosine, h = frame->half_sine;
    const float position[3] = {s->position.x, s->position.y, s->position.z};
    const float velocity[3] = {s->velocity.x, s->velocity.y, s->velocity.z};
    tf_state_t seen = {
        .quaternion = {c * q->w + h * q->z, c * q->x + h * q->y, c * q->y - h * q->x, c * q->z - h * q->w},
        .angular_velocity = {sensors->gyro.x * RAD_PER_DEG, sensors->gyro.y * RAD_PER_DEG,
                             sensors->gyro.z * RAD_PER_DEG},
    };

    tf_frame_point(frame, position, seen.position);
    tf_frame_point(frame, velocity, seen.velocity);
    return seen;
}
