#include "tf_network.h"

#include "tf_kernel.h"

static void run(const tf_network_t *net, const float *sum, uint32_t first, const float *x, float action[4])
{
    for (uint32_t i = 0; i < net->layers; i++) {
        const tf_layer_t *layer = &net->layer[i];
        float *out = i + 1 == net->layers ? action : net->scratch[i & 1];

        tf_accumulate(layer, first, layer->inputs - first, i == 0 ? sum : layer->bias, x, out);
        tf_tanh_rows(out, tf_rows(layer));
        x = out;
        first = 0;
    }
}

void tf_network_step(const tf_network_t *net, const float *input, float action[4])
{
    run(net, net->layer[0].bias, 0, input, action);
}

void tf_network_prepare(const tf_network_t *net, const float *history, uint32_t n_old, float *partial)
{
    tf_accumulate(&net->layer[0], 0, n_old, net->layer[0].bias, history, partial);
}

void tf_network_finish(const tf_network_t *net, const float *partial, uint32_t n_old, const float *rest,
                       float action[4])
{
    run(net, partial, n_old, rest, action);
}
