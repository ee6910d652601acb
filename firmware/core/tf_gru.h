/* A recurrent policy: observation -> dense -> gated recurrent unit -> four actions in [-1, 1].
 *
 * x = max(dense o, 0); r, z = sigmoid(W x + U h + b); n = tanh(W x + b + r (U h + b)); h = n + z (h - n);
 * action = A h, at most 1. sigmoid(v) is (1 + tanh(v / 2)) / 2, its halves already in the weights, which loses no bit.
 * The bits are those of tinyfly_export.gru: sums in the order written, every operation rounds once.
 *
 * U h does not need the observation: tf_gru_prepare sums it after the last action has gone out.
 */
#ifndef TF_GRU_H
#define TF_GRU_H

#include "tf_layer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t size; /* of h; a multiple of four */
    tf_layer_t dense;
    tf_layer_t recurrent; /* h -> halves of n, r, z; the biases of both sides for r and z */
    tf_layer_t input;     /* x -> halves of r and z, n; starts at sums + size, so it has no bias of its own */
    tf_layer_t action;
    const float *initial, *bias; /* h at the start; n's bias beside x; size each */
    float *hidden;               /* h, kept from step to step */
    float *sums;                 /* 4 size: n, r, z of h, then bias */
    float *gates;                /* 3 size: r, z, n */
    float *x;                    /* the dense layer's rows as stored */
} tf_gru_t;

void tf_gru_reset(const tf_gru_t *net);

/* The whole step: prepare, then finish. |action| <= 1 and |h| <= 1 whatever the observation, NaN included. */
void tf_gru_step(const tf_gru_t *net, const float *observation, float action[4]);

/* The part that h alone decides, ahead of time; then the rest on the critical path, once for each prepare. */
void tf_gru_prepare(const tf_gru_t *net);
void tf_gru_finish(const tf_gru_t *net, const float *observation, float action[4]);

#ifdef __cplusplus
}
#endif
#endif
