/* The policy as it was exported, in floats, in modes or in integers: the same calls for all. */
#ifndef TF_POLICY_H
#define TF_POLICY_H

#include <stdbool.h>

#include "tf_policy_data.h"
#include "tf_types.h"

/* The first layer's sums over bias and old inputs, opaque. */
typedef struct {
    tf_policy_sum_t sum[TF_POLICY_PARTIAL];
} tf_policy_partial_t;

/* All inputs -> action in [-1, 1]. */
static inline void tf_policy_step(const float *input, float action[TF_MOTORS])
{
    TF_POLICY_NETWORK(step)(&tf_policy_network, input, action);
}

/* The same in two: the old inputs ahead of time, the others (as many times as wanted) once they are known. */
static inline void tf_policy_prepare(const float *input, tf_policy_partial_t *partial)
{
    TF_POLICY_NETWORK(prepare)(&tf_policy_network, input, TF_OLD_INPUTS, partial->sum);
}

static inline void tf_policy_finish(const float *input, const tf_policy_partial_t *partial, float action[TF_MOTORS])
{
    TF_POLICY_NETWORK(finish)(&tf_policy_network, partial->sum, TF_OLD_INPUTS, input + TF_OLD_INPUTS, action);
}

/* The network has the contract's inputs, and a motor for each output. */
static inline bool tf_policy_fits(void)
{
    return tf_policy_network.inputs == TF_POLICY_INPUTS && TF_POLICY_NETWORK(outputs)(&tf_policy_network) == TF_MOTORS;
}

#endif
