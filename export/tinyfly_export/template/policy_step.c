void policy_init(policy_t *policy)
{
    tf_observation_init(&policy->observation);
}

void policy_step(policy_t *policy, uint32_t time_us, const tf_state_t *state, const tf_reference_t *reference,
                 float motors[4])
{
    float action[4];

    tf_observation_step(&policy->observation, time_us, state, reference);
    tf_policy_step(policy->observation.input, action);
    tf_observation_record(&policy->observation, action);
    for (uint32_t i = 0; i < 4u; i++)
        motors[i] = (action[i] + 1.0f) * 0.5f;
}
