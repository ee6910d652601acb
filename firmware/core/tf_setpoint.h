/* What to fly: a set-point gives a reference (position, velocity, acceleration now and at the contract's
 * preview times) for every moment from the first control step that uses it. */
#ifndef TF_SETPOINT_H
#define TF_SETPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "tf_policy_data.h"

#define TF_PREVIEWS (TF_PREVIEW_COUNT > 0 ? TF_PREVIEW_COUNT : 1)
#define TF_SETPOINT_VALUES 18
#define TF_WAYPOINTS 4

#define TF_SETPOINT_MAX 100.0f           /* any value: m, m/s, m/s^2, s */
#define TF_SETPOINT_POSITION_MAX_M 95.0f /* what is to be reached, per axis: the guard believes 100 m, and a flight overshoots */
#define TF_SETPOINT_VELOCITY_MAX_M_S 2.0f /* per axis, as the paper's firmware clips */
#define TF_SETPOINT_LEASH_M 0.5f         /* a velocity's moving position stays this close, per axis */
#define TF_WAYPOINT_SPEED_MIN_M_S 0.16f /* the longest leg, 338 m, takes 3958 s: u32 microseconds end at 4294 */
#define TF_WAYPOINT_ACCELERATION_M_S2 5.0f
#define TF_FIGURE_EIGHT_PERIOD_MIN_S 1.0f
#define TF_FIGURE_EIGHT_RAMP_MIN_S 0.1f /* or none */

/* World frame, SI. */
typedef struct {
    float position[3];
    float velocity[3];
    float acceleration[3];
    float preview[TF_PREVIEWS][3]; /* acceleration at each preview time; one unused when there is none */
} tf_reference_t;

typedef struct {
    uint8_t kind;     /* TF_SETPOINT_* */
    bool present;     /* there is one */
    bool streamed;    /* has to be renewed: goes stale */
    bool started;     /* its time runs, its origin is known */
    uint8_t at;       /* waypoints: the one being flown to */
    uint32_t age_us;  /* since it arrived */
    uint32_t time_us; /* flown of it; a figure-eight's wraps, a waypoint's begins anew at each */
    float values[TF_SETPOINT_VALUES];
    float origin[3];                /* where it began; a velocity's moves along */
    float duration_s[TF_WAYPOINTS]; /* waypoints */
} tf_setpoint_t;

void tf_setpoint_init(tf_setpoint_t *setpoint);

/* From its beginning again, at the position of the next step. */
void tf_setpoint_restart(tf_setpoint_t *setpoint);

/* Checks and takes a set-point of the given TF_SETPOINT_ kind, values as in messages.toml. A velocity is clipped
 * to +-2 m/s. Returns TF_REASON_NONE or TF_REASON_BAD_SETPOINT, and then the old one stays. */
uint8_t tf_setpoint_set(tf_setpoint_t *setpoint, uint8_t kind, uint8_t flags, const float values[TF_SETPOINT_VALUES]);

/* The reference dt_us after the last step; position is the vehicle's (m), the origin of hover, velocity and
 * waypoints at the first step. */
void tf_setpoint_step(tf_setpoint_t *setpoint, uint32_t dt_us, const float position[3], tf_reference_t *reference);

#endif
