/* BBC micro:bit (nRF51822, Cortex-M0: no FPU, no SysTick) as QEMU models it. UART0 on P0.24 / P0.25; TIMER0 counts
 * microseconds, so that a cost is in steps of 1000 instructions under -icount. */
#include "board.h"

#include "cortex_m.h"
#include "tf_messages.h"

#define UART 0x40002000u
#define UART_STARTRX REG(UART)
#define UART_STARTTX REG(UART + 0x008u)
#define UART_RXDRDY REG(UART + 0x108u)
#define UART_TXDRDY REG(UART + 0x11Cu)
#define UART_INTENSET REG(UART + 0x304u)
#define UART_ENABLE REG(UART + 0x500u)
#define UART_PSELTXD REG(UART + 0x50Cu)
#define UART_PSELRXD REG(UART + 0x514u)
#define UART_RXD REG(UART + 0x518u)
#define UART_TXD REG(UART + 0x51Cu)
#define UART_BAUDRATE REG(UART + 0x524u)
#define TIMER 0x40008000u
#define TIMER_START REG(TIMER)
#define TIMER_CAPTURE REG(TIMER + 0x040u)
#define TIMER_COMPARE1 REG(TIMER + 0x144u)
#define TIMER_INTENSET REG(TIMER + 0x304u)
#define TIMER_INTENCLR REG(TIMER + 0x308u)
#define TIMER_BITMODE REG(TIMER + 0x508u)
#define TIMER_PRESCALER REG(TIMER + 0x510u)
#define TIMER_CC0 REG(TIMER + 0x540u)
#define TIMER_CC1 REG(TIMER + 0x544u)
#define TIMER_IRQ 8u
#define COMPARE1 (1u << 17)
#define NVIC_ICPR REG(0xE000E280u)

void board_init(void)
{
    TIMER_BITMODE = 3u;   /* 32 bits */
    TIMER_PRESCALER = 4u; /* 16 MHz / 16 */
    TIMER_START = 1u;
    UART_PSELTXD = 24u;
    UART_PSELRXD = 25u;
    UART_BAUDRATE = 0x0EBEDFA4u; /* 921600 */
    UART_ENABLE = 4u;
    UART_INTENSET = 1u << 2; /* a byte has come */
    UART_STARTTX = 1u;
    UART_STARTRX = 1u;
}

uint32_t board_time_us(void)
{
    TIMER_CAPTURE = 1u;
    return TIMER_CC0;
}

uint32_t board_cost(void)
{
    return 1000u * board_time_us();
}

uint8_t board_cost_unit(void)
{
    return TF_COST_UNIT_INSTRUCTIONS;
}

uint32_t board_cost_hz(void)
{
    return 1000000000u;
}

uint32_t board_room(void)
{
    return UINT32_MAX;
}

void board_send(const uint8_t *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        UART_TXDRDY = 0;
        UART_TXD = bytes[i];
        while (UART_TXDRDY == 0u)
            ;
    }
}

void board_serial_irq(void)
{
    while (UART_RXDRDY != 0u) {
        UART_RXDRDY = 0;
        tf_main_receive((uint8_t)UART_RXD);
    }
}

/* The compare interrupt stays masked in the NVIC; pending is enough to wake (SEVONPEND plays no part: WFI needs an
 * enabled one, so it is enabled here and taken back before interrupts come on). */
void board_sleep(const volatile bool *enough)
{
    (void)enough; /* any interrupt ends it */
    TIMER_COMPARE1 = 0;
    TIMER_CC1 = board_time_us() + 1000u;
    TIMER_INTENSET = COMPARE1;
    NVIC_ISER(0) = 1u << TIMER_IRQ;
    wait_for_interrupt();
    REG(0xE000E180u) = 1u << TIMER_IRQ; /* disable */
    TIMER_INTENCLR = COMPARE1;
    TIMER_COMPARE1 = 0;
    NVIC_ICPR = 1u << TIMER_IRQ;
}

/* The watchdog of the nRF51 cannot be stopped once on and is not modelled; left alone. */
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
