#include "tf_path.h"

#include "tf_math.h"

#define TURN 0x1.921fb6p+2f /* rad */
#define US(seconds) ((uint32_t)((seconds) * 1e6f))

/* The quintic's peaks: speed 15/8 of the mean, acceleration 10/sqrt(3) of length / T^2. */
#define PEAK_SPEED 1.875f
#define PEAK_ACCELERATION 5.7735027f

static uint32_t waypoint_count(const tf_setpoint_t *setpoint)
{
    return (uint32_t)(setpoint->values[1] + 0.5f);
}

static const float *waypoint(const tf_setpoint_t *setpoint, uint32_t i)
{
    return setpoint->values + 2u + 3u * i;
}

static const float *leg_start(const tf_setpoint_t *setpoint, uint32_t i)
{
    return i == 0u ? setpoint->origin : waypoint(setpoint, i - 1u);
}

void tf_waypoints_start(tf_setpoint_t *setpoint)
{
    for (uint32_t i = 0; i < waypoint_count(setpoint); i++) {
        const float *from = leg_start(setpoint, i), *to = waypoint(setpoint, i);
        float length2 = 0.0f;

        for (uint32_t k = 0; k < 3u; k++)
            length2 += (to[k] - from[k]) * (to[k] - from[k]);
        const float length = tf_sqrt(length2);
        const float at_speed_s = PEAK_SPEED * length / setpoint->values[0];
        const float at_acceleration_s = tf_sqrt(PEAK_ACCELERATION * length / TF_WAYPOINT_ACCELERATION_M_S2);
        setpoint->duration_s[i] = at_speed_s > at_acceleration_s ? at_speed_s : at_acceleration_s;
    }
}

void tf_waypoints_advance(tf_setpoint_t *setpoint)
{
    const uint32_t last = waypoint_count(setpoint) - 1u;

    while (setpoint->at < last && setpoint->time_us >= US(setpoint->duration_s[setpoint->at])) {
        setpoint->time_us -= US(setpoint->duration_s[setpoint->at]);
        setpoint->at++;
    }
}

void tf_waypoints_sample(const tf_setpoint_t *setpoint, float lead_s, tf_point_t *point)
{
    const uint32_t last = waypoint_count(setpoint) - 1u;
    float t = (float)setpoint->time_us * 1e-6f + lead_s;
    uint32_t i = setpoint->at;

    for (; i < last && t >= setpoint->duration_s[i]; i++)
        t -= setpoint->duration_s[i];
    const float *from = leg_start(setpoint, i), *to = waypoint(setpoint, i);
    const float T = setpoint->duration_s[i];
    const bool moving = t < T;
    const float x = moving ? t / T : 1.0f;
    const float rate = moving ? 1.0f / T : 0.0f;
    const float s = x * x * x * (10.0f + x * (-15.0f + x * 6.0f));
    const float s1 = 30.0f * x * x * (1.0f - x) * (1.0f - x) * rate;
    const float s2 = 60.0f * x * (1.0f - x) * (1.0f - 2.0f * x) * rate * rate;
    for (uint32_t k = 0; k < 3u; k++) {
        const float leg = to[k] - from[k];
        point->position[k] = moving ? from[k] + leg * s : to[k];
        point->velocity[k] = leg * s1;
        point->acceleration[k] = leg * s2;
    }
}

/* values: centre(3), a, b, period s, ramp s */
void tf_figure_eight_advance(tf_setpoint_t *setpoint)
{
    const uint32_t period_us = US(setpoint->values[5]), ramp_us = US(setpoint->values[6]);

    if (setpoint->time_us >= ramp_us + period_us) /* a whole turn less is the same point: time stays small */
        setpoint->time_us = ramp_us + (setpoint->time_us - ramp_us) % period_us;
}

void tf_figure_eight_sample(const tf_setpoint_t *setpoint, float lead_s, tf_point_t *point)
{
    const float *centre = setpoint->values;
    const float a = centre[3], b = centre[4], period_s = centre[5], ramp_s = centre[6];
    const float t = (float)setpoint->time_us * 1e-6f + lead_s;
    const bool ramping = t < ramp_s;
    const float speed = ramping ? t / ramp_s : 1.0f;
    const float turns = 0.25f + (ramping ? 0.5f * speed * t : t - 0.5f * ramp_s) / period_s;
    const float rate = TURN / period_s * speed;                         /* rad/s */
    const float rise = ramping ? TURN / (period_s * ramp_s) : 0.0f;     /* rad/s^2 */
    float sine, cosine, sine2, cosine2;

    tf_sin_cos(turns, &sine, &cosine);
    tf_sin_cos(2.0f * turns, &sine2, &cosine2);
    point->position[0] = centre[0] + a * cosine;
    point->position[1] = centre[1] + 0.5f * b * sine2;
    point->position[2] = centre[2];
    point->velocity[0] = -a * sine * rate;
    point->velocity[1] = b * cosine2 * rate;
    point->acceleration[0] = -a * (cosine * rate * rate + sine * rise);
    point->acceleration[1] = b * (cosine2 * rise - 2.0f * sine2 * rate * rate);
}
