/* The serial application: frames in, frames out, a controller between. A port gives it bytes and a clock. */
#ifndef TF_APP_H
#define TF_APP_H

#include "tf_controller.h"
#include "tf_link.h"

#define TF_TICK_US 2000u   /* own clock: control steps without a state, when none comes */
#define TF_RING_BYTES 2048u /* received and not yet read; a power of two */

/* What the hardware offers. Functions must not be NULL. */
typedef struct {
    uint32_t (*time_us)(void);
    uint32_t (*cost)(void); /* a free-running counter in cost_unit */
    void (*send)(const uint8_t *bytes, uint32_t n);
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
    tf_msg_stats_t stats;
    uint32_t boot_nonce;
    uint8_t clock;           /* TF_CLOCK_* */
    bool clock_started;      /* link clock: the first frame sets it */
    bool heard;              /* a frame has come: last_sequence means something */
    bool state_seen;         /* state_time_us means something */
    uint16_t last_sequence;
    uint32_t state_time_us;  /* the sender's time of the last state */
    tf_msg_control_t control; /* the last answer */
    uint8_t ring[TF_RING_BYTES];
    volatile uint32_t head;  /* written by tf_app_receive only */
    volatile uint32_t tail;  /* written by tf_app_poll only */
    volatile uint32_t overruns;
} tf_app_t;

/* Runs the self-test and sends the boot frame. Call when the link is up; boot_nonce should differ every time. */
void tf_app_init(tf_app_t *app, const tf_port_t *port, uint32_t boot_nonce);

/* One byte has come. May be called from an interrupt while tf_app_poll runs. */
void tf_app_receive(tf_app_t *app, uint8_t byte);

/* Reads what has come and runs due control steps. False when there was nothing to do: the port may sleep. */
bool tf_app_poll(tf_app_t *app);

#endif
