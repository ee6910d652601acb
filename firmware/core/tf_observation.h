/* The network's input, assembled on the chip: it owns the action history and the position-error integral.
 * Mirrors training/tinyfly/observation.py bit for bit. */
#ifndef TF_OBSERVATION_H
#define TF_OBSERVATION_H

#include <stdint.h>

#include "tf_setpoint.h"
#include "tf_types.h"

typedef struct {
    float input[TF_POLICY_INPUTS]; /* the action history, oldest first, lives at its beginning */
    float integral[3];             /* m */
    uint32_t elapsed_us;           /* since the history last advanced */
    uint32_t count;                /* actions in the newest slot's mean */
} tf_observation_t;

/* History full of the hover action, integral zero: how an episode begins in training. */
void tf_observation_init(tf_observation_t *observation);

/* Advances the integral by dt_us and fills input from a plausible state and its reference. */
void tf_observation_step(tf_observation_t *observation, uint32_t dt_us, const tf_state_t *state,
                         const tf_reference_t *reference);

/* Takes the action ([-1, 1]) that leaves now, dt_us after the one before, into the history.
 * Returns true when the history advanced by a slot. */
bool tf_observation_record(tf_observation_t *observation, uint32_t dt_us, const float action[TF_MOTORS]);

#endif
