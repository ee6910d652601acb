#include "tf_app.h"

#include <string.h>

#define LONGEST_ANSWER 96u /* bytes of body; _Static_asserts in tf_requests.c */

void tf_app_init(tf_app_t *app, const tf_port_t *port, uint32_t boot_nonce)
{
    const tf_msg_boot_t boot = {boot_nonce, port->cause};
    uint8_t body[TF_MSG_BOOT_BYTES];

    memset(app, 0, sizeof *app);
    app->port = port;
    app->boot_nonce = boot_nonce;
    app->clock = TF_CLOCK_OWN;
    app->stats.cost_min = UINT32_MAX;
    tf_decoder_init(&app->decoder);
    tf_controller_init(&app->controller, port->time_us());
    (void)tf_controller_self_test(&app->controller);
    tf_controller_restart_clock(&app->controller, port->time_us()); /* the test's duration is no control step */
    (void)tf_app_send(app, TF_MSG_BOOT, 0, body, tf_encode_boot(&boot, body));
    app->told_state = app->controller.supervisor.state; /* motors off, as everybody takes a chip's that has just booted to be */
}

void tf_app_receive(tf_app_t *app, uint8_t byte)
{
    const uint32_t head = atomic_load_explicit(&app->head, memory_order_relaxed);

    if (head - atomic_load_explicit(&app->tail, memory_order_acquire) == TF_RING_BYTES) {
        /* Only this function writes it: no atomic increment, which a Cortex-M0 does not have. */
        const uint32_t overruns = atomic_load_explicit(&app->overruns, memory_order_relaxed);
        atomic_store_explicit(&app->overruns, overruns + 1u, memory_order_relaxed);
        return;
    }
    app->ring[head % TF_RING_BYTES] = byte;
    atomic_store_explicit(&app->head, head + 1u, memory_order_release);
}

/* An answer for which there is no room is lost and counted: waiting for it would hold up the flight, and questions that come
 * faster than their answers go would never let the loop rest (and the watchdog be kicked). Motor commands come before
 * any other answer. */
bool tf_app_send(tf_app_t *app, uint8_t type, uint16_t sequence, const uint8_t *body, uint32_t n)
{
    const uint32_t spare = type == TF_MSG_CONTROL ? 0u : TF_WIRE_BYTES(TF_MSG_CONTROL_BYTES);
    uint8_t wire[TF_WIRE_BYTES(LONGEST_ANSWER)];

    if (app->port->room() < TF_WIRE_BYTES(n) + spare) {
        app->stats.overruns++;
        return false;
    }
    app->port->send(wire, tf_link_encode(type, sequence, body, n, wire));
    return true;
}

void tf_app_send_control(tf_app_t *app, uint16_t sequence)
{
    uint8_t body[TF_MSG_CONTROL_BYTES];

    if (tf_app_send(app, TF_MSG_CONTROL, sequence, body, tf_encode_control(&app->control, body)))
        app->told_state = app->control.state;
}

/* Free-running, a control step is due TF_TICK_US after the one before. */
static void count_late(tf_app_t *app, uint32_t now_us)
{
    const uint32_t since_us = now_us - app->controller.now_us;

    if (app->clock != TF_CLOCK_OWN || !tf_controller_motors_on(&app->controller) || since_us < TF_TICK_US)
        return;
    const uint32_t late_us = since_us - TF_TICK_US;
    if (late_us > app->stats.late_us_max)
        app->stats.late_us_max = late_us;
    app->stats.late_steps += late_us >= TF_TICK_US;
}

void tf_app_step(tf_app_t *app, uint32_t now_us, const tf_state_t *state)
{
    tf_controller_t *controller = &app->controller;
    tf_msg_control_t *control = &app->control;
    count_late(app, now_us);
    const uint32_t before = app->port->cost();
    tf_controller_step(controller, now_us, state, control->motors);
    control->cost = app->port->cost() - before;
    control->time_us = now_us;
    control->state = controller->supervisor.state;
    control->reason = controller->reason;
    control->flags = controller->flags;
    if (state != NULL && (controller->flags & 1u << TF_FLAG_HELD) == 0u && controller->supervisor.state == TF_STATE_FLYING) {
        if (control->cost > app->stats.cost_max)
            app->stats.cost_max = control->cost;
        if (control->cost < app->stats.cost_min)
            app->stats.cost_min = control->cost;
    }
}

static void prepare(tf_app_t *app)
{
    const uint32_t before = app->port->cost();

    tf_pilot_prepare(&app->controller.pilot);
    const uint32_t cost = app->port->cost() - before;
    if (cost > app->stats.prepare_max)
        app->stats.prepare_max = cost;
}

static void take(tf_app_t *app, uint8_t byte)
{
    tf_frame_t frame;

    switch (tf_decoder_step(&app->decoder, byte, &frame)) {
    case TF_LINK_FRAME:
        app->stats.frames++;
        tf_app_handle(app, &frame);
        prepare(app);
        break;
    case TF_LINK_BAD_FRAME: app->stats.bad_frame++; break;
    case TF_LINK_BAD_CRC: app->stats.bad_crc++; break;
    case TF_LINK_BAD_VERSION: app->stats.bad_version++; break;
    case TF_LINK_MORE: break;
    }
}

/* The motors turn, and not as the last answer to a state said: level and descend, which nobody asks for. */
static bool blind(const tf_controller_t *controller)
{
    return (controller->flags >> TF_FLAG_HELD & 1u) != 0u && controller->guard.state_age_us > TF_HOLD_US;
}

/* On the chip's own clock time passes without frames. Motor commands that no answer has carried go out unasked: in every step
 * without a state to fly on, and when the supervisor has changed its state, by itself or on a request. */
static bool tick(tf_app_t *app)
{
    if (app->clock != TF_CLOCK_OWN)
        return false;
    const uint32_t now_us = app->port->time_us();
    if (now_us - app->controller.now_us < TF_TICK_US)
        return false;
    tf_app_step(app, now_us, NULL);
    if (app->control.state != app->told_state || blind(&app->controller))
        tf_app_send_control(app, 0);
    return true;
}

bool tf_app_poll(tf_app_t *app)
{
    uint32_t tail = atomic_load_explicit(&app->tail, memory_order_relaxed);
    const uint32_t head = atomic_load_explicit(&app->head, memory_order_acquire);
    bool busy = head != tail;

    /* Time passes between frames too: a ring full of them, each with its answer to be sent, is two hundred milliseconds. */
    for (; tail != head; atomic_store_explicit(&app->tail, tail, memory_order_release)) {
        take(app, app->ring[tail++ % TF_RING_BYTES]);
        (void)tick(app);
    }
    busy |= tick(app);
    return busy;
}
