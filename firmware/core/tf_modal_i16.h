/* The policy network in its four modes (tf_modes.h) and in 16-bit integers (tf_kernel_i16.h), for a quarter of the
 * multiply-adds and of the flash of tf_network_i16.h. tinyfly_export.integer defines the bits. */
#ifndef TF_MODAL_I16_H
#define TF_MODAL_I16_H

#include "tf_kernel_i16.h"
#include "tf_modes.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t inputs;                          /* of the whole network */
    uint16_t slots;                           /* of the action history: the first inputs of every mode */
    uint16_t layers;                          /* hidden ones, at least one */
    uint16_t input_bits;                      /* an input of a mode is in units of 2^-input_bits */
    const tf_layer_i16_t (*hidden)[TF_MODES]; /* as many rows in each mode */
    const tf_layer_i16_t *last;               /* whole; its inputs are units 0, 4, 8 ..., then 1, 5, 9 ... */
    const uint16_t *state;                    /* mode by mode, which of the inputs after the history follow */
    const uint16_t *states;                   /* how many of them each mode has */
    int16_t *modes;                           /* room for all inputs as padded, mode by mode; zeros at first */
    int32_t *sum;                             /* room for the widest layer's */
    int16_t *scratch;                         /* room for all inputs, or the widest layer; both aligned to four bytes */
} tf_modal_i16_t;

/* The three calls of tf_network_i16.h, which share `modes` and `scratch`: never one inside another. n_old: whole slots,
 * and fours of them; partial: a sum for every row of the first layer's modes. */
void tf_modal_i16_step(const tf_modal_i16_t *net, const float *input, float action[4]);
void tf_modal_i16_prepare(const tf_modal_i16_t *net, const float *history, uint32_t n_old, int32_t *partial);
void tf_modal_i16_finish(const tf_modal_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                         float action[4]);

static inline uint32_t tf_modal_i16_outputs(const tf_modal_i16_t *net)
{
    return net->last->rows;
}

#ifdef __cplusplus
}
#endif
#endif
