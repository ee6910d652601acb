#include "tf_gru.h"

#include <string.h>

#include "tf_kernel.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

static void layer(const tf_layer_t *l, const float *sum, const float *x, float *out)
{
    tf_accumulate(l, 0, l->inputs, sum, x, out);
}

/* Four values at a time, loaded before any is stored, so that no result is wanted at once. */
#define EACH4(DO) DO(0) DO(1) DO(2) DO(3)

/* recurrent holds half of U h + b, so that sigmoid(r) times it takes one multiply. */
static void reset(const float *r, const float *recurrent, float *n)
{
#define SUM(i) const float n##i = n[i] + (r[i] + 1.0f) * recurrent[i];
#define STORE_N(i) n[i] = n##i;
    EACH4(SUM)
    EACH4(STORE_N)
}

static void update(const float *z, const float *n, float *h)
{
#define MIX(i) const float h##i = n[i] + (0.5f * z[i] + 0.5f) * (h[i] - n[i]);
#define STORE_H(i) h[i] = h##i;
    EACH4(MIX)
    EACH4(STORE_H)
}

/* On the bits, where compilers need no branch. A NaN gives 0. */
static void rectify(float *x, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits = bits > 0x7f800000u ? 0u : bits; /* beyond infinity: negative, or NaN */
        memcpy(x + i, &bits, sizeof bits);
    }
}

/* To [-1, 1]. */
static void clamp(float action[4])
{
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t bits, size;
        memcpy(&bits, action + i, sizeof bits);
        size = bits & 0x7fffffffu;
        bits = (bits & 0x80000000u) | (size < 0x3f800000u ? size : 0x3f800000u); /* 1.0f */
        memcpy(action + i, &bits, sizeof bits);
    }
}

void tf_gru_reset(const tf_gru_t *net)
{
    memcpy(net->hidden, net->initial, net->size * sizeof(float));
    memcpy(net->sums + 3 * net->size, net->bias, net->size * sizeof(float));
}

void tf_gru_prepare(const tf_gru_t *net)
{
    layer(&net->recurrent, net->recurrent.bias, net->hidden, net->sums);
}

void tf_gru_finish(const tf_gru_t *net, const float *observation, float action[4])
{
    const uint32_t size = net->size;
    float *r = net->gates, *z = r + size, *n = z + size;

    layer(&net->dense, net->dense.bias, observation, net->x);
    rectify(net->x, tf_rows(&net->dense));
    layer(&net->input, net->sums + size, net->x, r);
    tf_tanh_rows(r, 2 * size);
    for (uint32_t i = 0; i < size; i += 4)
        reset(r + i, net->sums + i, n + i);
    tf_tanh_rows(n, size);
    for (uint32_t i = 0; i < size; i += 4)
        update(z + i, n + i, net->hidden + i);
    layer(&net->action, net->action.bias, net->hidden, action);
    clamp(action);
}

void tf_gru_step(const tf_gru_t *net, const float *observation, float action[4])
{
    tf_gru_prepare(net);
    tf_gru_finish(net, observation, action);
}
