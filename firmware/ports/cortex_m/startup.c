/* From reset to main, and from any fault back to reset: a chip that restarts has its motors off and says why. */
#include "startup.h"

#include "cortex_m.h"
#include "tf_messages.h"

#define PAINT 0xC5C5C5C5u
#define ALIVE 0x74666C79u /* the record below has been written since power came */

extern uint32_t __stack_bottom[], __stack_top[], __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[];
int main(void);
void board_serial_irq(void);

static tf_restart_t restart __attribute__((section(".noinit")));

_Noreturn void tf_restart(uint8_t cause)
{
    restart.cause = cause;
    core_reset();
}

tf_restart_t tf_startup_record(void)
{
    tf_restart_t was;

    if (restart.alive != ALIVE) {
        restart = (tf_restart_t){.alive = ALIVE, .cause = TF_CAUSE_POWER_ON};
    }
    restart.boots++;
    was = restart;
    restart.cause = TF_CAUSE_POWER_ON; /* a restart that passes by tf_restart is not a request */
    return was;
}

uint32_t tf_stack_bytes(void)
{
    const uint32_t *p = __stack_bottom;

    while (p < __stack_top && *p == PAINT)
        p++;
    return (uint32_t)((const uint8_t *)__stack_top - (const uint8_t *)p);
}

__attribute__((used)) _Noreturn static void fault_found(const uint32_t *frame)
{
    /* The frame can be read unless it was the stack that failed. */
    if (frame >= __stack_bottom && frame + 8 <= __stack_top) {
        restart.fault_pc = frame[6];
    }
#if __ARM_ARCH >= 7
    restart.fault_status = SCB_CFSR;
#endif
    tf_restart(TF_CAUSE_FAULT);
}

/* HardFault and every exception that nobody expects. The stack may be what failed: start it anew. */
__attribute__((naked)) static void fault(void)
{
    __asm volatile("mrs r0, msp\n\t"
                   "ldr r1, =__stack_top\n\t"
                   "mov sp, r1\n\t"
                   "bl fault_found\n\t"
                   ".ltorg");
}

static void tick(void)
{
}

typedef union {
    void (*handler)(void);
    uint32_t *stack;
} vector_t;

extern const vector_t vectors[16 + TF_UART_IRQ + 1];

__attribute__((used)) _Noreturn static void start(void)
{
#if __ARM_ARCH >= 7
    SCB_VTOR = (uint32_t)vectors; /* a boot loader that jumped here left its own */
#endif
#ifdef __ARM_FP
    SCB_CPACR |= 0xFu << 20; /* the FPU */
    __asm volatile("dsb\n\tisb" ::: "memory");
#endif
    for (uint32_t *p = __data_start, *from = __data_load; p < __data_end; p++, from++)
        *p = *from;
    for (uint32_t *p = __bss_start; p < __bss_end; p++)
        *p = 0;
    (void)main();
    tf_restart(TF_CAUSE_FAULT);
}

/* Paints the stack before anything uses it. Naked: there is no stack yet to speak of. */
__attribute__((naked)) void tf_reset(void)
{
    __asm volatile(".syntax unified\n\t"
                   "ldr r0, =__stack_bottom\n\t"
                   "ldr r1, =__stack_top\n\t"
                   "ldr r2, =%c0\n"
                   "1: str r2, [r0]\n\t"
                   "adds r0, #4\n\t"
                   "cmp r0, r1\n\t"
                   "bcc 1b\n\t"
                   "mov sp, r1\n\t"
                   "bl start\n\t"
                   ".ltorg" ::"i"(PAINT));
}

__attribute__((section(".vectors"), used)) const vector_t vectors[16 + TF_UART_IRQ + 1] = {
    [0] = {.stack = __stack_top},
    [1] = {.handler = tf_reset},
    [2 ... 14] = {.handler = fault},
    [15] = {.handler = tick},
#if TF_UART_IRQ > 0
    [16 ... 15 + TF_UART_IRQ] = {.handler = fault},
#endif
    [16 + TF_UART_IRQ] = {.handler = board_serial_irq},
};
