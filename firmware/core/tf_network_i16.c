#include "tf_network_i16.h"

static void take_inputs(const tf_network_i16_t *net, const float *input, uint32_t n)
{
    int16_t *x = net->scratch[0];

    tf_quantise_i16(input, n, net->input_bits, x);
    for (; n % 4u != 0u; n++)
        x[n] = 0;
}

/* The layers from the partial sums of the first one on; scratch[0] holds its inputs from `first` on. */
static void run(const tf_network_i16_t *net, const int32_t *from, uint32_t first, float action[4])
{
    const int16_t *x = net->scratch[0];

    for (uint32_t k = 0; k < net->layers; k++) {
        const tf_layer_i16_t *layer = &net->layer[k];
        int16_t *out = net->scratch[(k + 1u) & 1u];

        tf_accumulate_i16(layer, first, layer->inputs - first, k == 0 ? from : layer->bias, x, net->sum);
        tf_scale_i16(layer, net->sum);
        tf_tanh_rows_i16(net->sum, layer->rows, out);
        x = out;
        first = 0;
    }
    for (uint32_t i = 0; i < 4u; i++)
        action[i] = (float)x[i] * 0x1p-15f;
}

void tf_network_i16_step(const tf_network_i16_t *net, const float *input, float action[4])
{
    take_inputs(net, input, net->inputs);
    run(net, net->layer[0].bias, 0, action);
}

void tf_network_i16_prepare(const tf_network_i16_t *net, const float *history, uint32_t n_old, int32_t *partial)
{
    take_inputs(net, history, n_old);
    tf_accumulate_i16(&net->layer[0], 0, n_old, net->layer[0].bias, net->scratch[0], partial);
}

void tf_network_i16_finish(const tf_network_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                           float action[4])
{
    take_inputs(net, rest, net->inputs - n_old);
    run(net, partial, n_old, action);
}
