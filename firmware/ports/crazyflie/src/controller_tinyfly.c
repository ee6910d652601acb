/* tinyfly as an out-of-tree controller of the stock Crazyflie firmware.
 *
 * The stock PID flies until tinyfly.enable goes from 0 to 1 and the core has armed and warmed up; then the policy
 * flies, through the stock supervisor, power distribution and battery compensation. The PID has the aircraft back
 * at once when enable goes to 0, when the commander no longer says where to be or how to move (link loss, emergency
 * stop, landed), when it asks for something else while a target or figure of our own is flown, and on every failure the core
 * finds. Only while the estimate itself is not a number, which the PID cannot fly on either, and until it has been one again
 * for 100 ms does the core's descent go out; motors that it has stopped stay off, whatever enable says, until the commander
 * has asked for nothing: on the ground the PID would start them for the set-point of before. After any of these, enable must
 * go through 0 again. */
#include <stdbool.h>
#include <stdint.h>

#include "app.h"
#include "attitude_controller.h"
#include "controller.h"
#include "controller_pid.h"
#include "FreeRTOS.h"
#include "log.h"
#include "param.h"
#include "platform_defaults.h"
#include "position_controller.h"
#include "stabilizer_types.h"
#include "task.h"
#include "usec_time.h"

#include "tf_airframe.h"
#include "tf_controller.h"
#include "tf_frame.h"
#include "tf_math.h"

#define STEP_TICKS 2u      /* of the 1 kHz stabilizer: the policy runs at 500 Hz */
#define TICK_US 1000u
#define STEP_S (STEP_TICKS * TICK_US * 1e-6f)

enum { MODE_COMMANDER, MODE_TARGET, MODE_FIGURE_EIGHT };

/* Parameters. */
static uint8_t tf_enable;
static uint8_t tf_mode = MODE_COMMANDER;
static float tf_target[3] = {0.0f, 0.0f, 0.5f};     /* m, world */
static float tf_speed = 1.0f;                        /* m/s, to a target and after a place that jumps */
static float tf_eight[4] = {1.0f, 1.0f, 5.5f, 3.0f}; /* length m, width m, period s, ramp s */

static tf_controller_t tf;
static float motors[TF_MOTORS];
static tf_frame_t frame;
static uint8_t mode;     /* tf_mode when enabled */
static setpoint_t asked; /* by the commander then */
static bool was_enabled, was_flying;
static bool flew;  /* the policy, since it was enabled */
static bool blind; /* the core has no estimate to fly on */
static bool cut;   /* and has turned the motors off */

/* Log variables. */
static uint8_t flying, refusal;
static uint16_t cost_us;
static uint32_t policy_hash = TF_POLICY_CRC32;
static uint8_t kernel = TF_POLICY_KERNEL;

/* Once, when enabled: where the nose points, and the modes that need no stream. */
static uint8_t begin(const setpoint_t *sp, const state_t *s)
{
    const float here[3] = {s->position.x, s->position.y, s->position.z};
    float to[TF_SETPOINT_VALUES] = {tf_speed, 1.0f}; /* one waypoint */
    float figure[TF_SETPOINT_VALUES] = {[3] = 0.5f * tf_eight[0], tf_eight[1], tf_eight[2], tf_eight[3]};

    mode = tf_mode;
    asked = *sp;
    tf_frame_turn(&frame, s->attitude.yaw);
    tf_frame_point(&frame, tf_target, to + 2);
    tf_frame_point(&frame, here, figure);
    if (!(tf_speed >= TF_WAYPOINT_SPEED_MIN_M_S && tf_within(tf_speed, TF_SETPOINT_MAX)))
        return TF_REASON_BAD_SETPOINT;
    frame.speed = tf_speed;
    switch (mode) {
    case MODE_COMMANDER: return TF_REASON_NONE;
    case MODE_TARGET: return tf_controller_setpoint(&tf, TF_SETPOINT_WAYPOINTS, 0, to);
    case MODE_FIGURE_EIGHT: return tf_controller_setpoint(&tf, TF_SETPOINT_FIGURE_EIGHT, 0, figure);
    default: return TF_REASON_BAD_SETPOINT;
    }
}

