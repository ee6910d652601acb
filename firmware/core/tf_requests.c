/* What each message does. Whether it may is the supervisor's table; whether it is new is decided here. */
#include <string.h>

#include "tf_app.h"

_Static_assert(TF_MSG_IDENTITY_BYTES <= 96u && TF_MSG_STATS_BYTES <= 96u, "tf_app.c's longest answer");

static void answer_status(tf_app_t *app, const tf_frame_t *frame, uint8_t refusal)
{
    const tf_msg_status_t status = {app->controller.supervisor.state, refusal, app->controller.flags};
    uint8_t body[TF_MSG_STATUS_BYTES];

    app->stats.refusals += refusal != TF_REASON_NONE;
    tf_app_send(app, TF_MSG_STATUS, frame->sequence, body, tf_encode_status(&status, body));
}

static void on_hello(tf_app_t *app, const tf_frame_t *frame)
{
    const tf_supervisor_t *supervisor = &app->controller.supervisor;
    tf_msg_identity_t identity = {
        .boot_nonce = app->boot_nonce,
        .policy_crc = TF_POLICY_CRC32,
        .contract_hash = TF_CONTRACT_HASH,
        .inputs = TF_POLICY_INPUTS,
        .rate_hz = (uint16_t)TF_POLICY_RATE_HZ,
        .cost_unit = app->port->cost_unit,
        .state = supervisor->state,
        .reason = supervisor->reason,
        .kernel = TF_POLICY_KERNEL,
        .cost_hz = app->port->cost_hz,
    };
    uint8_t body[TF_MSG_IDENTITY_BYTES];

    /* The last byte of each stays the zero it was initialised to. */
    strncpy(identity.target, app->port->target, sizeof identity.target - 1u);
    strncpy(identity.firmware, TF_FIRMWARE, sizeof identity.firmware - 1u);
    strncpy(identity.policy, TF_POLICY_NAME, sizeof identity.policy - 1u);
    tf_app_send(app, TF_MSG_IDENTITY, frame->sequence, body, tf_encode_identity(&identity, body));
}

static void on_self_test(tf_app_t *app, const tf_frame_t *frame)
{
    const uint8_t refusal = tf_controller_self_test(&app->controller);
    const tf_msg_self_test_t found = {app->controller.supervisor.state, refusal, (uint16_t)TF_GOLDEN_COUNT,
                                      app->controller.mismatches, 0, TF_POLICY_CRC32};
    uint8_t body[TF_MSG_SELF_TEST_BYTES];

    app->stats.refusals += refusal != TF_REASON_NONE;
    tf_app_send(app, TF_MSG_SELF_TEST, frame->sequence, body, tf_encode_self_test(&found, body));
}

/* All three must match, so that an arm meant for another boot or another policy does nothing here. */
static uint8_t identity_differs(const tf_app_t *app, const tf_msg_arm_t *arm)
{
    if (arm->boot_nonce != app->boot_nonce)
        return TF_REASON_BAD_NONCE;
    if (arm->contract_hash != TF_CONTRACT_HASH)
        return TF_REASON_CONTRACT_MISMATCH;
    return arm->policy_crc != TF_POLICY_CRC32 ? TF_REASON_POLICY_CRC : TF_REASON_NONE;
}

static void on_arm(tf_app_t *app, const tf_frame_t *frame)
{
    tf_msg_arm_t arm;
    uint8_t refusal = TF_REASON_BAD_REQUEST;

    if (tf_decode_arm(frame->body, frame->n, &arm))
        refusal = identity_differs(app, &arm);
    if (refusal == TF_REASON_NONE)
        refusal = tf_controller_arm(&app->controller);
    answer_status(app, frame, refusal);
}

static void on_stop(tf_app_t *app, const tf_frame_t *frame)
{
    answer_status(app, frame, tf_controller_stop(&app->controller)); /* whatever else the frame holds */
}

static void on_disarm(tf_app_t *app, const tf_frame_t *frame)
{
    answer_status(app, frame, tf_controller_disarm(&app->controller));
}

static void on_setpoint(tf_app_t *app, const tf_frame_t *frame)
{
    tf_msg_setpoint_t m;
    uint8_t refusal = TF_REASON_BAD_REQUEST;

    if (tf_decode_setpoint(frame->body, frame->n, &m))
        refusal = tf_controller_setpoint(&app->controller, m.kind, m.flags, m.values);
    answer_status(app, frame, refusal);
}

static void on_set_clock(tf_app_t *app, const tf_frame_t *frame)
{
    tf_msg_set_clock_t m;
    uint8_t refusal = TF_REASON_BAD_REQUEST;

    if (tf_decode_set_clock(frame->body, frame->n, &m) && m.clock < TF_CLOCK_COUNT)
        refusal = tf_controller_motors_on(&app->controller) ? TF_REASON_NOT_DISARMED : TF_REASON_NONE;
    if (refusal == TF_REASON_NONE) {
        app->clock = m.clock;
        app->clock_set = false;
        app->state_seen = false;
        tf_controller_restart_clock(&app->controller, app->port->time_us());
        tf_setpoint_init(&app->controller.setpoint); /* whoever chooses a clock begins: what came before is not theirs */
    }
    answer_status(app, frame, refusal);
}

