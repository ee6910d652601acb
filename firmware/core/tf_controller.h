/* The flight controller: state and set-point in, four motor commands out. Knows no link and no hardware;
 * the serial app (tf_app) and the Crazyflie app both stand on it. */
#ifndef TF_CONTROLLER_H
#define TF_CONTROLLER_H

#include "tf_guard.h"
#include "tf_pilot.h"
#include "tf_setpoint.h"
#include "tf_supervisor.h"

#define TF_WARM_UP_US 500000u    /* motors at low idle after an arm */
#define TF_IDLE 0.1f             /* of full speed: turning, about 1 % of full thrust */
#define TF_DESCENT_M_S 0.4f      /* degraded, with a good state: the policy flies this down ... */
#define TF_DESCENT_US 5000000u   /* ... for at most this long */
#define TF_HOVER_MEAN_US 2000000.0f /* the hover speed of a blind descent: a mean of the commands flown, so slow ... */
#define TF_HOVER_MEAN_RANGE 0.15f   /* ... and this near the nominal one: .72 to 1.32 of its mass */
#define TF_COMPENSATION_MIN 0.8f /* battery compensation, on rotor speed */
#define TF_COMPENSATION_MAX 1.25f

typedef struct {
    uint32_t steps;           /* control steps */
    uint32_t guard_state;     /* states refused */
    uint32_t guard_action;    /* actions refused */
    uint32_t stale;           /* steps with motors on in which the state or the set-point was stale */
    uint32_t deadline_misses; /* flown states that came later than the trained rate allows */
} tf_counters_t;

typedef struct {
    tf_supervisor_t supervisor;
    tf_guard_t guard;
    tf_pilot_t pilot;
    tf_setpoint_t setpoint; /* the user's */
    tf_setpoint_t descent;  /* flown when degraded */
    tf_counters_t counters;
    uint32_t now_us;     /* of the last control step */
    uint32_t since_us;   /* since the last state flown on */
    uint16_t flags;      /* 1 << TF_FLAG_*, of the last step */
    uint16_t mismatches; /* golden vectors that came out differently */
    uint8_t reason;      /* TF_REASON_*: what was wrong with the last step's input, or why it is in its state */
    float hover;         /* speed fraction that has carried the weight of late */
    float compensation;
} tf_controller_t;

/* Everything to its beginning, motors off; now_us is any microsecond clock, u32, that may wrap. */
void tf_controller_init(tf_controller_t *controller, uint32_t now_us);

/* Checks the weights' CRC and every golden vector; moves on to disarmed or refused. Returns why, if refused. */
uint8_t tf_controller_self_test(tf_controller_t *controller);

/* Requests; each returns TF_REASON_NONE, or why not. Disarm and stop forget the set-point. */
uint8_t tf_controller_arm(tf_controller_t *controller);
uint8_t tf_controller_disarm(tf_controller_t *controller);
uint8_t tf_controller_stop(tf_controller_t *controller);
uint8_t tf_controller_setpoint(tf_controller_t *controller, uint8_t kind, uint8_t flags,
                               const float values[TF_SETPOINT_VALUES]);

/* The clock was chosen anew: now is now_us, and everything known before it is old. */
void tf_controller_restart_clock(tf_controller_t *controller, uint32_t now_us);

/* Battery compensation: rotor speed commands in flight are multiplied by factor (nominal voltage / measured,
 * say), held to [TF_COMPENSATION_MIN, TF_COMPENSATION_MAX], and by 1 when it is not a finite number. */
void tf_controller_compensate(tf_controller_t *controller, float factor);

/* One control step at now_us, at any rate: state is the estimate that came with it, or NULL when none came.
 * motors: fractions of full rotor speed in [0, 1], 0 = off; written whatever happens. */
void tf_controller_step(tf_controller_t *controller, uint32_t now_us, const tf_state_t *state,
                        float motors[TF_MOTORS]);

/* Motors may turn in this state. */
bool tf_controller_motors_on(const tf_controller_t *controller);

/* Fraction of full rotor speed -> fraction of full thrust on the nominal airframe, in [0, 1]. */
float tf_thrust_fraction(float speed_fraction);

#endif
