/* Hold a position 10 cm off for ten steps. */
#include <stdio.h>

#include "policy.h"

int main(void)
{
    static policy_t policy;
    const tf_state_t state = {{0.1f, 0, 0}, {1, 0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
    const tf_reference_t here = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {{0, 0, 0}}};
    float m[4];

    policy_init(&policy);
    for (uint32_t k = 0; k < 10; k++) {
        policy_step(&policy, 10000 * k, &state, &here, m);
        printf("%.6f %.6f %.6f %.6f\n", (double)m[0], (double)m[1], (double)m[2], (double)m[3]);
    }
    return 0;
}
