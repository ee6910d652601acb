/* What the tests need beyond the core's own functions: sizes, fields, a pretended port, loops too long for
 * Python. Compiled with the core into one shared library; holds no logic of the firmware. */
#include <string.h>

#include "tf_app.h"
#include "tf_math.h"
#include "tf_path.h"

#ifdef EVIL_NETWORK
/* A network that answers whatever the test wants, to see what the guard makes of it. */
uint32_t bridge_evil[TF_MOTORS];

void tf_network_prepare(const tf_network_t *net, const float *history, uint32_t n_old, float *partial)
{
    (void)net, (void)history, (void)n_old, (void)partial;
}

void tf_network_finish(const tf_network_t *net, const float *partial, uint32_t n_old, const float *rest,
                       float action[4])
{
    (void)net, (void)partial, (void)n_old, (void)rest;
    memcpy(action, bridge_evil, sizeof bridge_evil);
}

void tf_network_step(const tf_network_t *net, const float *input, float action[4])
{
    tf_network_finish(net, NULL, 0, input, action);
}
#endif

uint32_t bridge_controller_size(void) { return sizeof(tf_controller_t); }
uint32_t bridge_app_size(void) { return sizeof(tf_app_t); }
uint32_t bridge_setpoint_size(void) { return sizeof(tf_setpoint_t); }
uint32_t bridge_observation_size(void) { return sizeof(tf_observation_t); }
uint32_t bridge_decoder_size(void) { return sizeof(tf_decoder_t); }

tf_supervisor_t *bridge_supervisor(tf_controller_t *c) { return &c->supervisor; }
tf_guard_t *bridge_guard(tf_controller_t *c) { return &c->guard; }
float *bridge_input(tf_controller_t *c) { return c->pilot.observation.input; }
tf_counters_t *bridge_counters(tf_controller_t *c) { return &c->counters; }
uint32_t bridge_flags(const tf_controller_t *c) { return c->flags; }
uint32_t bridge_reason(const tf_controller_t *c) { return c->reason; }
float bridge_compensation(const tf_controller_t *c) { return c->compensation; }
void bridge_prepare(tf_controller_t *c) { tf_pilot_prepare(&c->pilot); }
tf_controller_t *bridge_app_controller(tf_app_t *app) { return &app->controller; }
void bridge_setpoint_streamed(tf_setpoint_t *s, uint8_t *streamed) { *streamed = s->streamed; }

/* ---------------------------------------------------------------- the link */

/* Feeds n bytes; the events other than MORE go to events, the frames' contents to out: length u32, type, sequence
 * u16, body. Returns how many events there were. */
uint32_t bridge_feed(tf_decoder_t *decoder, const uint8_t *bytes, uint32_t n, uint8_t *events, uint8_t *out)
{
    uint32_t count = 0;
    tf_frame_t frame;

    for (uint32_t i = 0; i < n; i++) {
        const tf_link_event_t event = tf_decoder_step(decoder, bytes[i], &frame);
        if (event == TF_LINK_MORE)
            continue;
        events[count++] = (uint8_t)event;
        if (event == TF_LINK_FRAME) {
            tf_put_u32(out, frame.n);
            out[4] = frame.type;
            tf_put_u16(out + 5, frame.sequence);
            memcpy(out + 7, frame.body, frame.n);
            out += 7 + frame.n;
        }
    }
    return count;
}

/* ---------------------------------------------------------------- a port that the test holds in its hands */

static struct {
    uint32_t time_us, cost, resets, sent, byte_us, room;
    uint8_t bytes[1 << 16];
} world;

static uint32_t time_us(void) { return world.time_us; }
static uint32_t cost(void) { return world.cost += 7u; }
static void reset(void) { world.resets++; }
static uint32_t stack_bytes(void) { return 1234u; }

static void keep(const uint8_t *bytes, uint32_t n)
{
    if (world.sent + n > sizeof world.bytes)
        world.sent = 0;
    memcpy(world.bytes + world.sent, bytes, n);
    world.sent += n;
    world.time_us += n * world.byte_us;
    if (world.room != UINT32_MAX)
        world.room -= n; /* a send without room for it leaves a huge one, which a test would see */
}

static uint32_t room(void) { return world.room; }

static const tf_port_t port = {time_us, cost, room, keep, reset, stack_bytes, TF_COST_UNIT_INSTRUCTIONS,
                               TF_CAUSE_POWER_ON, 168000000u, "bridge, cut to fifteen"};

void bridge_app_init(tf_app_t *app, uint32_t nonce, uint32_t now_us)
{
    memset(&world, 0, sizeof world);
    world.time_us = now_us;
    world.room = UINT32_MAX;
    tf_app_init(app, &port, nonce);
}

void bridge_set_time(uint32_t now_us) { world.time_us = now_us; }
void bridge_byte_takes(uint32_t us) { world.byte_us = us; }
void bridge_room(uint32_t bytes) { world.room = bytes; }
uint32_t bridge_resets(void) { return world.resets; }

void bridge_receive(tf_app_t *app, const uint8_t *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        tf_app_receive(app, bytes[i]);
}

/* Takes what was sent since the last call. */
uint32_t bridge_sent(uint8_t *out)
{
    const uint32_t n = world.sent;

    memcpy(out, world.bytes, n);
    world.sent = 0;
    return n;
}

/* ---------------------------------------------------------------- long loops */

static uint32_t xorshift(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static float any_bits(uint32_t *seed)
{
    static const uint32_t special[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFFFFFFFu, 0x7F800001u,
                                       0x80000000u, 0x00000001u, 0x7F7FFFFFu};
    uint32_t bits = xorshift(seed);
    float x;

    if (bits % 16u == 0u)
        bits = special[bits / 16u % 8u];
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* n control steps on states of which some numbers are any bit pattern at all; returns the motor commands that are
 * not a number in [0, 1], or not 0 with the motors off. accepted: the states that passed as good. */
uint64_t bridge_bombard(tf_controller_t *c, uint32_t *now_us, uint32_t seed, uint64_t n, uint64_t *accepted)
{
    uint64_t bad = 0;

    for (uint64_t i = 0; i < n; i++) {
        tf_state_t state = {{0}, {1, 0, 0, 0}, {0}, {0}};
        float motors[TF_MOTORS], values[13];
        const uint32_t choice = xorshift(&seed);

        memcpy(values, &state, sizeof values);
        for (uint32_t k = 0; k < 13u; k++) {
            if (choice % 4u == 0u || (choice % 4u == 1u && (choice >> 4) % 13u == k))
                values[k] = any_bits(&seed);
            else if (k < 3u || k > 6u)
                values[k] = (float)(int32_t)xorshift(&seed) * 0x1p-30f;
        }
        memcpy(&state, values, sizeof values);
        *now_us += 2000u;
        tf_controller_step(c, *now_us, &state, motors);
        *accepted += c->reason == c->supervisor.reason && c->guard.state_age_us == 0u;
        for (uint32_t k = 0; k < TF_MOTORS; k++) {
            uint32_t bits;
            memcpy(&bits, &motors[k], sizeof bits);
            bad += tf_controller_motors_on(c) ? bits > 0x3F800000u : bits != 0u;
        }
    }
    return bad;
}

/* The largest errors of sine and cosine against doubles given by the test. */
void bridge_sin_cos(const float *turns, uint32_t n, float *sine, float *cosine)
{
    for (uint32_t i = 0; i < n; i++)
        tf_sin_cos(turns[i], sine + i, cosine + i);
}
