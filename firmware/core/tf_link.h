/* Frames on a byte stream: COBS( version u8 | type u8 | sequence u16 | body | crc32 u32 ) 0x00, little-endian.
 * Knows nothing of what the bodies mean. */
#ifndef TF_LINK_H
#define TF_LINK_H

#include <stdint.h>

#include "tf_messages.h"

#define TF_FRAME_HEADER 4u
/* COBS adds one byte per 254 begun, and the delimiter. */
#define TF_WIRE_BYTES(body) ((body) + TF_FRAME_OVERHEAD + ((body) + TF_FRAME_OVERHEAD) / 254u + 2u)

typedef struct {
    uint8_t type;
    uint16_t sequence;
    const uint8_t *body; /* points into the decoder; valid until the next byte is fed */
    uint32_t n;
} tf_frame_t;

typedef enum {
    TF_LINK_MORE,        /* nothing complete yet */
    TF_LINK_FRAME,       /* *frame is a good frame */
    TF_LINK_BAD_FRAME,   /* not COBS, too short or too long */
    TF_LINK_BAD_CRC,     /* damaged on the way */
    TF_LINK_BAD_VERSION, /* a good frame of another protocol version */
} tf_link_event_t;

typedef struct {
    uint8_t buffer[TF_MAX_FRAME];
    uint32_t length;
    uint8_t code;   /* COBS block length, 0 before the first */
    uint8_t left;   /* bytes left in the block */
    bool broken;    /* skip to the next delimiter */
} tf_decoder_t;

void tf_decoder_init(tf_decoder_t *decoder);
tf_link_event_t tf_decoder_step(tf_decoder_t *decoder, uint8_t byte, tf_frame_t *frame);

/* Frames body[0..n) into wire, which holds TF_WIRE_BYTES(n); returns the bytes written, 0 when n > TF_MAX_BODY. */
uint32_t tf_link_encode(uint8_t type, uint16_t sequence, const uint8_t *body, uint32_t n, uint8_t *wire);

#endif
