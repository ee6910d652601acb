/* The few core registers that every Cortex-M port touches (Armv6-M and Armv7-M reference manuals). */
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdbool.h>
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))

#define SYST_CSR REG(0xE000E010u)
#define SYST_RVR REG(0xE000E014u)
#define SYST_CVR REG(0xE000E018u)
#define NVIC_ISER(n) REG(0xE000E100u + 4u * (n))
#define NVIC_ISPR(n) REG(0xE000E200u + 4u * (n))
#define SCB_ICSR REG(0xE000ED04u)
#define SCB_VTOR REG(0xE000ED08u) /* not on Armv6-M */
#define SCB_AIRCR REG(0xE000ED0Cu)
#define SCB_CFSR REG(0xE000ED28u)
#define SCB_CPACR REG(0xE000ED88u)
#define DEMCR REG(0xE000EDFCu)
#define DWT_CTRL REG(0xE0001000u)
#define DWT_CYCCNT REG(0xE0001004u)

static inline void irq_enable(uint32_t irq)
{
    NVIC_ISER(irq / 32u) = 1u << (irq % 32u);
}

static inline void irq_pend(uint32_t irq)
{
    NVIC_ISPR(irq / 32u) = 1u << (irq % 32u);
}

static inline void irq_off(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

static inline void irq_on(void)
{
    __asm volatile("cpsie i" ::: "memory");
}

static inline void wait_for_interrupt(void)
{
    __asm volatile("dsb\n\twfi" ::: "memory");
}

/* Sleeps until `*enough` or `ticks` of the core clock have passed; serves interrupts meanwhile. They must be off when
 * it is called, so that one that comes first is not slept through. SysTick runs only here: it never lands in a
 * measured step. It is started once a nap, not once a byte: an emulator pays dearly for every write to a timer. */
static inline void systick_nap(uint32_t ticks, const volatile bool *enough)
{
    SYST_RVR = ticks;
    SYST_CVR = 0;
    SYST_CSR = 7u; /* core clock, interrupt, on */
    while (!*enough && (SYST_CSR & 1u << 16) == 0u) { /* not counted to zero since last read */
        wait_for_interrupt();
        irq_on();
        __asm volatile("isb"); /* what is pending is served here */
        irq_off();
    }
    SYST_CSR = 0;
    SCB_ICSR = 1u << 25; /* its interrupt has done its work by waking us */
}

_Noreturn static inline void core_reset(void)
{
    __asm volatile("dsb" ::: "memory");
    SCB_AIRCR = 0x05FA0004u;
    for (;;)
        ;
}

#endif
