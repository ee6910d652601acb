/* A mutator that knows frames: it changes what they say, then puts number, CRC and framing right again, so that
 * mutations reach the protocol instead of dying at the checksum. */
#include <string.h>

#include "fuzz.h"
#include "tf_app.h"

#define MOST_FRAMES 16u

typedef struct {
    uint8_t type;
    uint16_t sequence;
    uint32_t n;
    uint8_t body[TF_MAX_BODY];
} message_t;

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static message_t message[MOST_FRAMES];
static uint32_t count, random_state, begin_us;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

/* The good frames in the data. */
static void parse(const uint8_t *data, size_t size)
{
    static tf_decoder_t decoder;
    tf_frame_t frame;

    count = 0;
    tf_decoder_init(&decoder);
    for (size_t i = 0; i < size && count < MOST_FRAMES; i++) {
        if (tf_decoder_step(&decoder, data[i], &frame) != TF_LINK_FRAME)
            continue;
        message[count] = (message_t){.type = frame.type, .sequence = frame.sequence, .n = frame.n};
        memcpy(message[count++].body, frame.body, frame.n);
    }
}

static uint32_t body_bytes(uint8_t type)
{
    static const uint32_t bytes[] = {
        [TF_MSG_HELLO] = TF_MSG_HELLO_BYTES, [TF_MSG_ARM] = TF_MSG_ARM_BYTES,
        [TF_MSG_STEP] = TF_MSG_STEP_BYTES, [TF_MSG_SETPOINT] = TF_MSG_SETPOINT_BYTES,
        [TF_MSG_SET_CLOCK] = TF_MSG_SET_CLOCK_BYTES, [TF_MSG_TICK] = TF_MSG_TICK_BYTES,
        [TF_MSG_INFER] = 4u * TF_POLICY_INPUTS, [TF_MSG_RESET] = TF_MSG_RESET_BYTES,
        [TF_MSG_COMPENSATE] = TF_MSG_COMPENSATE_BYTES,
    };
    return type <= TF_MSG_COMPENSATE ? bytes[type] : 0u;
}

static void credentials(message_t *m)
{
    const tf_msg_arm_t arm = {0x1234u, TF_POLICY_CRC32, TF_CONTRACT_HASH};

    m->n = tf_encode_arm(&arm, m->body);
}

/* A level state at rest, a little later than the last. */
static void good_step(message_t *m, uint32_t before)
{
    tf_msg_step_t step = {.time_us = begin_us, .quaternion = {1.0f}};

    for (uint32_t i = 0; i < before; i++) {
        if (message[i].type == TF_MSG_STEP || message[i].type == TF_MSG_TICK)
            step.time_us = tf_get_u32(message[i].body);
    }
    step.time_us += 1000u * (1u + draw(99));
    m->n = tf_encode_step(&step, m->body);
}

/* Numbers that set-points and states are made of, and those that they must never be. */
static float any_number(void)
{
    static const uint32_t odd[] = {0x7F800000u, 0xFFC00000u, 0x7F800001u, 0x80000000u, 0x00000001u, 0x7F7FFFFFu, 0xC61C4000u};
    const uint32_t bits = odd[draw(sizeof odd / sizeof odd[0])];
    float x = (float)draw(2001u) * 1e-3f - 1.0f;

    if (draw(16) == 0u)
        memcpy(&x, &bits, sizeof x);
    return x;
}

/* One that is taken, if its numbers are; chance alone finds no waypoints and no figure-eight. */
static void good_setpoint(message_t *m)
{
    tf_msg_setpoint_t setpoint = {.kind = (uint8_t)draw(TF_SETPOINT_COUNT), .flags = (uint8_t)draw(2)};

    for (uint32_t i = 0; i < sizeof setpoint.values / sizeof setpoint.values[0]; i++)
        setpoint.values[i] = any_number();
    if (setpoint.kind == TF_SETPOINT_WAYPOINTS) {
        setpoint.values[0] = 0.1f + (float)draw(5);
        setpoint.values[1] = (float)draw(6);
    }
    if (setpoint.kind == TF_SETPOINT_FIGURE_EIGHT) {
        setpoint.values[5] = 1.0f + (float)draw(3);
        setpoint.values[6] = (float)draw(3) * 0.1f;
    }
    m->n = tf_encode_setpoint(&setpoint, m->body);
}

static void odd_number(message_t *m)
{
    const float x = any_number();
    uint32_t bits;

    if (m->n < 8u)
        return;
    memcpy(&bits, &x, sizeof bits);
    tf_put_u32(m->body + 4u * (1u + draw(m->n / 4u - 1u)), bits); /* every message's numbers lie on fours */
}

static void insert(uint32_t at)
{
    if (count == MOST_FRAMES)
        return;
    memmove(message + at + 1, message + at, (count - at) * sizeof message[0]);
    count++;
    memset(&message[at], 0, sizeof message[at]);
    message[at].type = (uint8_t)(draw(4) ? TF_MSG_STEP : 1u + draw(TF_MSG_COMPENSATE));
    message[at].n = body_bytes(message[at].type);
    if (message[at].type == TF_MSG_STEP && draw(4))
        good_step(&message[at], at);
    if (message[at].type == TF_MSG_SETPOINT && draw(8))
        good_setpoint(&message[at]);
    if (message[at].type == TF_MSG_ARM && draw(4))
        credentials(&message[at]);
}

static void change_one(void)
{
    const uint32_t at = draw(count + 1u);
    message_t *m = &message[at];

    if (at == count || draw(4) == 0u) {
        insert(at);
        return;
    }
    switch (draw(10)) {
    case 0: memmove(m, m + 1, (--count - at) * sizeof *m); break;
    case 1: *m = message[draw(count)]; break;
    case 2: m->sequence = (uint16_t)draw(65536u); break;
    case 3: m->type = (uint8_t)draw(256u); break;
    case 4: odd_number(m); break;
    case 5: m->n = draw(8) ? body_bytes(m->type) : draw(TF_MAX_BODY); break;
    default: m->n = (uint32_t)LLVMFuzzerMutate(m->body, m->n, draw(4) && m->n ? m->n : TF_MAX_BODY); break;
    }
}

static size_t write_all(uint8_t *data, size_t max_size)
{
    static uint8_t wire[TF_WIRE_BYTES(TF_MAX_BODY)];
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t n = tf_link_encode(message[i].type, message[i].sequence, message[i].body, message[i].n, wire);
        if (size + n > max_size)
            break;
        memcpy(data + size, wire, n);
        size += n;
    }
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    random_state = seed;
    if (draw(8) == 0u) /* noise on the line */
        return LLVMFuzzerMutate(data, size, max_size);
    if (size == 0u || draw(16) == 0u)
        data[0] = (uint8_t)draw(256u); /* another beginning */
    begin_us = fuzz_begin_us(data[0]);
    parse(data + 1, size > 0u ? size - 1u : 0u);
    for (uint32_t i = 0; i <= draw(3); i++)
        change_one();
    if (draw(4)) { /* younger than all that the beginnings have seen */
        for (uint32_t i = 0; i < count; i++)
            message[i].sequence = (uint16_t)(i + 1000u);
    }
    return 1u + write_all(data + 1, max_size - 1u);
}
