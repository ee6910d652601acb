#include "tf_modal_i16.h"

/* Four sisters -> their modes; twice, and they are four times themselves. */
static inline void fold(int32_t a, int32_t b, int32_t c, int32_t d, int32_t out[TF_MODES])
{
    out[0] = a + b + c + d;
    out[1] = a - b + c - d;
    out[2] = a + b - c - d;
    out[3] = a - b - c + d;
}

/* Rounded half up: what int16 holds for sure of the sum of four. */
static inline int16_t quarter(int32_t x)
{
    return (int16_t)((x + 2) >> 2);
}

/* tanh's arguments by mode -> of the units, sister by sister; in place. */
static void fold_arguments(int32_t *x, uint32_t rows)
{
    for (const int32_t *end = x + rows; x != end; x++) {
        int32_t four[TF_MODES];

        fold(x[0], x[rows], x[2u * rows], x[3u * rows], four);
        for (uint32_t k = 0; k < TF_MODES; k++)
            x[k * rows] = four[k];
    }
}

/* Units, sister by sister -> a quarter of their modes; in place. */
static void fold_units(int16_t *x, uint32_t rows)
{
    for (const int16_t *end = x + rows; x != end; x++) {
        int32_t four[TF_MODES];

        fold(x[0], x[rows], x[2u * rows], x[3u * rows], four);
        for (uint32_t k = 0; k < TF_MODES; k++)
            x[k * rows] = quarter(four[k]);
    }
}

/* The history's slots from `first` on, into the modes: two bits finer, as a quarter is taken. Motors: front right,
 * then clockwise. */
static void fold_history(const tf_modal_i16_t *net, uint32_t first, uint32_t slots, const float *history)
{
    const tf_layer_i16_t *part = net->hidden[0];
    const int16_t *motors = net->scratch;
    int16_t *mode = net->modes;

    tf_quantise_i16(history, 4u * slots, net->input_bits + 2u, net->scratch);
    for (uint32_t slot = first; slot < first + slots; slot++, motors += 4) {
        int32_t four[TF_MODES];
        int16_t *x = mode;

        fold(motors[0], motors[1], motors[3], motors[2], four);
        for (uint32_t k = 0; k < TF_MODES; k++) {
            x[slot] = quarter(four[k]);
            x += part[k].inputs;
        }
    }
}

/* The state's values, into the modes behind the history. */
static void sort_state(const tf_modal_i16_t *net, const float *state)
{
    const uint16_t *from = net->state;
    int16_t *mode = net->modes;

    tf_quantise_i16(state, net->inputs - 4u * net->slots, net->input_bits, net->scratch);
    for (uint32_t k = 0; k < TF_MODES; k++) {
        for (uint32_t i = 0; i < net->states[k]; i++)
            mode[net->slots + i] = net->scratch[*from++];
        mode += net->hidden[0][k].inputs;
    }
}

void tf_modal_i16_prepare(const tf_modal_i16_t *net, const float *history, uint32_t n_old, int32_t *partial)
{
    const uint32_t old = n_old / 4u;
    const int16_t *x = net->modes;

    fold_history(net, 0, old, history);
    for (uint32_t k = 0; k < TF_MODES; k++) {
        const tf_layer_i16_t *part = &net->hidden[0][k];

        tf_accumulate_i16(part, 0, old, part->bias, x, partial);
        x += part->inputs;
        partial += part->rows;
    }
}

/* tanh's arguments of the first layer, by mode, from the partial sums on. */
static void finish_first(const tf_modal_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest)
{
    const uint32_t old = n_old / 4u;
    const int16_t *x = net->modes;
    int32_t *sum = net->sum;

    fold_history(net, old, net->slots - old, rest);
    sort_state(net, rest + 4u * (net->slots - old));
    for (uint32_t k = 0; k < TF_MODES; k++) {
        const tf_layer_i16_t *part = &net->hidden[0][k];

        tf_accumulate_i16(part, old, part->inputs - old, partial, x + old, sum);
        tf_scale_i16(part, sum);
        x += part->inputs;
        partial += part->rows;
        sum += part->rows;
    }
}

/* The same of a layer over the units before it. */
static void next_hidden(const tf_modal_i16_t *net, const tf_layer_i16_t part[TF_MODES], uint32_t rows_before)
{
    const int16_t *x = net->scratch;
    int32_t *sum = net->sum;

    fold_units(net->scratch, rows_before);
    for (uint32_t k = 0; k < TF_MODES; k++, x += rows_before, sum += part->rows) {
        tf_accumulate_i16(&part[k], 0, part[k].inputs, part[k].bias, x, sum);
        tf_scale_i16(&part[k], sum);
    }
}

void tf_modal_i16_finish(const tf_modal_i16_t *net, const int32_t *partial, uint32_t n_old, const float *rest,
                         float action[4])
{
    finish_first(net, partial, n_old, rest);
    for (uint32_t i = 0; i < net->layers; i++) {
        const uint32_t rows = net->hidden[i][0].rows;

        if (i > 0)
            next_hidden(net, net->hidden[i], net->hidden[i - 1u][0].rows);
        fold_arguments(net->sum, rows);
        tf_tanh_rows_i16(net->sum, TF_MODES * rows, net->scratch);
    }
    tf_accumulate_i16(net->last, 0, net->last->inputs, net->last->bias, net->scratch, net->sum);
    tf_scale_i16(net->last, net->sum);
    tf_tanh_rows_i16(net->sum, 4, net->scratch);
    for (uint32_t i = 0; i < 4u; i++)
        action[i] = (float)net->scratch[i] * 0x1p-15f;
}

void tf_modal_i16_step(const tf_modal_i16_t *net, const float *input, float action[4])
{
    tf_modal_i16_prepare(net, input, 0, net->sum);
    tf_modal_i16_finish(net, net->sum, 0, input, action);
}
