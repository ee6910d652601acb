#include "tf_modal.h"

#include "tf_kernel.h"

/* Four sisters -> their modes; twice, and they are four times themselves. In this order of additions. */
static inline void fold(float a, float b, float c, float d, float *thrust, float *pitch, float *roll, float *yaw)
{
    const float front = a + b, difference = a - b;
    const float other = c + d, other_difference = c - d;

    *thrust = front + other;
    *pitch = difference + other_difference;
    *roll = front - other;
    *yaw = difference - other_difference;
}

/* Every unit of a layer, in place. */
static void fold_rows(float *x, uint32_t rows)
{
    float *b = x + rows, *c = b + rows, *d = c + rows;

    for (const float *end = b; x != end; x++, b++, c++, d++)
        fold(*x, *b, *c, *d, x, b, c, d);
}

/* The history's slots from `first` on, into the modes. Motors: front right, then clockwise. */
static void fold_history(const tf_modal_t *net, uint32_t first, uint32_t slots, const float *motors)
{
    const tf_layer_t *part = net->hidden[0];
    float *a = net->modes + first, *b = a + part[0].inputs, *c = b + part[1].inputs, *d = c + part[2].inputs;

    for (const float *end = motors + 4u * slots; motors != end; motors += 4)
        fold(motors[0], motors[1], motors[3], motors[2], a++, b++, c++, d++);
}

/* The state's values, into the modes behind the history. */
static void sort_state(const tf_modal_t *net, const float *state)
{
    const uint16_t *from = net->state;
    float *x = net->modes;

    for (uint32_t k = 0; k < TF_MODES; k++) {
        const uint32_t inputs = net->hidden[0][k].inputs;

        for (uint32_t i = net->slots; i < inputs; i++)
            x[i] = state[*from++];
        x += inputs;
    }
}

void tf_modal_prepare(const tf_modal_t *net, const float *history, uint32_t n_old, float *partial)
{
    const uint32_t old = n_old / 4u;
    const float *x = net->modes;

    fold_history(net, 0, old, history);
    for (uint32_t k = 0; k < TF_MODES; k++) {
        const tf_layer_t *part = &net->hidden[0][k];

        tf_accumulate(part, 0, old, part->bias, x, partial);
        x += part->inputs;
        partial += tf_rows(part);
    }
}

/* The first layer's sums, from the partial ones on. */
static void finish_first(const tf_modal_t *net, const float *partial, uint32_t n_old, const float *rest, float *out)
{
    const uint32_t old = n_old / 4u;
    const float *x = net->modes;

    fold_history(net, old, net->slots - old, rest);
    sort_state(net, rest + 4u * (net->slots - old));
    for (uint32_t k = 0; k < TF_MODES; k++) {
        const tf_layer_t *part = &net->hidden[0][k];

        tf_accumulate(part, old, part->inputs - old, partial, x + old, out);
        x += part->inputs;
        partial += tf_rows(part);
        out += tf_rows(part);
    }
}

/* The sums of a layer over the one before it, whose sisters become modes in place. */
static void next_hidden(const tf_layer_t part[TF_MODES], uint32_t rows_before, float *before, float *out)
{
    fold_rows(before, rows_before);
    for (uint32_t k = 0; k < TF_MODES; k++, before += rows_before, out += tf_rows(part))
        tf_accumulate(&part[k], 0, part[k].inputs, part[k].bias, before, out);
}

/* Sums by mode -> the units' outputs, sister by sister. */
static uint32_t activate(const tf_layer_t *part, float *sum)
{
    const uint32_t rows = tf_rows(part);

    fold_rows(sum, rows);
    tf_tanh_rows(sum, TF_MODES * rows);
    return rows;
}

void tf_modal_finish(const tf_modal_t *net, const float *partial, uint32_t n_old, const float *rest, float action[4])
{
    float *y = net->scratch[0];

    finish_first(net, partial, n_old, rest, y);
    uint32_t rows = activate(net->hidden[0], y);
    for (uint32_t i = 1; i < net->layers; i++) {
        float *out = net->scratch[i & 1u];

        next_hidden(net->hidden[i], rows, y, out);
        rows = activate(net->hidden[i], out);
        y = out;
    }
    const uint32_t units = net->last->inputs / TF_MODES;

    for (uint32_t k = 0; k < TF_MODES; k++, y += rows)
        tf_accumulate(net->last, k * units, units, k == 0 ? net->last->bias : action, y, action);
    tf_tanh_rows(action, 4);
}

void tf_modal_step(const tf_modal_t *net, const float *input, float action[4])
{
    tf_modal_prepare(net, input, 0, net->scratch[1]);
    tf_modal_finish(net, net->scratch[1], 0, input, action);
}