static void on_get_stats(tf_app_t *app, const tf_frame_t *frame)
{
    const tf_counters_t *counters = &app->controller.counters;
    tf_msg_stats_t stats = app->stats;
    uint8_t body[TF_MSG_STATS_BYTES];

    stats.steps = counters->steps;
    stats.guard_state = counters->guard_state;
    stats.guard_action = counters->guard_action;
    stats.stale = counters->stale;
    stats.deadline_misses = counters->deadline_misses;
    stats.overruns += atomic_load_explicit(&app->overruns, memory_order_relaxed);
    stats.stack_bytes = app->port->stack_bytes();
    tf_app_send(app, TF_MSG_STATS, frame->sequence, body, tf_encode_stats(&stats, body));
}

static void on_infer(tf_app_t *app, const tf_frame_t *frame)
{
    float *input = app->controller.pilot.observation.input; /* free with the motors off; take-off clears it */
    tf_msg_inference_t found;
    tf_msg_infer_t m;
    uint8_t body[TF_MSG_INFERENCE_BYTES];

    if (!tf_decode_infer(frame->body, frame->n, &m) || m.observation_count != TF_POLICY_INPUTS) {
        answer_status(app, frame, TF_REASON_BAD_REQUEST);
        return;
    }
    if (tf_controller_motors_on(&app->controller)) {
        answer_status(app, frame, TF_REASON_NOT_DISARMED);
        return;
    }
    for (uint32_t i = 0; i < TF_POLICY_INPUTS; i++)
        input[i] = tf_get_f32(m.observation + 4u * i);
    const uint32_t before = app->port->cost();
    tf_policy_step(input, found.action);
    found.cost = app->port->cost() - before;
    tf_app_send(app, TF_MSG_INFERENCE, frame->sequence, body, tf_encode_inference(&found, body));
}

static void on_compensate(tf_app_t *app, const tf_frame_t *frame)
{
    tf_msg_compensate_t m;
    uint8_t refusal = TF_REASON_BAD_REQUEST;

    if (tf_decode_compensate(frame->body, frame->n, &m)) {
        tf_controller_compensate(&app->controller, m.factor);
        refusal = TF_REASON_NONE;
    }
    answer_status(app, frame, refusal);
}

static void on_reset(tf_app_t *app, const tf_frame_t *frame)
{
    if (tf_controller_motors_on(&app->controller))
        answer_status(app, frame, TF_REASON_NOT_DISARMED);
    else
        app->port->reset(); /* the boot frame is the answer */
}

/* A question changes nothing: anybody may ask it, whatever its number, and it makes no other frame old. A command must be
 * newer than the last, but for a stop, which must never be refused. */
typedef enum { QUESTION, COMMAND, ALWAYS } kind_t;

static const struct {
    uint8_t type;
    kind_t kind;
    void (*handle)(tf_app_t *, const tf_frame_t *);
} requests[] = {
    {TF_MSG_HELLO, QUESTION, on_hello},
    {TF_MSG_STOP, ALWAYS, on_stop},
    {TF_MSG_GET_STATS, QUESTION, on_get_stats},
    {TF_MSG_RUN_SELF_TEST, COMMAND, on_self_test},
    {TF_MSG_ARM, COMMAND, on_arm},
    {TF_MSG_STEP, COMMAND, tf_app_on_step},
    {TF_MSG_SETPOINT, COMMAND, on_setpoint},
    {TF_MSG_SET_CLOCK, COMMAND, on_set_clock},
    {TF_MSG_TICK, COMMAND, tf_app_on_tick},
    {TF_MSG_INFER, COMMAND, on_infer},
    {TF_MSG_DISARM, COMMAND, on_disarm},
    {TF_MSG_RESET, COMMAND, on_reset},
    {TF_MSG_COMPENSATE, COMMAND, on_compensate},
};

/* Is the frame younger than every command before it? A duplicate, a replay or a straggler is not. With motors off a hello
 * begins a new numbering: a host that starts again need not know where the last one ended. */
static bool is_newer(tf_app_t *app, const tf_frame_t *frame, kind_t kind)
{
    const bool anew = frame->type == TF_MSG_HELLO && !tf_controller_motors_on(&app->controller);
    const uint16_t ahead = (uint16_t)(frame->sequence - app->last_sequence);
    const bool wrapped = frame->sequence < app->last_sequence && frame->sequence != 0u; /* nobody sends a 0 */

    if (kind == QUESTION && !anew) {
        app->asked++;
        return true;
    }
    if (app->heard && !anew) {
        if (ahead == 0u || ahead >= 0x8000u) {
            app->stats.duplicates++;
            return false;
        }
        const uint32_t missed = ahead - 1u - wrapped; /* but for the questions, whose numbers are not kept */
        app->stats.sequence_gaps += missed > app->asked ? missed - app->asked : 0u;
    }
    app->heard = true;
    app->asked = 0;
    app->last_sequence = frame->sequence;
    return true;
}

void tf_app_handle(tf_app_t *app, const tf_frame_t *frame)
{
    for (uint32_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (requests[i].type != frame->type)
            continue;
        const bool newer = is_newer(app, frame, requests[i].kind);
        if (newer || requests[i].kind == ALWAYS)
            requests[i].handle(app, frame);
        else if (frame->type == TF_MSG_STEP || frame->type == TF_MSG_TICK)
            tf_app_refuse_step(app, frame, TF_REASON_OLD_SEQUENCE);
        else
            answer_status(app, frame, TF_REASON_OLD_SEQUENCE);
        return;
    }
    app->stats.bad_frame++;
    answer_status(app, frame, TF_REASON_BAD_REQUEST);
}
