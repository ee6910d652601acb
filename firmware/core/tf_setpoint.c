#include "tf_setpoint.h"

#include <string.h>

#include "tf_guard.h"
#include "tf_math.h"
#include "tf_messages.h"
#include "tf_path.h"

_Static_assert(9u + 3u * TF_PREVIEW_COUNT <= TF_SETPOINT_VALUES, "the link carries at most three previews");

void tf_setpoint_init(tf_setpoint_t *setpoint)
{
    memset(setpoint, 0, sizeof *setpoint);
}

void tf_setpoint_restart(tf_setpoint_t *setpoint)
{
    setpoint->started = false;
}

/* How many of the values a set-point of this kind uses; 0 with *bad set when they make no sense. */
static uint32_t count_values(uint8_t kind, const float *v, bool *bad)
{
    switch (kind) {
    case TF_SETPOINT_REFERENCE: return 9u + 3u * TF_PREVIEW_COUNT;
    case TF_SETPOINT_POSITION:
    case TF_SETPOINT_VELOCITY: return 3u;
    case TF_SETPOINT_HOVER: return 0u;
    case TF_SETPOINT_WAYPOINTS:
        for (uint32_t n = 1; n <= TF_WAYPOINTS; n++) {
            if (tf_within(v[1] - (float)n, 0.25f))
                return 2u + 3u * n;
        }
        break;
    case TF_SETPOINT_FIGURE_EIGHT: return 7u;
    default: break;
    }
    *bad = true;
    return 0u;
}

/* Every place that is asked for lies in the box that the guard believes, with room to overshoot. A velocity's is held there
 * on the way, and a hover is where the vehicle is. */
static bool within_the_box(uint8_t kind, uint32_t n, const float *v)
{
    switch (kind) {
    case TF_SETPOINT_REFERENCE:
    case TF_SETPOINT_POSITION: return tf_guard_numbers(v, 3, TF_SETPOINT_POSITION_MAX_M);
    case TF_SETPOINT_WAYPOINTS: return tf_guard_numbers(v + 2, n - 2u, TF_SETPOINT_POSITION_MAX_M);
    case TF_SETPOINT_FIGURE_EIGHT:
        return tf_guard_numbers(v, 3, TF_SETPOINT_POSITION_MAX_M) && /* |c| + |a| and |c| + |b| / 2 */
               tf_within(v[0] + v[3], TF_SETPOINT_POSITION_MAX_M) && tf_within(v[0] - v[3], TF_SETPOINT_POSITION_MAX_M) &&
               tf_within(v[1] + 0.5f * v[4], TF_SETPOINT_POSITION_MAX_M) &&
               tf_within(v[1] - 0.5f * v[4], TF_SETPOINT_POSITION_MAX_M);
    default: return true;
    }
}

static bool shape_makes_sense(uint8_t kind, const float *v)
{
    if (kind == TF_SETPOINT_WAYPOINTS)
        return v[0] >= TF_WAYPOINT_SPEED_MIN_M_S;
    if (kind == TF_SETPOINT_FIGURE_EIGHT)
        return v[5] >= TF_FIGURE_EIGHT_PERIOD_MIN_S && (v[6] == 0.0f || v[6] >= TF_FIGURE_EIGHT_RAMP_MIN_S);
    return true;
}

uint8_t tf_setpoint_set(tf_setpoint_t *setpoint, uint8_t kind, uint8_t flags, const float values[TF_SETPOINT_VALUES])
{
    bool bad = (flags >> TF_SETPOINT_FLAG_COUNT) != 0;
    const uint32_t n = count_values(kind, values, &bad);

    if (bad || !tf_guard_numbers(values, n, TF_SETPOINT_MAX) || !within_the_box(kind, n, values) ||
        !shape_makes_sense(kind, values))
        return TF_REASON_BAD_SETPOINT;
    if (kind != TF_SETPOINT_VELOCITY || setpoint->kind != kind) /* a renewed velocity goes on from where it is */
        tf_setpoint_restart(setpoint);
    setpoint->kind = kind;
    setpoint->present = true;
    setpoint->streamed = kind == TF_SETPOINT_REFERENCE || kind == TF_SETPOINT_VELOCITY ||
                         (flags & 1u << TF_SETPOINT_FLAG_STREAMED) != 0u;
    setpoint->age_us = 0;
    memset(setpoint->values, 0, sizeof setpoint->values);
    memcpy(setpoint->values, values, n * sizeof(float));
    if (kind == TF_SETPOINT_VELOCITY) {
        for (uint32_t i = 0; i < 3u; i++)
            setpoint->values[i] = tf_clip(values[i], TF_SETPOINT_VELOCITY_MAX_M_S);
    }
    return TF_REASON_NONE;
}

