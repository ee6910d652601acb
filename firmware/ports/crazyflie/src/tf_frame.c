#include "tf_frame.h"

#include "tf_guard.h"
#include "tf_math.h"

#define RAD_PER_DEG 0.0174532925f
#define YAW_MAX_DEG 3600.0f /* a heading beyond this is no heading */
#define SAME 0.01f          /* m, m/s: a commander that differs by less asks for the same */
#define SAME_DEG 1.0f       /* also a second */
#define NEAR_1_S 3.0f       /* speed by distance, near the place */
#define PUSH_1_S 12.0f      /* acceleration by speed that is wrong: critically damped */
#define CAUGHT_UP_M 0.003f
#define CAUGHT_UP_M_S 0.05f

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
    frame->velocity[0] = s->velocity.x;
    frame->velocity[1] = s->velocity.y;
    frame->velocity[2] = s->velocity.z;
    frame->owed[0] = frame->owed[1] = frame->owed[2] = 0.0f;
    frame->behind = false;
}

void tf_frame_point(const tf_frame_t *frame, const float world[3], float out[3])
{
    out[0] = frame->cosine * world[0] + frame->sine * world[1];
    out[1] = frame->cosine * world[1] - frame->sine * world[0];
    out[2] = world[2];
}

static float length(const float v[3])
{
    return tf_sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

/* No longer than limit. */
static void shorten(float v[3], float limit)
{
    const float n = length(v);

    for (uint32_t i = 0; i < 3u && n > limit; i++)
        v[i] *= limit / n;
}

/* Beyond what its velocity says, a place may move at frame->speed, or by TF_JUMP_M at once: a stream comes in steps. Once it
 * owes more, the gap is all that it owes. */
static bool jumped(tf_frame_t *frame, float gap[3], float dt_s)
{
    float *owed = frame->owed;

    for (uint32_t i = 0; i < 3u; i++)
        owed[i] += gap[i];
    const float n = length(owed);
    const bool far = n > TF_JUMP_M;
    const float left = !far && n > frame->speed * dt_s ? 1.0f - frame->speed * dt_s / n : 0.0f;

    for (uint32_t i = 0; i < 3u; i++) {
        gap[i] = far ? owed[i] : gap[i];
        owed[i] *= left;
    }
    return far;
}

/* The speed from which it can still stop within this distance, with something in hand. */
static float pace(float distance, float speed)
{
    const float brake = 0.75f * TF_CATCH_UP_M_S2;
    const float near = brake / (NEAR_1_S * NEAR_1_S);
    const float stops = distance < near ? NEAR_1_S * distance : tf_sqrt(2.0f * brake * (distance - 0.5f * near));

    return tf_clip(stops, speed);
}

/* The reference on its way to a place that has jumped, gap m on. Seen from what is commanded it speeds up, moves, stops. */
static void catch_up(tf_frame_t *frame, const float gap[3], const bool place[3], float dt_s, float position[3],
                     float velocity[3], float acceleration[3])
{
    const float distance = length(gap);
    const float closing = distance > 0.0f ? pace(distance, frame->speed) / distance : 0.0f;
    float extra[3] = {0}, push[3] = {0};

    for (uint32_t i = 0; i < 3u; i++) {
        if (!place[i])
            continue;
        extra[i] = tf_clip(frame->velocity[i] + acceleration[i] * dt_s - velocity[i], TF_VELOCITY_MAX_M_S);
        push[i] = PUSH_1_S * (closing * gap[i] - extra[i]);
    }
    shorten(push, TF_CATCH_UP_M_S2);
    for (uint32_t i = 0; i < 3u; i++) {
        if (!place[i])
            continue;
        velocity[i] += extra[i] + push[i] * dt_s;
        acceleration[i] += push[i];
        position[i] = frame->origin[i] + velocity[i] * dt_s;
    }
    frame->behind = distance > CAUGHT_UP_M || length(extra) > CAUGHT_UP_M_S;
}

static void places(tf_frame_t *frame, const bool place[3], float dt_s, float position[3], float velocity[3],
                   float acceleration[3])
{
    float gap[3] = {0};

    for (uint32_t i = 0; i < 3u; i++) {
        if (!place[i])
            continue;
        if (!tf_within(position[i], TF_SETPOINT_MAX) || !tf_within(velocity[i], TF_SETPOINT_MAX) ||
            !tf_within(acceleration[i], TF_SETPOINT_MAX))
            return; /* it goes on, to be refused */
        gap[i] = tf_clip(position[i] - frame->origin[i] - velocity[i] * dt_s, 2.0f * TF_SETPOINT_MAX);
    }
    if (frame->behind || jumped(frame, gap, dt_s))
        catch_up(frame, gap, place, dt_s, position, velocity, acceleration);
    for (uint32_t i = 0; i < 3u; i++) {
        if (place[i])
            frame->origin[i] = position[i];
        frame->velocity[i] = velocity[i];
    }
}

void tf_frame_reference(tf_frame_t *frame, const setpoint_t *sp, const state_t *s, float dt_s,
                        float values[TF_SETPOINT_VALUES])
{
    const bool place[3] = {sp->mode.x != modeVelocity, sp->mode.y != modeVelocity, sp->mode.z != modeVelocity};
    const float here[3] = {s->position.x, s->position.y, s->position.z};
    float position[3] = {sp->position.x, sp->position.y, sp->position.z};
    float velocity[3] = {sp->velocity.x, sp->velocity.y, sp->velocity.z};
    float acceleration[3] = {sp->acceleration.x, sp->acceleration.y, sp->acceleration.z};

    if (sp->velocity_body) { /* with the heading, not the tilt, as the stock position controller takes it */
        velocity[0] = frame->cosine * sp->velocity.x - frame->sine * sp->velocity.y;
        velocity[1] = frame->sine * sp->velocity.x + frame->cosine * sp->velocity.y;
    }
    for (uint32_t i = 0; i < 3u; i++) {
        if (place[i])
            continue;
        if (tf_finite(velocity[i])) /* one that is not goes on, to be refused */
            velocity[i] = tf_clip(velocity[i], TF_SETPOINT_VELOCITY_MAX_M_S);
        frame->origin[i] = here[i] + tf_clip(frame->origin[i] + velocity[i] * dt_s - here[i], TF_SETPOINT_LEASH_M);
        position[i] = frame->origin[i];
        acceleration[i] = 0.0f;
    }
    places(frame, place, dt_s, position, velocity, acceleration);
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
