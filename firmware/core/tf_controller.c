#include "tf_controller.h"

#include <string.h>

#include "tf_math.h"

#define HOVER (0.5f * (TF_HOVER_ACTION + 1.0f)) /* of full speed, at the mass that the policy takes for nominal */
#define DEADLINE_US ((uint32_t)(1.5e6f / TF_HISTORY_RATE_HZ)) /* half a step late at the slowest rate */
/* Half a step late at half the policy's rate, where not all fly; below, all tumble. One lost frame is no gap. */
#define LATE_US ((uint32_t)(2.5e6f / TF_POLICY_RATE_HZ))

void tf_controller_init(tf_controller_t *controller, uint32_t now_us)
{
    memset(controller, 0, sizeof *controller);
    tf_supervisor_init(&controller->supervisor);
    tf_guard_init(&controller->guard);
    tf_setpoint_init(&controller->setpoint);
    tf_setpoint_init(&controller->descent);
    tf_pilot_init(&controller->pilot);
    controller->hover = HOVER;
    controller->now_us = now_us;
    controller->compensation = 1.0f;
    controller->reason = controller->supervisor.reason;
}

void tf_controller_restart_clock(tf_controller_t *controller, uint32_t now_us)
{
    controller->now_us = now_us;
    tf_guard_init(&controller->guard);
    controller->setpoint.age_us = UINT32_MAX;
}

void tf_controller_compensate(tf_controller_t *controller, float factor)
{
    if (!tf_finite(factor))
        factor = 1.0f;
    if (factor < TF_COMPENSATION_MIN)
        factor = TF_COMPENSATION_MIN;
    controller->compensation = tf_clip(factor, TF_COMPENSATION_MAX);
}

bool tf_controller_motors_on(const tf_controller_t *controller)
{
    return tf_supervisor_output(&controller->supervisor) != TF_OUTPUT_OFF;
}

float tf_thrust_fraction(float speed_fraction)
{
    static const float c[3] = TF_THRUST_CURVE;
    const float u = tf_clip_unit(speed_fraction);

    return u > 0.0f ? tf_clip_unit(c[0] + u * (c[1] + u * c[2])) : 0.0f;
}

static bool setpoint_older(const tf_setpoint_t *setpoint, uint32_t than_us)
{
    return setpoint->streamed && setpoint->age_us >= than_us;
}

static uint16_t flags(const tf_controller_t *controller, bool held)
{
    const tf_setpoint_t *setpoint = &controller->setpoint;
    const tf_supervisor_t *supervisor = &controller->supervisor;
    const bool on = tf_controller_motors_on(controller);
    const bool fresh_state = controller->guard.state_age_us < TF_STALE_US;
    const bool fresh_setpoint = setpoint->present && !setpoint_older(setpoint, TF_STALE_US);
    const bool warm = on && (supervisor->state != TF_STATE_ARMED || supervisor->time_us >= TF_WARM_UP_US);

    return (uint16_t)((uint32_t)on << TF_FLAG_MOTORS_ON |
                      (uint32_t)tf_guard_settled(&controller->guard) << TF_FLAG_SETTLED |
                      (uint32_t)fresh_state << TF_FLAG_FRESH_STATE |
                      (uint32_t)fresh_setpoint << TF_FLAG_FRESH_SETPOINT | (uint32_t)held << TF_FLAG_HELD |
                      (uint32_t)warm << TF_FLAG_WARM);
}

/* ---------------------------------------------------------------- requests */

/* What a request changes shows at once, not with the next step. */
static uint8_t handle(tf_controller_t *controller, tf_event_t event)
{
    const uint8_t refusal = tf_supervisor_handle(&controller->supervisor, event);
    const bool held = (controller->flags >> TF_FLAG_HELD & 1u) != 0u && tf_controller_motors_on(controller);

    controller->flags = flags(controller, held);
    return refusal;
}

uint8_t tf_controller_arm(tf_controller_t *controller)
{
    const bool fresh = controller->guard.state_age_us < TF_STALE_US;
    const tf_event_t unsettled = fresh ? TF_EVENT_ARM_UNSETTLED : TF_EVENT_ARM_STALE;
    const bool settled = tf_guard_settled(&controller->guard);
    const uint8_t refusal = handle(controller, settled ? TF_EVENT_ARM : unsettled);

    if (refusal == TF_REASON_NONE)
        tf_guard_clear(&controller->guard);
    return refusal;
}

