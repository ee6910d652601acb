/* The policy network in its four modes (tf_modes.h). tinyfly.modal defines the bits: the same on every machine.
 *
 * No data-dependent loops or branches: a step always runs the same instructions. */
#ifndef TF_MODAL_H
#define TF_MODAL_H

#include "tf_layer.h"
#include "tf_modes.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t inputs;                      /* of the whole network */
    uint16_t slots;                       /* of the action history, four inputs each: the first inputs of every mode */
    uint16_t layers;                      /* hidden ones, at least one */
    const tf_layer_t (*hidden)[TF_MODES]; /* as many rows in each mode */
    const tf_layer_t *last;               /* whole; its inputs are units 0, 4, 8 ..., then 1, 5, 9 ... */
    const uint16_t *state;                /* mode by mode, which of the inputs after the history follow the slots */
    float *modes;                         /* room for all inputs, mode by mode */
    float *scratch[2];                    /* the hidden layers take turns here; one step at a time per network */
} tf_modal_t;

/* The three calls of tf_network.h, on this network. n_old: whole slots, a multiple of four; partial: a float for
 * every row of the first layer's modes. */
void tf_modal_step(const tf_modal_t *net, const float *input, float action[4]);
void tf_modal_prepare(const tf_modal_t *net, const float *history, uint32_t n_old, float *partial);
void tf_modal_finish(const tf_modal_t *net, const float *partial, uint32_t n_old, const float *rest, float action[4]);

static inline uint32_t tf_modal_outputs(const tf_modal_t *net)
{
    return net->last->outputs;
}

#ifdef __cplusplus
}
#endif
#endif