/* The commander's, renewed in every step; refused when a number is bad: then it goes stale. */
static void follow(const setpoint_t *sp, const state_t *s)
{
    float values[TF_SETPOINT_VALUES];

    if (mode != MODE_COMMANDER || !was_enabled || !tf_frame_commanded(sp))
        return;
    if (tf.supervisor.state != TF_STATE_FLYING)
        tf_frame_anchor(&frame, s);
    tf_frame_follow(&frame, sp, STEP_S);
    tf_frame_reference(&frame, sp, s, STEP_S, values);
    (void)tf_controller_setpoint(&tf, TF_SETPOINT_REFERENCE, 0, values);
}

/* A landing, a go-to, a stick that was moved: the target and the figure of our own are no longer wanted. */
static bool asks_otherwise(const setpoint_t *sp)
{
    const uint8_t state = tf.supervisor.state;

    return mode != MODE_COMMANDER && (state == TF_STATE_ARMED || state == TF_STATE_FLYING) &&
           tf_frame_changed(&asked, sp);
}

static void give_back(uint8_t why)
{
    (void)tf_controller_disarm(&tf);
    refusal = why;
}

static void requests(const setpoint_t *sp, const state_t *s)
{
    const bool enabled = tf_enable != 0u;

    if (blind && !tf_frame_nothing(sp))
        return; /* whatever enable says: the PID has no estimate either, and must not start motors that are off */
    cut = false;
    if (enabled && !was_enabled) {
        refusal = tf_frame_commanded(sp) ? begin(sp, s) : TF_REASON_STALE_SETPOINT;
        if (refusal == TF_REASON_NONE)
            refusal = tf_controller_arm(&tf);
    } else if (!enabled && was_enabled) {
        give_back(TF_REASON_NONE);
    } else if (tf_controller_motors_on(&tf) && !tf_frame_commanded(sp)) {
        give_back(TF_REASON_STALE_SETPOINT);
    } else if (asks_otherwise(sp)) {
        give_back(TF_REASON_COMMANDER_CHANGED);
    }
    was_enabled = enabled;
}

static void step(const setpoint_t *sp, const sensorData_t *sensors, const state_t *s, uint32_t tick)
{
    const uint64_t before = usecTimestamp();

    requests(sp, s);
    follow(sp, s);
    const tf_state_t state = tf_frame_state(&frame, s, sensors);
    tf_controller_step(&tf, tick * TICK_US, &state, motors);
    const uint8_t now = tf.supervisor.state;
    if (refusal == TF_REASON_NONE && (now == TF_STATE_DEGRADED || now == TF_STATE_FAILSAFE))
        refusal = tf.supervisor.reason;
    cost_us = (uint16_t)(usecTimestamp() - before);
}

/* The policy's motors go out while it flies, and the core's descent while there is no estimate to fly on: until estimates
 * have been good for so long that the PID, which a NaN spoils for good, does not meet the next one. Where this has ended
 * with the motors off, an estimate that comes back must not start them. */
static bool ours(void)
{
    const uint8_t state = tf.supervisor.state;
    const bool failed = state == TF_STATE_DEGRADED || state == TF_STATE_FAILSAFE;
    const bool no_estimate = tf.guard.state_age_us > 0u && tf.reason == TF_REASON_NON_FINITE_STATE;
    const bool recovering = tf.guard.state_age_us == 0u && tf.guard.good_us < TF_STALE_US;

    flew = state == TF_STATE_FLYING || (flew && failed);
    cut = flew && failed && (cut || (no_estimate && tf.guard.state_age_us >= TF_LOST_US));
    blind = cut || (flew && failed && (no_estimate || (blind && recovering && state == TF_STATE_DEGRADED)));
    return state == TF_STATE_FLYING || blind;
}

/* Thrust in newton, in units of what the stock firmware calls full thrust; it makes the voltage for it. */
static void output(control_t *control)
{
    control->controlMode = controlModeForce;
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        control->normalizedForces[i] = tf_thrust_fraction(motors[i]) * (TF_FULL_THRUST_N / THRUST_MAX);
}

void controllerOutOfTreeInit(void)
{
    controllerPidInit();
    tf_controller_init(&tf, 0);
    (void)tf_controller_self_test(&tf);
    tf_frame_turn(&frame, 0.0f);
    was_enabled = was_flying = flew = blind = cut = false;
    flying = 0;
}

bool controllerOutOfTreeTest(void)
{
    return controllerPidTest() && tf.supervisor.state == TF_STATE_DISARMED;
}

