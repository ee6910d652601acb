/* The frames that carry time: step and tick. */
#include <string.h>

#include "tf_app.h"
#include "tf_math.h"

/* The last answer again, with what is wrong with this request. */
void tf_app_refuse_step(tf_app_t *app, const tf_frame_t *frame, uint8_t refusal)
{
    const uint8_t reason = app->control.reason;

    app->control.state = app->controller.supervisor.state;
    app->control.flags = app->controller.flags;
    if (!tf_controller_motors_on(&app->controller))
        memset(app->control.motors, 0, sizeof app->control.motors); /* it may have been stopped since */
    app->control.reason = refusal;
    tf_app_send_control(app, frame->sequence);
    app->control.reason = reason;
    app->stats.refusals++;
}

/* The control clock's reading for a frame stamped time_us; false when it would run backwards with motors on. One such
 * frame is a straggler; when no other kind comes the sender's clock began anew, and nobody knows how old the last state is. */
static bool read_clock(tf_app_t *app, uint32_t time_us, uint32_t *now_us)
{
    const bool backwards = (int32_t)(time_us - app->controller.now_us) < 0;

    *now_us = app->clock == TF_CLOCK_OWN ? app->port->time_us() : time_us;
    if (app->clock == TF_CLOCK_OWN || (app->clock_set && !backwards)) {
        app->backwards = 0;
        return true;
    }
    if (tf_controller_motors_on(&app->controller)) {
        if (++app->backwards >= TF_BACKWARDS_MAX)
            tf_app_step(app, app->controller.now_us + TF_LOST_US, NULL); /* old enough: motors off */
        return false;
    }
    app->backwards = 0;
    tf_controller_restart_clock(&app->controller, time_us); /* a sender that began anew */
    app->clock_set = true;
    return true;
}

/* Does this stamp run away from the chip's own clock? Believed, it would make every later state an old one. */
static bool runs_away(const tf_app_t *app, int32_t ahead_us, uint32_t now_us)
{
    const uint32_t passed_us = now_us - app->state_came_us;

    return app->clock == TF_CLOCK_OWN && ahead_us > 0 && (uint32_t)ahead_us > tf_age_add(passed_us, TF_AHEAD_MAX_US);
}

/* A state repeated or out of order is none: the age of the one before goes on growing. With motors off an older one, or one far
 * ahead, is a sender that began anew; the same one again is still none, or a frozen estimate would settle and arm. */
static bool is_new_state(tf_app_t *app, uint32_t time_us, uint32_t now_us)
{
    const int32_t ahead_us = (int32_t)(time_us - app->state_time_us);
    const bool odd = ahead_us < 0 || runs_away(app, ahead_us, now_us);

    if (app->state_seen && (ahead_us == 0 || (odd && tf_controller_motors_on(&app->controller))))
        return false;
    app->state_seen = true;
    app->state_time_us = time_us;
    app->state_came_us = now_us;
    return true;
}

void tf_app_on_step(tf_app_t *app, const tf_frame_t *frame)
{
    tf_msg_step_t m;
    tf_state_t state;
    uint32_t now_us;

    if (!tf_decode_step(frame->body, frame->n, &m)) {
        tf_app_refuse_step(app, frame, TF_REASON_BAD_REQUEST);
        return;
    }
    if (!read_clock(app, m.time_us, &now_us)) {
        tf_app_refuse_step(app, frame, TF_REASON_OLD_SEQUENCE);
        return;
    }
    memcpy(state.position, m.position, sizeof state.position);
    memcpy(state.quaternion, m.quaternion, sizeof state.quaternion);
    memcpy(state.velocity, m.velocity, sizeof state.velocity);
    memcpy(state.angular_velocity, m.angular_velocity, sizeof state.angular_velocity);
    tf_app_step(app, now_us, is_new_state(app, m.time_us, now_us) ? &state : NULL);
    tf_app_send_control(app, frame->sequence);
}

void tf_app_on_tick(tf_app_t *app, const tf_frame_t *frame)
{
    tf_msg_tick_t m;
    uint32_t now_us;

    if (!tf_decode_tick(frame->body, frame->n, &m)) {
        tf_app_refuse_step(app, frame, TF_REASON_BAD_REQUEST);
        return;
    }
    if (!read_clock(app, m.time_us, &now_us)) {
        tf_app_refuse_step(app, frame, TF_REASON_OLD_SEQUENCE);
        return;
    }
    tf_app_step(app, now_us, NULL);
    tf_app_send_control(app, frame->sequence);
}
