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

/* World frame, SI. */
typedef struct {
    float position[3];
    float velocity[3];
    float acceleration[3];
    float preview[TF_PREVIEWS][3]; /* acceleration at each preview time */
} tf_reference_t;

typedef struct {
    float start[3], end[3];
    float duration_s;
} tf_segment_t;

typedef struct {
    uint8_t kind;     /* TF_SETPOINT_* */
    bool present;     /* there is one */
    bool streamed;    /* has to be renewed: goes stale */
    bool started;     /* the present position has been taken as its origin */
    uint32_t age_us;  /* since it arrived */
    uint32_t time_us; /* flown of it; wraps at a period or stops at the end */
    float values[TF_SETPOINT_VALUES];
    float origin[3];                    /* hover, velocity: where it began, then where it is */
    tf_segment_t segment[TF_WAYPOINTS]; /* waypoints */
    uint8_t segments;
    uint8_t at; /* the segment being flown */
} tf_setpoint_t;

void tf_setpoint_init(tf_setpoint_t *setpoint);

/* Checks and takes a set-point of the given TF_SETPOINT_ kind, values as in messages.toml. A velocity is clipped
 * to +-2 m/s. Returns TF_REASON_NONE or TF_REASON_BAD_SETPOINT, and then the old one stays. */
uint8_t tf_setpoint_set(tf_setpoint_t *setpoint, uint8_t kind, uint8_t flags, const float values[TF_SETPOINT_VALUES]);

/* The reference dt_us after the last step; position is the vehicle's (m), the origin of hover, velocity and
 * waypoints at the first step. */
void tf_setpoint_step(tf_setpoint_t *setpoint, uint32_t dt_us, const float position[3], tf_reference_t *reference);

#endif