/* The PID starts afresh from where the policy leaves off. What it makes of a yaw rate is a heading that it keeps to itself
 * and integrates only while it flies: told the heading once, it does not turn back to where it last flew. Tick 0: its
 * every loop runs, on today's numbers. */
static void hand_over(control_t *control, const setpoint_t *sp, const sensorData_t *sensors, const state_t *s)
{
    setpoint_t first = *sp;

    if (first.mode.yaw == modeVelocity) {
        first.mode.yaw = modeAbs;
        first.attitude.yaw = s->attitude.yaw;
    }
    attitudeControllerResetAllPID(s->attitude.roll, s->attitude.pitch, s->attitude.yaw);
    positionControllerResetAllPID(s->position.x, s->position.y, s->position.z);
    controllerPid(control, &first, sensors, s, 0u);
}

void controllerOutOfTree(control_t *control, const setpoint_t *sp, const sensorData_t *sensors, const state_t *s,
                         const stabilizerStep_t tick)
{
    if (tick % STEP_TICKS == 0u)
        step(sp, sensors, s, tick);
    else
        tf_pilot_prepare(&tf.pilot); /* the other tick: sums ahead */
    flying = ours();
    if (flying)
        output(control);
    else if (was_flying)
        hand_over(control, sp, sensors, s);
    else
        controllerPid(control, sp, sensors, s, tick);
    was_flying = flying;
}

/* The app layer wants a task; there is nothing for it to do. */
void appMain(void)
{
    while (1)
        vTaskDelay(portMAX_DELAY);
}

/**
 * tinyfly: a learned controller with the stock PID behind it
 */
PARAM_GROUP_START(tinyfly)
/** 0 -> 1: let the policy fly; 0: give the aircraft back to the PID */
PARAM_ADD(PARAM_UINT8, enable, &tf_enable)
/** Set-point: commander's (0), target (1), figure-eight about here, along the nose (2); read when enabled */
PARAM_ADD(PARAM_UINT8, mode, &tf_mode)
/** Target, world frame [m] */
PARAM_ADD(PARAM_FLOAT, x, &tf_target[0])
PARAM_ADD(PARAM_FLOAT, y, &tf_target[1])
PARAM_ADD(PARAM_FLOAT, z, &tf_target[2])
/** Speed towards the target, and after a commanded position that jumps [m/s]; read when enabled */
PARAM_ADD(PARAM_FLOAT, speed, &tf_speed)
/** Figure-eight: length [m], width [m], period [s], ramp to speed [s] */
PARAM_ADD(PARAM_FLOAT, length, &tf_eight[0])
PARAM_ADD(PARAM_FLOAT, width, &tf_eight[1])
PARAM_ADD(PARAM_FLOAT, period, &tf_eight[2])
PARAM_ADD(PARAM_FLOAT, ramp, &tf_eight[3])
PARAM_GROUP_STOP(tinyfly)

LOG_GROUP_START(tinyfly)
/** The policy's commands go to the motors */
LOG_ADD(LOG_UINT8, flying, &flying)
/** State and reason of the core's supervisor (docs/protocol.md) */
LOG_ADD(LOG_UINT8, state, &tf.supervisor.state)
LOG_ADD(LOG_UINT8, reason, &tf.reason)
/** Why the last enable was refused or ended */
LOG_ADD(LOG_UINT8, refusal, &refusal)
/** One step of the core [us] */
LOG_ADD(LOG_UINT16, cost, &cost_us)
/** States and actions that the guard refused, steps with a stale input */
LOG_ADD(LOG_UINT32, badState, &tf.counters.guard_state)
LOG_ADD(LOG_UINT32, badAction, &tf.counters.guard_action)
LOG_ADD(LOG_UINT32, stale, &tf.counters.stale)
/** CRC-32 of policy and contract: `tinyfly flash` compares it */
LOG_ADD(LOG_UINT32, policy, &policy_hash)
/** Arithmetic of its network: float32 (0), int16 (1), int8 (2) */
LOG_ADD(LOG_UINT8, kernel, &kernel)
/** Motor commands, fraction of full speed */
LOG_ADD(LOG_FLOAT, m1, &motors[0])
LOG_ADD(LOG_FLOAT, m2, &motors[1])
LOG_ADD(LOG_FLOAT, m3, &motors[2])
LOG_ADD(LOG_FLOAT, m4, &motors[3])
LOG_GROUP_STOP(tinyfly)
