/* The serial application: frames in, frames out, a controller between. A port gives it bytes and a clock. */
#ifndef TF_APP_H
#define TF_APP_H

#include <stdatomic.h>

#include "tf_controller.h"
#include "tf_link.h"

#define TF_FIRMWARE "tinyfly 0.1.0"
#define TF_TICK_US 2000u     /* own clock: a control step at least this often */
#define TF_AHEAD_MAX_US 100000u /* own clock: a sender's stamps may run so much further than it, from one to the next */
#define TF_BACKWARDS_MAX 10u /* link clock: so many frames in a row that run backwards are no time at all */
#define TF_RING_BYTES 2048u  /* received and not yet read; a power of two */

/* What the hardware offers. Functions must not be NULL. */
typedef struct {
    uint32_t (*time_us)(void);
    uint32_t (*cost)(void); /* a free-running counter in cost_unit */
    uint32_t (*room)(void); /* bytes that send takes now without waiting; UINT32_MAX: it does not mind waiting */
    void (*send)(const uint8_t *bytes, uint32_t n); /* n <= room() */
    void (*reset)(void);
    uint32_t (*stack_bytes)(void); /* high-water mark, 0 when unknown */
    uint8_t cost_unit;             /* TF_COST_UNIT_* */
    uint8_t cause;                 /* TF_CAUSE_*: why the chip started */
    uint32_t cost_hz;
    const char *target; /* at most 15 characters */
} tf_port_t;

typedef struct {
    const tf_port_t *port;
    tf_controller_t controller;
    tf_decoder_t decoder;
    tf_msg_stats_t stats;     /* the link's part; the controller counts its own */
    tf_msg_control_t control; /* the last answer to a step or tick */
    uint32_t boot_nonce;
    uint32_t state_time_us; /* the sender's time of the last state ... */
    uint32_t state_came_us; /* ... and ours */
    uint32_t asked;         /* questions since the last command */
    uint16_t last_sequence; /* of the last command */
    uint8_t told_state; /* the supervisor's, in the last motor frame that went out */
    uint8_t clock;      /* TF_CLOCK_* */
    bool heard;       /* one has come: last_sequence means something */
    bool state_seen;  /* state_time_us means something */
    bool clock_set;   /* link clock: a frame has set it */
    uint8_t backwards; /* link clock: frames in a row that would have set it back */
    _Atomic uint32_t head; /* of the ring; written by tf_app_receive only */
    _Atomic uint32_t tail; /* written by tf_app_poll only */
    _Atomic uint32_t overruns;
    uint8_t ring[TF_RING_BYTES];
} tf_app_t;

/* Runs the self-test and sends the boot frame. Call when the link is up; boot_nonce should differ every time. */
void tf_app_init(tf_app_t *app, const tf_port_t *port, uint32_t boot_nonce);

/* One byte has come. May be called from an interrupt while tf_app_poll runs. */
void tf_app_receive(tf_app_t *app, uint8_t byte);

/* Reads what has come and runs a due control step. False when there was nothing to do: the port may sleep. */
bool tf_app_poll(tf_app_t *app);

/* Within the app, from file to file. */
void tf_app_handle(tf_app_t *app, const tf_frame_t *frame);
void tf_app_on_step(tf_app_t *app, const tf_frame_t *frame);
void tf_app_on_tick(tf_app_t *app, const tf_frame_t *frame);
void tf_app_refuse_step(tf_app_t *app, const tf_frame_t *frame, uint8_t refusal);
bool tf_app_send(tf_app_t *app, uint8_t type, uint16_t sequence, const uint8_t *body, uint32_t n);
void tf_app_step(tf_app_t *app, uint32_t now_us, const tf_state_t *state);
void tf_app_send_control(tf_app_t *app, uint16_t sequence);

#endif