/* Where the last flight was to be is no place for the next: whoever arms again says so again. */
uint8_t tf_controller_disarm(tf_controller_t *controller)
{
    tf_setpoint_init(&controller->setpoint);
    return handle(controller, TF_EVENT_DISARM);
}

uint8_t tf_controller_stop(tf_controller_t *controller)
{
    tf_setpoint_init(&controller->setpoint);
    return handle(controller, TF_EVENT_STOP);
}

uint8_t tf_controller_setpoint(tf_controller_t *controller, uint8_t kind, uint8_t flags,
                               const float values[TF_SETPOINT_VALUES])
{
    return tf_setpoint_set(&controller->setpoint, kind, flags, values);
}

/* ---------------------------------------------------------------- one control step */

/* The table's conditions. Ages are as before this step's state counts: a state that comes too late is too late. */
static uint32_t look(const tf_controller_t *controller, uint32_t in_state_us, bool good)
{
    const tf_guard_t *guard = &controller->guard;
    const tf_setpoint_t *setpoint = &controller->setpoint;
    const bool ready =
        good && setpoint->present && !setpoint_older(setpoint, TF_STALE_US) && in_state_us >= TF_WARM_UP_US;

    const bool lost = guard->state_age_us >= TF_LOST_US;
    const bool stale = guard->state_age_us >= TF_STALE_US || guard->late_us >= TF_TOO_SLOW_US;

    return (uint32_t)(lost && tf_guard_bad_of_late(guard)) << TF_EVENT_STATE_REFUSED |
           (uint32_t)lost << TF_EVENT_STATE_LOST |
           (uint32_t)setpoint_older(setpoint, TF_LOST_US) << TF_EVENT_SETPOINT_LOST |
           (uint32_t)stale << TF_EVENT_STATE_STALE |
           (uint32_t)(guard->latched == TF_REASON_NON_FINITE_STATE) << TF_EVENT_STATE_NON_FINITE |
           (uint32_t)(guard->latched == TF_REASON_IMPLAUSIBLE_STATE) << TF_EVENT_STATE_IMPLAUSIBLE |
           (uint32_t)(guard->latched == TF_REASON_NON_FINITE_ACTION) << TF_EVENT_ACTION_NON_FINITE |
           (uint32_t)setpoint_older(setpoint, TF_STALE_US) << TF_EVENT_SETPOINT_STALE |
           (uint32_t)(in_state_us >= TF_DESCENT_US) << TF_EVENT_DESCENT_OVER | (uint32_t)ready << TF_EVENT_READY;
}

static void supervise(tf_controller_t *controller, uint32_t dt_us, bool good)
{
    static const float down[TF_SETPOINT_VALUES] = {0.0f, 0.0f, -TF_DESCENT_M_S};
    tf_supervisor_t *supervisor = &controller->supervisor;
    const uint8_t before = supervisor->state;
    const uint32_t conditions = look(controller, tf_age_add(supervisor->time_us, dt_us), good);
    const uint32_t stale = 1u << TF_EVENT_STATE_STALE | 1u << TF_EVENT_SETPOINT_STALE;

    if (tf_controller_motors_on(controller) && (conditions & stale) != 0u)
        controller->counters.stale++;
    tf_supervisor_step(supervisor, dt_us, conditions);
    if (supervisor->state == before)
        return;
    if (supervisor->state == TF_STATE_FLYING) { /* take-off: an arm in mid-air does not come through here */
        tf_pilot_init(&controller->pilot);
        controller->hover = HOVER;
        tf_setpoint_restart(&controller->setpoint);
    }
    if (supervisor->state == TF_STATE_DEGRADED) {
        tf_setpoint_init(&controller->descent);
        (void)tf_setpoint_set(&controller->descent, TF_SETPOINT_VELOCITY, 0, down);
    }
    controller->since_us = 0;
}

/* In the air the mean command carries the weight, whatever that is: a lighter vehicle sinks blind, too, and a heavier one
 * does not drop. Slow, so that a manoeuvre moves it little; bounded, so that one held down rises by 8 cm at most when let go. */
