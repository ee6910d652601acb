/* The policy with its memory: observation, network, history. It flies when it is asked to; whether it should be
 * asked is the controller's business. */
#ifndef TF_PILOT_H
#define TF_PILOT_H

#include "tf_observation.h"
#include "tf_policy.h"

typedef struct {
    tf_observation_t observation;
    tf_policy_partial_t partial; /* the network's first layer as far as it is known ahead of time */
} tf_pilot_t;

/* As at the start of an episode. */
void tf_pilot_init(tf_pilot_t *pilot);

/* A plausible state and its reference -> the policy's action, recorded; or why there is none:
 * TF_REASON_IMPLAUSIBLE_STATE (a network input out of range), TF_REASON_NON_FINITE_ACTION. */
uint8_t tf_pilot_step(tf_pilot_t *pilot, uint32_t now_us, const tf_state_t *state, const tf_reference_t *reference,
                      float action[TF_MOTORS]);

/* Another's action went out at now_us: into the history with it. */
void tf_pilot_record(tf_pilot_t *pilot, uint32_t now_us, const float action[TF_MOTORS]);

/* Once a command has gone out: sums ahead of time what the next step already knows. Optional. */
void tf_pilot_prepare(tf_pilot_t *pilot);

#endif
