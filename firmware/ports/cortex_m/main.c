/* The serial app on a Cortex-M: bytes come by interrupt, everything else happens in one loop that sleeps. */
#include "board.h"
#include "cortex_m.h"
#include "startup.h"
#include "tf_app.h"

static tf_app_t app;
static volatile bool frame_ended;

void tf_main_receive(uint8_t byte)
{
    tf_app_receive(&app, byte);
    if (byte == 0u) /* COBS: the only zero of a frame is its end */
        frame_ended = true;
}

static void reset(void)
{
    tf_restart(TF_CAUSE_REQUEST);
}

/* Only here is the watchdog kicked: a loop that never comes to rest is restarted. */
static void idle(void)
{
    board_watchdog_kick();
    irq_off();
    if (!frame_ended)
        board_sleep(&frame_ended);
    irq_on();
}

int main(void)
{
    static tf_port_t port = {
        .time_us = board_time_us,
        .cost = board_cost,
        .room = board_room,
        .send = board_send,
        .reset = reset,
        .stack_bytes = tf_stack_bytes,
        .target = TF_TARGET,
    };
    const tf_restart_t record = tf_startup_record();

    board_init();
    port.cost_unit = board_cost_unit();
    port.cost_hz = board_cost_hz();
    port.cause = board_watchdog_bit() ? TF_CAUSE_WATCHDOG : record.cause;
    /* Odd multiplier (Knuth): consecutive boots differ in every byte. */
    tf_app_init(&app, &port, (record.boots * 2654435761u) ^ board_entropy());
    irq_enable(TF_UART_IRQ);
    board_watchdog_start();
    for (;;) {
        frame_ended = false;
        if (!tf_app_poll(&app))
            idle();
    }
}
