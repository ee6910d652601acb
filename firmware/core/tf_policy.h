/* The policy as it was exported, in floats or in integers: the same calls for both. */
#ifndef TF_POLICY_H
#define TF_POLICY_H

#include <stdbool.h>

#include "tf_policy_data.h"
#include "tf_types.h"

/* Inputs that do not change between two advances of the history: all its slots but the newest. */
#if TF_HAS_ACTION_HISTORY
#define TF_OLD_INPUTS (TF_ACTION_HISTORY_SIZE - TF_MOTORS)
#else
#define TF_OLD_INPUTS 0u
#endif

/* The first layer's sums over bias and old inputs, opaque. */
typedef struct {
#if TF_POLICY_INTEGER
    int32_t sum[TF_POLICY_PARTIAL];
#else
    float sum[TF_POLICY_PARTIAL];
#endif
} tf_policy_partial_t;

/* All inputs -> action in [-1, 1]. */
static inline void tf_policy_step(const float *input, float action[TF_MOTORS])
{
#if TF_POLICY_INTEGER
    tf_network_i16_step(&tf_policy_network, input, action);
#else
    tf_network_step(&tf_policy_network, input, action);
#endif
}

/* The same in two: the old inputs ahead of time, the others (as many times as wanted) once they are known. */
static inline void tf_policy_prepare(const float *input, tf_policy_partial_t *partial)
{
#if TF_POLICY_INTEGER
    tf_network_i16_prepare(&tf_policy_network, input, TF_OLD_INPUTS, partial->sum);
#else
    tf_network_prepare(&tf_policy_network, input, TF_OLD_INPUTS, partial->sum);
#endif
}

static inline void tf_policy_finish(const float *input, const tf_policy_partial_t *partial, float action[TF_MOTORS])
{
#if TF_POLICY_INTEGER
    tf_network_i16_finish(&tf_policy_network, partial->sum, TF_OLD_INPUTS, input + TF_OLD_INPUTS, action);
#else
    tf_network_finish(&tf_policy_network, partial->sum, input + TF_OLD_INPUTS, action);
#endif
}

/* The network has the contract's inputs, and a motor for each output. */
static inline bool tf_policy_fits(void)
{
#if TF_POLICY_INTEGER
    return tf_policy_network.inputs == TF_POLICY_INPUTS &&
           tf_policy_network.layer[tf_policy_network.layers - 1u].rows == TF_MOTORS;
#else
    return tf_policy_network.layer[0].inputs == TF_POLICY_INPUTS &&
           tf_policy_network.layer[tf_policy_network.layers - 1u].outputs == TF_MOTORS;
#endif
}

#endif
