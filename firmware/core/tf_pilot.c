#include "tf_pilot.h"

#include "tf_guard.h"
#include "tf_messages.h"

void tf_pilot_init(tf_pilot_t *pilot)
{
    tf_observation_init(&pilot->observation);
}

void tf_pilot_prepare(tf_pilot_t *pilot)
{
    if (pilot->observation.moved)
        tf_policy_prepare(pilot->observation.input, &pilot->partial);
    pilot->observation.moved = false;
}

uint8_t tf_pilot_step(tf_pilot_t *pilot, uint32_t now_us, const tf_state_t *state, const tf_reference_t *reference,
                      float action[TF_MOTORS])
{
    const float *newest_and_state = pilot->observation.input + TF_OLD_INPUTS;

    tf_observation_step(&pilot->observation, now_us, state, reference);
    if (!tf_guard_numbers(newest_and_state, TF_POLICY_INPUTS - TF_OLD_INPUTS, TF_INPUT_MAX))
        return TF_REASON_IMPLAUSIBLE_STATE;
    tf_pilot_prepare(pilot);
    tf_policy_finish(pilot->observation.input, &pilot->partial, action);
    if (!tf_guard_numbers(action, TF_MOTORS, 1.0f))
        return TF_REASON_NON_FINITE_ACTION;
    tf_observation_record(&pilot->observation, action);
    return TF_REASON_NONE;
}

void tf_pilot_record(tf_pilot_t *pilot, uint32_t now_us, const float action[TF_MOTORS])
{
    (void)tf_observation_tick(&pilot->observation, now_us);
    tf_observation_record(&pilot->observation, action);
}
