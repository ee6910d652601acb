/* STM32F405 (the Crazyflie's MCU; reference manual RM0090), on silicon and in QEMU's netduinoplus2: one source.
 * QEMU models neither clock tree nor cycle counter; both are found out at run time, and then TIM2, which ticks
 * once an instruction under -icount, is the probe. USART1 is on PA9 (tx) and PA10 (rx). */
#include <stdatomic.h>

#include "board.h"

#include "cortex_m.h"
#include "tf_messages.h"

#define RCC_CR REG(0x40023800u)
#define RCC_PLLCFGR REG(0x40023804u)
#define RCC_CFGR REG(0x40023808u)
#define RCC_AHB1ENR REG(0x40023830u)
#define RCC_AHB2ENR REG(0x40023834u)
#define RCC_APB1ENR REG(0x40023840u)
#define RCC_APB2ENR REG(0x40023844u)
#define RCC_CSR REG(0x40023874u)
#define PWR_CR REG(0x40007000u)
#define FLASH_ACR REG(0x40023C00u)
#define GPIOA_MODER REG(0x40020000u)
#define GPIOA_PUPDR REG(0x4002000Cu)
#define GPIOA_AFRH REG(0x40020024u)
#define USART_SR REG(0x40011000u)
#define USART_DR REG(0x40011004u)
#define USART_BRR REG(0x40011008u)
#define USART_CR1 REG(0x4001100Cu)
#define TIM2 0x40000000u
#define TIM5 0x40000C00u
#define TIM_CR1(tim) REG((tim))
#define TIM_EGR(tim) REG((tim) + 0x14u)
#define TIM_CNT(tim) REG((tim) + 0x24u)
#define TIM_PSC(tim) REG((tim) + 0x28u)
#define IWDG_KR REG(0x40003000u)
#define IWDG_PR REG(0x40003004u)
#define IWDG_RLR REG(0x40003008u)
#define RNG_CR REG(0x50060800u)
#define RNG_SR REG(0x50060804u)
#define RNG_DR REG(0x50060808u)
#define UNIQUE_ID(n) REG(0x1FFF7A10u + 4u * (n))

#ifndef TF_HSE_HZ
#define TF_HSE_HZ 8000000u
#endif
_Static_assert(TF_HSE_HZ % 1000000u == 0u && TF_HSE_HZ >= 4000000u && TF_HSE_HZ <= 26000000u,
               "the PLL is fed with 1 MHz from a crystal that the chip can drive");
#define HSI_HZ 16000000u
#define CORE_HZ 168000000u
#define QEMU_TIMER_HZ 1000000000u /* 1 ns of virtual time = one instruction */
#define PATIENCE 100000u          /* polls before a clock counts as absent */

#define USART_ORE (1u << 3)
#define USART_RXNE (1u << 5)
#define USART_TXE (1u << 7)
#define USART_ON 0x202Cu /* UE, RXNEIE, TE, RE; TXEIE is bit 7 */
#define OUT_BYTES 512u   /* a power of two; several of the longest answers */

typedef struct {
    uint32_t core_hz;
    bool silicon; /* the cycle counter counts */
    bool watchdog_bit;
    volatile uint32_t head, tail;
    uint8_t out[OUT_BYTES];
} board_t;

static board_t board;

static bool await(volatile uint32_t *reg, uint32_t mask, uint32_t value)
{
    for (uint32_t i = 0; i < PATIENCE; i++)
        if ((*reg & mask) == value)
            return true;
    return false;
}

/* 168 MHz from the crystal; from the internal oscillator when the crystal is dead; 16 MHz when there is no PLL. */
static uint32_t clock_init(void)
{
    const uint32_t hse_on = 1u << 16, hse_ready = 1u << 17, hse_watched = 1u << 19;
    const uint32_t pll_on = 1u << 24, pll_ready = 1u << 25;
    uint32_t source = 1u << 22, megahertz = TF_HSE_HZ / 1000000u;

    RCC_APB1ENR |= 1u << 28; /* PWR */
    (void)RCC_APB1ENR;       /* errata: a peripheral wants two cycles between its clock and its first access */
    PWR_CR |= 1u << 14;      /* voltage scale 1, as 168 MHz wants */
    RCC_CR |= hse_on;
    if (await(&RCC_CR, hse_ready, hse_ready)) {
        RCC_CR |= hse_watched; /* a crystal that dies later is an NMI, and so a restart, without it */
    } else {
        source = 0;
        megahertz = HSI_HZ / 1000000u;
    }
    RCC_PLLCFGR = megahertz | 336u << 6 | 0u << 16 | source | 7u << 24; /* 1 MHz x 336 / 2; / 7 = 48 MHz for the RNG */
    RCC_CR |= pll_on;
    if (!await(&RCC_CR, pll_ready, pll_ready))
        return HSI_HZ;
    FLASH_ACR = 5u | 1u << 8 | 1u << 9 | 1u << 10; /* five wait states, prefetch, both caches */
    if (!await(&FLASH_ACR, 7u, 5u))                /* taken, before the clock is fast */
        return HSI_HZ;
    RCC_CFGR = 2u | 5u << 10 | 4u << 13; /* PLL; APB1 / 4, APB2 / 2 */
    if (await(&RCC_CFGR, 0xCu, 8u))      /* switched? */
        return CORE_HZ;
    RCC_CFGR = 0; /* the internal oscillator, and buses as fast as it */
    return HSI_HZ;
}

