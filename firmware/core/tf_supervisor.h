/* Where the aircraft is between boot and stop, and what may happen next: one table in tf_supervisor.c.
 * States and reasons are messages.toml's. */
#ifndef TF_SUPERVISOR_H
#define TF_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tf_messages.h"

#define TF_STATES TF_STATE_COUNT

/* Rows of the table. Requests and findings are handled when they come; conditions are looked at in this order
 * in every control step, and the first that moves the supervisor wins. */
typedef enum {
    TF_EVENT_STOP,
    TF_EVENT_DISARM,
    TF_EVENT_TEST_BEGINS,
    TF_EVENT_TEST_PASSED,
    TF_EVENT_TEST_WEIGHTS,    /* their CRC is wrong */
    TF_EVENT_TEST_CONTRACT,   /* the policy does not fit this firmware */
    TF_EVENT_TEST_GOLDEN,     /* a golden vector came out differently */
    TF_EVENT_ARM,             /* asked for with a fresh, settled state */
    TF_EVENT_ARM_STALE,       /* asked for without a fresh state */
    TF_EVENT_ARM_UNSETTLED,   /* asked for before TF_SETTLED_US of good states */
    TF_EVENT_STATE_REFUSED,   /* conditions from here on; no good state for TF_LOST_US, though bad ones come */
    TF_EVENT_STATE_LOST,      /* no good state for TF_LOST_US */
    TF_EVENT_SETPOINT_LOST,
    TF_EVENT_STATE_STALE,
    TF_EVENT_STATE_NON_FINITE,
    TF_EVENT_STATE_IMPLAUSIBLE,
    TF_EVENT_ACTION_NON_FINITE,
    TF_EVENT_SETPOINT_STALE,
    TF_EVENT_DESCENT_OVER,
    TF_EVENT_READY,           /* warmed up, a set-point to fly and a good state to fly it from */
    TF_EVENTS
} tf_event_t;

/* What the motors do. */
typedef enum { TF_OUTPUT_OFF, TF_OUTPUT_IDLE, TF_OUTPUT_POLICY, TF_OUTPUT_DESCEND } tf_output_t;

typedef struct {
    uint8_t state;    /* TF_STATE_* */
    uint8_t reason;   /* TF_REASON_*: why it is there */
    uint32_t time_us; /* for how long, saturating */
} tf_supervisor_t;

void tf_supervisor_init(tf_supervisor_t *supervisor);

/* Handles one event; returns TF_REASON_NONE, or why a request was refused. */
uint8_t tf_supervisor_handle(tf_supervisor_t *supervisor, tf_event_t event);

/* One control step: conditions has bit (1 << event) for each that holds. */
void tf_supervisor_step(tf_supervisor_t *supervisor, uint32_t dt_us, uint32_t conditions);

tf_output_t tf_supervisor_output(const tf_supervisor_t *supervisor);

#endif
