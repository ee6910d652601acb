/* Is this the policy that left the laboratory, and does it compute here what it computed there? */
#include <string.h>

#include "tf_controller.h"
#include "tf_crc32.h"

_Static_assert(TF_GOLDEN_COUNT > 0u, "a self-test needs golden vectors");

static bool weights_are_whole(void)
{
    return tf_crc32(0, &tf_policy_constants, sizeof tf_policy_constants) == TF_WEIGHTS_CRC32;
}

/* Bit for bit, by the two halves of the step that fly; a comparison of floats would let a NaN pass. */
static uint16_t count_mismatches(tf_policy_partial_t *partial)
{
    uint16_t mismatches = 0;

    for (uint32_t i = 0; i < TF_GOLDEN_COUNT; i++) {
        const float *input = tf_golden_observation[i];
        float action[TF_MOTORS];

        tf_policy_prepare(input, partial);
        tf_policy_finish(input, partial, action);
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c): the bits are meant */
        if (memcmp(action, tf_golden_action[i], sizeof action) != 0)
            mismatches++;
    }
    return mismatches;
}

uint8_t tf_controller_self_test(tf_controller_t *controller)
{
    const uint8_t refusal = tf_supervisor_handle(&controller->supervisor, TF_EVENT_TEST_BEGINS);
    tf_event_t finding = TF_EVENT_TEST_PASSED;

    if (refusal != TF_REASON_NONE)
        return refusal;
    controller->mismatches = 0;
    tf_pilot_init(&controller->pilot); /* its partial sums are borrowed */
    if (!weights_are_whole())
        finding = TF_EVENT_TEST_WEIGHTS;
    else if (!tf_policy_fits())
        finding = TF_EVENT_TEST_CONTRACT;
    else
        controller->mismatches = count_mismatches(&controller->pilot.partial);
    if (controller->mismatches != 0u)
        finding = TF_EVENT_TEST_GOLDEN;
    (void)tf_supervisor_handle(&controller->supervisor, finding);
    controller->reason = controller->supervisor.reason;
    return controller->reason;
}
