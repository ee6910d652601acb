/* Between the stock firmware's world and the policy's. The policy always flies with its nose along x; seen from a
 * world turned with the commanded heading, that is any heading, for gravity does not notice. */
#ifndef TF_FRAME_H
#define TF_FRAME_H

#include <stdbool.h>

#include "stabilizer_types.h"

#include "tf_setpoint.h"
#include "tf_types.h"

#define TF_YAW_RATE_MAX_DEG_S 90.0f /* at which the heading follows the commander */
#define TF_JUMP_M 0.05f             /* a place may move by so much more than its velocity says, and is flown to as it is */
#define TF_CATCH_UP_M_S2 2.0f       /* from a larger jump on, the reference moves there, no harder than this */

typedef struct {
    float heading_deg;        /* of the policy's x axis in the world */
    float sine, cosine;       /* of it */
    float half_sine, half_cosine;
    float origin[3];          /* m, world: where the reference has got to */
    float velocity[3];        /* m/s, world: of it */
    float owed[3];            /* m: what the commanded places have moved beyond their velocity, paid off at `speed` */
    float speed;              /* m/s: of a reference that is behind, relative to what is commanded */
    bool behind;              /* the commanded place */
} tf_frame_t;

/* Turned to this heading; to 0 when it is not a plausible number. */
void tf_frame_turn(tf_frame_t *frame, float heading_deg);

/* The heading follows the commander's, absolute or as a rate, for dt_s. */
void tf_frame_follow(tf_frame_t *frame, const setpoint_t *sp, float dt_s);

/* A live commander, with a position or a velocity in all axes, is what allows the policy to fly. */
bool tf_frame_commanded(const setpoint_t *sp);

/* A commander that asks for nothing: motors off. */
bool tf_frame_nothing(const setpoint_t *sp);

/* A commander that asks for something else than it did, by more than the noise of a joystick at rest. */
bool tf_frame_changed(const setpoint_t *from, const setpoint_t *to);

/* The reference moves on from here. */
void tf_frame_anchor(tf_frame_t *frame, const state_t *s);

/* What the commander wants, after dt_s more, as values of TF_SETPOINT_REFERENCE. A place that has jumped is moved to with
 * frame->speed; one that moves as its velocity says is followed as it is. */
void tf_frame_reference(tf_frame_t *frame, const setpoint_t *sp, const state_t *s, float dt_s,
                        float values[TF_SETPOINT_VALUES]);

/* A world position, seen in the frame. */
void tf_frame_point(const tf_frame_t *frame, const float world[3], float out[3]);

/* The estimate, seen in the frame. */
tf_state_t tf_frame_state(const tf_frame_t *frame, const state_t *s, const sensorData_t *sensors);

#endif