static bool cycles_count(void)
{
    DEMCR |= 1u << 24;
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
    __asm volatile("nop\n\tnop\n\tnop\n\tnop");
    return DWT_CYCCNT != 0u;
}

static void timer_start(uint32_t tim, uint32_t prescale)
{
    TIM_PSC(tim) = prescale - 1u;
    TIM_EGR(tim) = 1u; /* load it */
    TIM_CR1(tim) = 1u;
}

void board_init(void)
{
    board.silicon = cycles_count();
    board.core_hz = board.silicon ? clock_init() : CORE_HZ;
    /* APB2, and the timers on APB1, which run at twice its clock. */
    const uint32_t bus_hz = board.core_hz == CORE_HZ ? CORE_HZ / 2u : HSI_HZ;

    board.watchdog_bit = (RCC_CSR & 1u << 29) != 0u;
    RCC_CSR |= 1u << 24;  /* forget it */
    RCC_AHB1ENR |= 1u;    /* GPIOA */
    RCC_AHB2ENR |= 1u << 6;
    RCC_APB1ENR |= 1u | 1u << 3;
    RCC_APB2ENR |= 1u << 4;
    timer_start(TIM2, 1u);
    timer_start(TIM5, (board.silicon ? bus_hz : QEMU_TIMER_HZ) / 1000000u);
    GPIOA_MODER = (GPIOA_MODER & ~(0xFu << 18)) | 0xAu << 18; /* PA9, PA10: alternate function 7 */
    GPIOA_AFRH = (GPIOA_AFRH & ~0xFF0u) | 0x770u;
    GPIOA_PUPDR = (GPIOA_PUPDR & ~(3u << 20)) | 1u << 20; /* an open line idles high */
    USART_BRR = (bus_hz + BAUD / 2u) / BAUD;
    USART_CR1 = USART_ON;
}

uint32_t board_time_us(void)
{
    return TIM_CNT(TIM5);
}

uint32_t board_cost(void)
{
    return board.silicon ? DWT_CYCCNT : TIM_CNT(TIM2);
}

uint8_t board_cost_unit(void)
{
    return board.silicon ? TF_COST_UNIT_CYCLES : TF_COST_UNIT_INSTRUCTIONS;
}

uint32_t board_cost_hz(void)
{
    return board.silicon ? board.core_hz : QEMU_TIMER_HZ;
}

uint32_t board_room(void)
{
    return OUT_BYTES - (board.head - board.tail);
}

/* Returns at once: the interrupt sends while the loop goes on to sum what it can ahead of the next state. */
void board_send(const uint8_t *bytes, uint32_t n)
{
    const uint32_t head = board.head;

    for (uint32_t i = 0; i < n; i++)
        board.out[(head + i) % OUT_BYTES] = bytes[i];
    atomic_signal_fence(memory_order_release); /* the bytes before the head that shows them: volatile orders only itself */
    board.head = head + n;
    USART_CR1 = USART_ON | USART_TXE;
    irq_pend(TF_UART_IRQ); /* QEMU raises no interrupt for an empty transmitter */
}

void board_serial_irq(void)
{
    const uint32_t status = USART_SR;

    /* Reading status, then data, clears an overrun. One that comes between the two leaves no byte behind, and
     * would interrupt for ever if only bytes were read. */
    if ((status & (USART_RXNE | USART_ORE)) != 0u) {
        const uint8_t byte = (uint8_t)USART_DR;

        if ((status & USART_RXNE) != 0u)
            tf_main_receive(byte);
    }
    while (board.tail != board.head && (USART_SR & USART_TXE) != 0u) {
        USART_DR = board.out[board.tail % OUT_BYTES];
        board.tail = board.tail + 1u;
    }
    if (board.tail == board.head)
        USART_CR1 = USART_ON;
}

void board_sleep(const volatile bool *enough)
{
    systick_nap(board.core_hz / 1000u, enough);
}

bool board_watchdog_bit(void)
{
    return board.watchdog_bit;
}

void board_watchdog_start(void)
{
    IWDG_KR = 0x5555u;
    IWDG_PR = 2u;    /* 32 kHz / 16 */
    IWDG_RLR = 800u; /* 400 ms, 270 at the oscillator's fastest: longer than a self-test on request */
    IWDG_KR = 0xCCCCu;
}

void board_watchdog_kick(void)
{
    IWDG_KR = 0xAAAAu;
}

uint32_t board_entropy(void)
{
    RNG_CR = 1u << 2;
    if (!board.silicon || !await(&RNG_SR, 1u, 1u))
        return 0;
    return RNG_DR ^ UNIQUE_ID(0) ^ UNIQUE_ID(1) ^ UNIQUE_ID(2);
}
