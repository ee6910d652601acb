/* The core and this policy, on this very processor. The exhaustive tests are in tests/firmware. */
#include <string.h>

#include "console.h"
#include "tf_controller.h"
#include "tf_crc32.h"
#include "tf_link.h"

#define STEP_US 10000u

static tf_controller_t controller;
static uint32_t now_us;

static void report(const char *name, bool good, const char *why)
{
    say(name);
    say(good ? ":PASS" : ":FAIL: ");
    say(good ? "\n" : why);
    if (!good)
        say("\n");
}

static bool off(const float motors[TF_MOTORS])
{
    static const float zero[TF_MOTORS];

    return memcmp(motors, zero, sizeof zero) == 0;
}

static bool within(const float motors[TF_MOTORS])
{
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        if (!(motors[i] >= 0.0f && motors[i] <= 1.0f))
            return false;
    return true;
}

static void step(float height_m, float motors[TF_MOTORS])
{
    const tf_state_t state = {.position = {0.0f, 0.0f, height_m}, .quaternion = {1.0f, 0.0f, 0.0f, 0.0f}};

    now_us += STEP_US;
    tf_controller_step(&controller, now_us, &state, motors);
}

static void start(void)
{
    now_us = 0;
    tf_controller_init(&controller, now_us);
    (void)tf_controller_self_test(&controller);
}

/* Half a second of states, an arm, the warm-up. */
static uint8_t take_off(float motors[TF_MOTORS])
{
    static const float here[TF_SETPOINT_VALUES];

    start();
    for (uint32_t i = 0; i < 60u; i++)
        step(0.0f, motors);
    (void)tf_controller_setpoint(&controller, TF_SETPOINT_POSITION, 0, here);
    const uint8_t refusal = tf_controller_arm(&controller);
    for (uint32_t i = 0; i < 60u; i++)
        step(0.0f, motors);
    return refusal;
}

static void test_crc32(void)
{
    report("crc32_has_its_check_value", tf_crc32(0, "123456789", 9) == 0xCBF43926u, "not CBF43926");
}

static void test_self_test(void)
{
    start();
    report("every_golden_vector_is_bit_exact", controller.mismatches == 0u, "some differ");
    report("self_test_leads_to_disarmed", controller.supervisor.state == TF_STATE_DISARMED, "it does not");
}

static void test_network_in_one_go(void)
{
    bool same = true;

    for (uint32_t i = 0; i < TF_GOLDEN_COUNT; i++) {
        float action[TF_MOTORS];

        tf_policy_step(tf_golden_observation[i], action);
        same &= memcmp(action, tf_golden_action[i], sizeof action) == 0;
    }
    report("whole_step_has_the_bits_of_the_split_one", same, "they differ");
}

static void test_flight(void)
{
    float motors[TF_MOTORS];

    start();
    step(0.0f, motors);
    report("motors_are_off_without_an_arm", off(motors), "they turn");
    const bool armed = take_off(motors) == TF_REASON_NONE;
    report("armed_it_flies", armed && controller.supervisor.state == TF_STATE_FLYING && !off(motors), "it does not");
    step(__builtin_nanf(""), motors);
    report("a_nan_in_the_state_reaches_no_motor", within(motors), "out of range");
    (void)tf_controller_stop(&controller);
    step(0.0f, motors);
    report("stop_stops", off(motors), "motors turn");
}

static void test_link(void)
{
    static tf_decoder_t decoder;
    const uint8_t body[5] = {0, 1, 0, 2, 255};
    uint8_t wire[TF_WIRE_BYTES(sizeof body)];
    tf_frame_t frame;
    tf_link_event_t event = TF_LINK_MORE;
    const uint32_t n = tf_link_encode(0x42, 7, body, sizeof body, wire);

    tf_decoder_init(&decoder);
    for (uint32_t i = 0; i < n; i++)
        event = tf_decoder_step(&decoder, wire[i], &frame);
    report("a_frame_comes_back_as_it_went",
           event == TF_LINK_FRAME && frame.type == 0x42 && frame.sequence == 7 && frame.n == sizeof body &&
               memcmp(frame.body, body, sizeof body) == 0,
           "it does not");
}

int main(void)
{
    test_crc32();
    test_self_test();
    test_network_in_one_go();
    test_flight();
    test_link();
    say("done\n");
    end();
    return 0;
}

#ifdef __arm__
/* The boards' serial lines bring nothing here. */
void tf_main_receive(unsigned char byte);
void tf_main_receive(unsigned char byte)
{
    (void)byte;
}
#endif
