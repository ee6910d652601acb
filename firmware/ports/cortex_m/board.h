/* What a Cortex-M board has to offer. To add a board: one C file with these, one JSON file in platformio/boards,
 * one environment in platformio.ini. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

#define BAUD 921600u /* messages.toml */

void board_init(void);              /* clocks, serial line, timers; interrupts of the serial line still off */
uint32_t board_time_us(void);       /* free-running, wraps at 2^32 */
uint32_t board_cost(void);          /* free-running, in board_cost_unit() */
uint8_t board_cost_unit(void);      /* TF_COST_UNIT_* */
uint32_t board_cost_hz(void);
uint32_t board_room(void);          /* bytes that board_send takes now; UINT32_MAX when it waits for the line */
void board_send(const uint8_t *bytes, uint32_t n); /* n <= board_room() */
void board_serial_irq(void);        /* interrupt TF_UART_IRQ: hands every byte to tf_main_receive */
void board_sleep(const volatile bool *enough); /* interrupts off: until then, or an interrupt; 1 ms at most */
bool board_watchdog_bit(void);      /* it was the watchdog that restarted us */
void board_watchdog_start(void);
void board_watchdog_kick(void);
uint32_t board_entropy(void);       /* differs from boot to boot where the hardware can */

/* main.c */
void tf_main_receive(uint8_t byte);

#endif
