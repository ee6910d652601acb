/* libFuzzer on the serial app: framing, protocol, supervisor, guard. An input's first byte chooses where the story
 * begins (at rest, settled, armed, flying, degraded, about to end its descent), the others arrive on the wire; 10 ms pass on the chip's own
 * clock with every delimiter. Whatever arrives:
 *   - what is sent is whole frames, and motor commands in them are numbers in [0, 1], 0 with the motors off;
 *   - motors begin to turn only with an arm frame, and are off after a stop frame. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tf_app.h"

#define CHECK(holds) ((holds) ? (void)0 : abort())

#define BEGINNINGS 7u

static tf_app_t app, beginning[BEGINNINGS];
static uint32_t begin_us[BEGINNINGS];
static tf_decoder_t listener; /* the other end of the wire */
static uint32_t now_us;

static uint32_t time_us(void) { return now_us; }
static uint32_t cost(void) { return now_us / 2u; }
static void reset(void) { }
static uint32_t stack_bytes(void) { return 0; }

static void check_control(const tf_frame_t *frame)
{
    tf_msg_control_t control;

    CHECK(tf_decode_control(frame->body, frame->n, &control));
    for (uint32_t i = 0; i < TF_MOTORS; i++) {
        uint32_t bits;
        memcpy(&bits, &control.motors[i], sizeof bits);
        CHECK(bits <= 0x3F800000u);
        CHECK(bits == 0u || control.state == TF_STATE_ARMED || control.state == TF_STATE_FLYING ||
              control.state == TF_STATE_DEGRADED);
    }
}

static void hear(const uint8_t *bytes, uint32_t n)
{
    tf_frame_t frame;

    for (uint32_t i = 0; i < n; i++) {
        const tf_link_event_t event = tf_decoder_step(&listener, bytes[i], &frame);
        CHECK(event == (i + 1u == n ? TF_LINK_FRAME : TF_LINK_MORE));
        if (event == TF_LINK_FRAME && frame.type == TF_MSG_CONTROL)
            check_control(&frame);
    }
}

static uint32_t room(void) { return UINT32_MAX; }

static const tf_port_t port = {time_us, cost, room, hear, reset, stack_bytes, 0, 0, 1000000u, "fuzz"};

/* Bytes up to a delimiter, or the last of them. */
static void take(const uint8_t *bytes, size_t n)
{
    const bool on = tf_controller_motors_on(&app.controller);
    const uint32_t frames = app.stats.frames;

    for (size_t i = 0; i < n; i++)
        tf_app_receive(&app, bytes[i]);
    now_us += 10000u;
    (void)tf_app_poll(&app);
    if (app.stats.frames == frames) {
        CHECK(on || !tf_controller_motors_on(&app.controller));
        return;
    }
    const uint8_t type = app.decoder.buffer[1]; /* the frame just handled lies there still */
    CHECK(on || !tf_controller_motors_on(&app.controller) || type == TF_MSG_ARM);
    CHECK(type != TF_MSG_STOP || !tf_controller_motors_on(&app.controller));
}

/* ---------------------------------------------------------------- how the beginnings come about */

static uint16_t sequence;

static void say(uint8_t type, const uint8_t *body, uint32_t n)
{
    uint8_t wire[TF_WIRE_BYTES(128)];

    take(wire, tf_link_encode(type, ++sequence, body, n, wire));
}

static void say_steps(uint32_t steps)
{
    static const tf_msg_step_t at_rest = {.quaternion = {1.0f}};
    tf_msg_step_t step = at_rest;
    uint8_t body[TF_MSG_STEP_BYTES];

    for (uint32_t i = 0; i < steps; i++) {
        step.time_us = now_us + 20000u; /* lock-step: this is the time; own clock: only that it grows matters */
        now_us += 10000u;
        say(TF_MSG_STEP, body, tf_encode_step(&step, body));
    }
}

static void keep_beginning(uint32_t i, uint8_t state)
{
    CHECK(app.controller.supervisor.state == state);
    memcpy(&beginning[i], &app, sizeof app);
    begin_us[i] = now_us;
}

static void take_off(uint8_t clock, uint32_t start_us)
{
    static const tf_msg_arm_t arm = {0x1234u, TF_POLICY_CRC32, TF_CONTRACT_HASH};
    static const tf_msg_setpoint_t hover = {.kind = TF_SETPOINT_HOVER};
    uint8_t body[TF_MSG_SETPOINT_BYTES];

    now_us = start_us;
    tf_app_init(&app, &port, 0x1234u);
    keep_beginning(0, TF_STATE_DISARMED);
    say(TF_MSG_SET_CLOCK, &clock, 1);
    say(TF_MSG_SETPOINT, body, tf_encode_setpoint(&hover, body));
    say_steps(28);
    keep_beginning(1, TF_STATE_DISARMED);
    say(TF_MSG_ARM, body, tf_encode_arm(&arm, body));
    keep_beginning(2, TF_STATE_ARMED);
    say_steps(28);
}

static void prepare_beginnings(void)
{
    tf_decoder_init(&listener);
    take_off(TF_CLOCK_OWN, 0);
    keep_beginning(5, TF_STATE_FLYING);
    take_off(TF_CLOCK_LINK, 0u - 1220000u); /* the clock wraps a moment later */
    keep_beginning(3, TF_STATE_FLYING);
    now_us += 150000u;
    say_steps(1);
    keep_beginning(4, TF_STATE_DEGRADED);
    say_steps(245);
    keep_beginning(6, TF_STATE_DEGRADED);
}

uint32_t fuzz_begin_us(uint8_t first)
{
    return begin_us[first % BEGINNINGS];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (beginning[0].port == NULL)
        prepare_beginnings();
    if (size == 0)
        return 0;
    memcpy(&app, &beginning[data[0] % BEGINNINGS], sizeof app);
    now_us = begin_us[data[0] % BEGINNINGS];
    for (size_t begin = 1, end = 1; end < size; begin = end) {
        const uint8_t *delimiter = memchr(data + begin, 0, size - begin);

        end = delimiter != NULL ? (size_t)(delimiter - data) + 1u : size;
        take(data + begin, end - begin);
    }
    return 0;
}