static void start(tf_setpoint_t *setpoint, const float position[3])
{
    setpoint->started = true;
    setpoint->time_us = 0;
    setpoint->at = 0;
    memcpy(setpoint->origin, position, sizeof setpoint->origin);
    if (setpoint->kind == TF_SETPOINT_WAYPOINTS)
        tf_waypoints_start(setpoint);
}

/* A velocity's along one axis: none outwards where the box ends. */
static float velocity(const tf_setpoint_t *setpoint, uint32_t axis)
{
    const float v = setpoint->values[axis], at = setpoint->origin[axis];
    const bool outwards = v > 0.0f ? at >= TF_SETPOINT_POSITION_MAX_M : at <= -TF_SETPOINT_POSITION_MAX_M;

    return outwards ? 0.0f : v;
}

static void advance(tf_setpoint_t *setpoint, uint32_t dt_us, const float position[3])
{
    setpoint->time_us = tf_age_add(setpoint->time_us, dt_us);
    if (setpoint->kind == TF_SETPOINT_WAYPOINTS)
        tf_waypoints_advance(setpoint);
    if (setpoint->kind == TF_SETPOINT_FIGURE_EIGHT)
        tf_figure_eight_advance(setpoint);
    if (setpoint->kind == TF_SETPOINT_VELOCITY) {
        const float dt_s = (float)dt_us * 1e-6f;

        for (uint32_t i = 0; i < 3u; i++) {
            const float moved = setpoint->origin[i] + velocity(setpoint, i) * dt_s;
            setpoint->origin[i] = position[i] + tf_clip(moved - position[i], TF_SETPOINT_LEASH_M);
        }
    }
}

/* The point lead_s ahead of now. */
static void sample(const tf_setpoint_t *setpoint, float lead_s, tf_point_t *point)
{
    memset(point, 0, sizeof *point);
    memcpy(point->position, setpoint->origin, sizeof point->position);
    switch (setpoint->kind) {
    case TF_SETPOINT_REFERENCE: memcpy(point, setpoint->values, sizeof *point); break;
    case TF_SETPOINT_POSITION: memcpy(point->position, setpoint->values, sizeof point->position); break;
    case TF_SETPOINT_VELOCITY:
        for (uint32_t i = 0; i < 3u; i++)
            point->velocity[i] = velocity(setpoint, i);
        break;
    case TF_SETPOINT_WAYPOINTS: tf_waypoints_sample(setpoint, lead_s, point); break;
    case TF_SETPOINT_FIGURE_EIGHT: tf_figure_eight_sample(setpoint, lead_s, point); break;
    default: break; /* hover */
    }
}

void tf_setpoint_step(tf_setpoint_t *setpoint, uint32_t dt_us, const float position[3], tf_reference_t *reference)
{
    static const float lead_s[TF_PREVIEWS] = TF_PREVIEW_S;
    tf_point_t point;

    if (setpoint->started)
        advance(setpoint, dt_us, position);
    else
        start(setpoint, position);
    sample(setpoint, 0.0f, &point);
    memcpy(reference->position, point.position, sizeof reference->position);
    memcpy(reference->velocity, point.velocity, sizeof reference->velocity);
    memcpy(reference->acceleration, point.acceleration, sizeof reference->acceleration);
    for (uint32_t k = 0; k < TF_PREVIEWS; k++) {
        sample(setpoint, lead_s[k], &point);
        memcpy(reference->preview[k],
               setpoint->kind == TF_SETPOINT_REFERENCE ? setpoint->values + 9u + 3u * k : point.acceleration,
               sizeof reference->preview[k]);
    }
}
