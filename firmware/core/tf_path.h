/* The shapes a set-point can fly: waypoints and the figure-eight, with exact derivatives. */
#ifndef TF_PATH_H
#define TF_PATH_H

#include "tf_setpoint.h"

/* A moment of a path, world frame. */
typedef struct {
    float position[3];     /* m */
    float velocity[3];     /* m/s */
    float acceleration[3]; /* m/s^2 */
} tf_point_t;

/* Straight lines, at rest in every waypoint: position s(t / T) along each, s(x) = 10 x^3 - 15 x^4 + 6 x^5, T the
 * shortest that keeps to the set-point's speed and to TF_WAYPOINT_ACCELERATION_M_S2. */
void tf_waypoints_start(tf_setpoint_t *setpoint);
void tf_waypoints_advance(tf_setpoint_t *setpoint);
void tf_waypoints_sample(const tf_setpoint_t *setpoint, float lead_s, tf_point_t *point);

/* x = a cos(phi), y = b / 2 sin(2 phi) about the centre, phi from pi / 2 (the centre itself); the phase's rate
 * grows linearly over the ramp, then is 2 pi / period, as in the paper's firmware. */
void tf_figure_eight_advance(tf_setpoint_t *setpoint);
void tf_figure_eight_sample(const tf_setpoint_t *setpoint, float lead_s, tf_point_t *point);

#endif
