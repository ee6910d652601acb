/* What startup.c keeps across resets, and how to restart. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

typedef struct {
    uint32_t alive;
    uint32_t boots;        /* since power came */
    uint32_t fault_pc;     /* of the last fault; for a debugger */
    uint32_t fault_status; /* CFSR, likewise */
    uint8_t cause;         /* TF_CAUSE_* */
} tf_restart_t;

_Noreturn void tf_restart(uint8_t cause);

/* Why we run; call once. */
tf_restart_t tf_startup_record(void);

/* Deepest use of the stack so far, found by its paint. */
uint32_t tf_stack_bytes(void);

#endif