static void weigh(tf_controller_t *controller, uint32_t dt_us, const float motors[TF_MOTORS])
{
    const float share = (float)dt_us / ((float)dt_us + TF_HOVER_MEAN_US);
    const float mean = 0.25f * (motors[0] + motors[1] + motors[2] + motors[3]);
    const float off = controller->hover + share * (mean - controller->hover) - HOVER;

    controller->hover = tf_clip_unit(HOVER + tf_clip(off, TF_HOVER_MEAN_RANGE * HOVER));
}

/* The policy's command from a good state; false when there is no state, or no good command. */
static bool fly(tf_controller_t *controller, tf_setpoint_t *setpoint, const tf_state_t *state,
                float motors[TF_MOTORS])
{
    tf_reference_t reference;
    float action[TF_MOTORS];

    if (state == NULL)
        return false;
    if (controller->since_us > DEADLINE_US)
        controller->counters.deadline_misses++;
    const uint32_t dt_us = controller->since_us;
    tf_setpoint_step(setpoint, dt_us, state->position, &reference);
    controller->since_us = 0;
    const uint8_t fault = tf_pilot_step(&controller->pilot, controller->now_us, state, &reference, action);
    if (fault != TF_REASON_NONE) {
        controller->counters.guard_action++;
        controller->reason = fault;
        tf_guard_bad(&controller->guard, fault);
        return false;
    }
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        motors[i] = 0.5f * (action[i] + 1.0f);
    weigh(controller, dt_us, motors);
    memcpy(controller->guard.safe, motors, sizeof controller->guard.safe);
    tf_guard_good(&controller->guard, LATE_US);
    return true;
}

/* What goes out instead; as soon as it differs from the last command, the policy's history hears of it. */
static void hold(tf_controller_t *controller, float motors[TF_MOTORS])
{
    float action[TF_MOTORS];

    tf_guard_blind(&controller->guard, controller->hover, motors);
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        action[i] = 2.0f * motors[i] - 1.0f;
    if (controller->guard.state_age_us > TF_HOLD_US)
        tf_pilot_record(&controller->pilot, controller->now_us, action);
}

/* Motors as the supervisor says; true when the policy's command was wanted and could not be had. */
static bool act(tf_controller_t *controller, const tf_state_t *good, float motors[TF_MOTORS])
{
    const tf_output_t output = tf_supervisor_output(&controller->supervisor);
    const bool flying = output == TF_OUTPUT_POLICY || output == TF_OUTPUT_DESCEND;
    tf_setpoint_t *setpoint = output == TF_OUTPUT_DESCEND ? &controller->descent : &controller->setpoint;

    if (!flying) {
        for (uint32_t i = 0; i < TF_MOTORS; i++)
            motors[i] = output == TF_OUTPUT_IDLE ? TF_IDLE : 0.0f;
        if (good != NULL)
            tf_guard_good(&controller->guard, LATE_US);
        return false;
    }
    const bool flown = fly(controller, setpoint, good, motors);
    if (!flown)
        hold(controller, motors);
    for (uint32_t i = 0; i < TF_MOTORS; i++)
        motors[i] = tf_clip_unit(motors[i] * controller->compensation);
    return !flown;
}

void tf_controller_step(tf_controller_t *controller, uint32_t now_us, const tf_state_t *state,
                        float motors[TF_MOTORS])
{
    const uint32_t dt_us = now_us - controller->now_us; /* right across the clock's wrap */
    const uint8_t fault = state != NULL ? tf_guard_check(state) : TF_REASON_NONE;
    const bool good = state != NULL && fault == TF_REASON_NONE;

    controller->counters.steps++;
    controller->now_us = now_us;
    controller->since_us = tf_age_add(controller->since_us, dt_us);
    controller->setpoint.age_us = tf_age_add(controller->setpoint.age_us, dt_us);
    tf_guard_step(&controller->guard, dt_us);
    if (fault != TF_REASON_NONE) {
        controller->counters.guard_state++;
        tf_guard_bad(&controller->guard, fault);
    }
    supervise(controller, dt_us, good);
    controller->reason = fault != TF_REASON_NONE ? fault : controller->supervisor.reason;
    const bool held = act(controller, good ? state : NULL, motors);
    controller->flags = flags(controller, held);
}
