/* Arm's MPS2 boards as QEMU models them: an385 (Cortex-M3), an500 (Cortex-M7). UART0, FPGA counter, CMSDK timer.
 * The timer runs at 25 MHz; under -icount one of its ticks is 40 instructions. */
#include "board.h"

#include "cortex_m.h"
#include "tf_messages.h"

#define CLOCK_HZ 25000000u
#define INSTRUCTIONS_PER_TICK 40u
#define UART_DATA REG(0x40004000u)
#define UART_STATE REG(0x40004004u)
#define UART_CTRL REG(0x40004008u)
#define UART_INT REG(0x4000400Cu)
#define UART_BAUDDIV REG(0x40004010u)
#define TIMER_CTRL REG(0x40000000u)
#define TIMER_VALUE REG(0x40000004u)
#define TIMER_RELOAD REG(0x40000008u)
#define FPGA_COUNTER REG(0x40028018u)
#define FPGA_PRESCALE REG(0x4002801Cu)

void board_init(void)
{
    FPGA_PRESCALE = CLOCK_HZ / 1000000u - 1u;
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CTRL = 1u;
    UART_BAUDDIV = CLOCK_HZ / BAUD;
    UART_CTRL = 1u | 2u | 8u; /* transmit, receive, receive interrupt */
}

uint32_t board_time_us(void)
{
    return FPGA_COUNTER;
}

uint32_t board_cost(void)
{
    return INSTRUCTIONS_PER_TICK * (UINT32_MAX - TIMER_VALUE);
}

uint8_t board_cost_unit(void)
{
    return TF_COST_UNIT_INSTRUCTIONS;
}

uint32_t board_cost_hz(void)
{
    return INSTRUCTIONS_PER_TICK * CLOCK_HZ;
}

uint32_t board_room(void)
{
    return UINT32_MAX;
}

void board_send(const uint8_t *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        while ((UART_STATE & 1u) != 0u)
            ;
        UART_DATA = bytes[i];
    }
}

void board_serial_irq(void)
{
    UART_INT = 2u;
    while ((UART_STATE & 2u) != 0u)
        tf_main_receive((uint8_t)UART_DATA);
}

void board_sleep(const volatile bool *enough)
{
    systick_nap(CLOCK_HZ / 1000u, enough);
}

/* The emulated board has no watchdog and nothing random. */
bool board_watchdog_bit(void)
{
    return false;
}

void board_watchdog_start(void)
{
}

void board_watchdog_kick(void)
{
}

uint32_t board_entropy(void)
{
    return 0;
}
