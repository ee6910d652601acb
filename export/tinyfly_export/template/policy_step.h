/* Everything that flies: the network, its history of actions, its integral of the position error. */
typedef struct {
    tf_observation_t observation;
} policy_t;

/* As an episode begins in training: no history, no integral. Call it whenever the motors start. */
void policy_init(policy_t *policy);

/* State and reference -> four motors, each a fraction of full rotor speed in [0, 1].
 *
 * Call it TF_POLICY_RATE_HZ times a second or more often; time_us is any clock of microseconds that wraps at
 * 2^32. World: z up. Body: x forward, y left, z up. Motors: front right, back right, back left, front left.
 * Whatever the state, the motors are finite and in range; whether the state is to be trusted is the caller's. */
void policy_step(policy_t *policy, uint32_t time_us, const tf_state_t *state, const tf_reference_t *reference,
                 float motors[4]);
