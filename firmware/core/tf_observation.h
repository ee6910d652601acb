/* The network's input, assembled on the chip: it owns the action history, the integral of the position's error,
 * the specific force and the angular acceleration.
 * Mirrors training/tinyfly/observation.py bit for bit. */
#ifndef TF_OBSERVATION_H
#define TF_OBSERVATION_H

#include <stdint.h>

#include "tf_setpoint.h"
#include "tf_types.h"

typedef struct {
    float input[TF_POLICY_INPUTS]; /* the action history, oldest first, lives at its beginning */
    float sum[TF_MOTORS];          /* of the actions in the newest slot */
    uint32_t count;                /* how many they are */
    float integral[3];             /* m */
    float clipped_error[3];        /* m, of the last step */
    float force[3];                /* m/s^2, specific, low-passed */
    float slow[3];                 /* the same once more, for its trend */
    float turning[3];              /* rad/s^2, low-passed */
    float velocity[3];             /* m/s, of the last state */
    float rate[3];                 /* rad/s, of the last state */
    float frame[9];                /* rotation matrix of the last state */
    uint32_t state_us;             /* when it came */
    bool seen;                     /* whether one came */
    uint32_t time_us;              /* of the last step */
    uint32_t phase_us;             /* towards the history's next advance */
    bool started;
    bool due;   /* the history advances with the next action */
    bool moved; /* it has advanced: what was summed of its old slots is no longer so */
} tf_observation_t;

/* History, integral, force and turning zero: how an episode begins in training. */
void tf_observation_init(tf_observation_t *observation);

/* Lets time pass without a state; returns the microseconds since the last step, at most 100 ms. */
uint32_t tf_observation_tick(tf_observation_t *observation, uint32_t now_us);

/* Advances time and the integral, and fills input from a plausible state and its reference. */
void tf_observation_step(tf_observation_t *observation, uint32_t now_us, const tf_state_t *state,
                         const tf_reference_t *reference);

/* Takes the action ([-1, 1]) that leaves now into the history. */
void tf_observation_record(tf_observation_t *observation, const float action[TF_MOTORS]);

#endif
