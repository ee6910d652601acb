#include "tf_supervisor.h"

#include "tf_math.h"

/* A cell is the state to go to, or one of these. */
#define KEEP 0x10u    /* nothing happens */
#define REFUSE 0x20u  /* a request, refused for the row's reason */
#define PENDING 0x21u /* refused: the self-test has not run */
#define AS_WAS 0x22u  /* refused: for the reason that the state has */
#define NOT_NOW 0x23u /* refused: not disarmed */

typedef struct {
    uint8_t reason; /* of the state gone to, or of the refusal */
    uint8_t cell[TF_STATES];
} row_t;

#define stay KEEP
#define test TF_STATE_SELF_TEST
#define refu TF_STATE_REFUSED
#define disa TF_STATE_DISARMED
#define arme TF_STATE_ARMED
#define flyi TF_STATE_FLYING
#define degr TF_STATE_DEGRADED
#define fail TF_STATE_FAILSAFE
#define stop TF_STATE_STOPPED
#define NO__ REFUSE
#define PEND PENDING
#define SAME AS_WAS
#define BUSY NOT_NOW

/* clang-format off */
static const row_t table[TF_EVENTS] = {
/*                                                              boot  test  refu  disa  arme  flyi  degr  fail  stop */
[TF_EVENT_STOP]              = {TF_REASON_STOP_REQUESTED,     {stay, stay, stay, stop, stop, stop, stop, stop, stay}},
[TF_EVENT_DISARM]            = {TF_REASON_NONE,               {PEND, PEND, SAME, stay, disa, disa, disa, disa, disa}},
[TF_EVENT_TEST_BEGINS]       = {TF_REASON_SELF_TEST_PENDING,  {test, PEND, test, test, BUSY, BUSY, BUSY, BUSY, BUSY}},
[TF_EVENT_TEST_PASSED]       = {TF_REASON_NONE,               {stay, disa, stay, stay, stay, stay, stay, stay, stay}},
[TF_EVENT_TEST_WEIGHTS]      = {TF_REASON_POLICY_CRC,         {stay, refu, stay, stay, stay, stay, stay, stay, stay}},
[TF_EVENT_TEST_CONTRACT]     = {TF_REASON_CONTRACT_MISMATCH,  {stay, refu, stay, stay, stay, stay, stay, stay, stay}},
[TF_EVENT_TEST_GOLDEN]       = {TF_REASON_GOLDEN_MISMATCH,    {stay, refu, stay, stay, stay, stay, stay, stay, stay}},
[TF_EVENT_ARM]               = {TF_REASON_NONE,               {PEND, PEND, SAME, arme, BUSY, BUSY, flyi, BUSY, BUSY}},
[TF_EVENT_ARM_STALE]         = {TF_REASON_STALE_STATE,        {PEND, PEND, SAME, NO__, BUSY, BUSY, NO__, BUSY, BUSY}},
[TF_EVENT_ARM_UNSETTLED]     = {TF_REASON_LINK_NOT_SETTLED,   {PEND, PEND, SAME, NO__, BUSY, BUSY, NO__, BUSY, BUSY}},
[TF_EVENT_STATE_REFUSED]     = {TF_REASON_GUARD_REFUSED,      {stay, stay, stay, stay, fail, fail, fail, stay, stay}},
[TF_EVENT_STATE_LOST]        = {TF_REASON_LINK_LOST,          {stay, stay, stay, stay, fail, fail, fail, stay, stay}},
[TF_EVENT_SETPOINT_LOST]     = {TF_REASON_STALE_SETPOINT,     {stay, stay, stay, stay, stay, fail, fail, stay, stay}},
[TF_EVENT_STATE_STALE]       = {TF_REASON_STALE_STATE,        {stay, stay, stay, stay, fail, degr, stay, stay, stay}},
[TF_EVENT_STATE_NON_FINITE]  = {TF_REASON_NON_FINITE_STATE,   {stay, stay, stay, stay, fail, degr, stay, stay, stay}},
[TF_EVENT_STATE_IMPLAUSIBLE] = {TF_REASON_IMPLAUSIBLE_STATE,  {stay, stay, stay, stay, fail, degr, stay, stay, stay}},
[TF_EVENT_ACTION_NON_FINITE] = {TF_REASON_NON_FINITE_ACTION,  {stay, stay, stay, stay, fail, degr, stay, stay, stay}},
[TF_EVENT_SETPOINT_STALE]    = {TF_REASON_STALE_SETPOINT,     {stay, stay, stay, stay, stay, degr, stay, stay, stay}},
[TF_EVENT_DESCENT_OVER]      = {TF_REASON_DESCENT_OVER,       {stay, stay, stay, stay, stay, stay, fail, stay, stay}},
[TF_EVENT_READY]             = {TF_REASON_NONE,               {stay, stay, stay, stay, flyi, stay, stay, stay, stay}},
};

static const uint8_t output[TF_STATES] = {
    [TF_STATE_ARMED] = TF_OUTPUT_IDLE,
    [TF_STATE_FLYING] = TF_OUTPUT_POLICY,
    [TF_STATE_DEGRADED] = TF_OUTPUT_DESCEND, /* every other state: TF_OUTPUT_OFF */
};
/* clang-format on */

void tf_supervisor_init(tf_supervisor_t *supervisor)
{
    supervisor->state = TF_STATE_BOOT;
    supervisor->reason = TF_REASON_SELF_TEST_PENDING;
    supervisor->time_us = 0;
}

uint8_t tf_supervisor_handle(tf_supervisor_t *supervisor, tf_event_t event)
{
    const row_t *row = &table[event];
    const uint8_t cell = row->cell[supervisor->state];

    switch (cell) {
    case KEEP: return TF_REASON_NONE;
    case REFUSE: return row->reason;
    case PENDING: return TF_REASON_SELF_TEST_PENDING;
    case AS_WAS: return supervisor->reason;
    case NOT_NOW: return TF_REASON_NOT_DISARMED;
    default: break;
    }
    supervisor->state = cell;
    supervisor->reason = row->reason;
    supervisor->time_us = 0;
    return TF_REASON_NONE;
}

void tf_supervisor_step(tf_supervisor_t *supervisor, uint32_t dt_us, uint32_t conditions)
{
    const uint8_t before = supervisor->state;

    supervisor->time_us = tf_age_add(supervisor->time_us, dt_us);
    for (uint32_t event = TF_EVENT_STATE_REFUSED; event < TF_EVENTS && supervisor->state == before; event++) {
        if ((conditions >> event & 1u) != 0u)
            (void)tf_supervisor_handle(supervisor, (tf_event_t)event);
    }
}

tf_output_t tf_supervisor_output(const tf_supervisor_t *supervisor)
{
    return (tf_output_t)output[supervisor->state];
}
