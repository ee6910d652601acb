#include "tf_link.h"

#include "tf_crc32.h"

void tf_decoder_init(tf_decoder_t *decoder)
{
    decoder->length = 0;
    decoder->code = 0;
    decoder->left = 0;
    decoder->broken = false;
}

static void append(tf_decoder_t *decoder, uint8_t byte)
{
    if (decoder->length == TF_MAX_FRAME)
        decoder->broken = true;
    else
        decoder->buffer[decoder->length++] = byte;
}

static tf_link_event_t finish(const tf_decoder_t *decoder, tf_frame_t *frame)
{
    const uint8_t *buffer = decoder->buffer;
    const uint32_t n = decoder->length;

    if (decoder->code == 0u)
        return TF_LINK_MORE; /* delimiters may repeat */
    if (decoder->broken || decoder->left != 0u || n < TF_FRAME_OVERHEAD)
        return TF_LINK_BAD_FRAME;
    if (tf_crc32(0, buffer, n - 4u) != tf_get_u32(buffer + n - 4u))
        return TF_LINK_BAD_CRC;
    if (buffer[0] != TF_PROTOCOL_VERSION)
        return TF_LINK_BAD_VERSION;
    frame->type = buffer[1];
    frame->sequence = tf_get_u16(buffer + 2);
    frame->body = buffer + TF_FRAME_HEADER;
    frame->n = n - TF_FRAME_OVERHEAD;
    return TF_LINK_FRAME;
}

tf_link_event_t tf_decoder_step(tf_decoder_t *decoder, uint8_t byte, tf_frame_t *frame)
{
    if (byte == 0u) {
        const tf_link_event_t event = finish(decoder, frame);

        tf_decoder_init(decoder); /* the buffer keeps its bytes until the next frame's overwrite them */
        return event;
    }
    if (decoder->left > 0u) {
        append(decoder, byte);
        decoder->left--;
    } else {
        if (decoder->code != 0u && decoder->code != 0xFFu)
            append(decoder, 0); /* the zero that ended the last block */
        decoder->code = byte;
        decoder->left = (uint8_t)(byte - 1u);
    }
    return TF_LINK_MORE;
}

/* A COBS writer: at[code] waits for the length of the block being written. */
typedef struct {
    uint8_t *wire;
    uint32_t code;
    uint32_t at;
} cobs_t;

static void put(cobs_t *cobs, uint8_t byte)
{
    if (byte != 0u)
        cobs->wire[cobs->at++] = byte;
    if (byte == 0u || cobs->at - cobs->code == 0xFFu) {
        cobs->wire[cobs->code] = (uint8_t)(cobs->at - cobs->code);
        cobs->code = cobs->at++;
    }
}

uint32_t tf_link_encode(uint8_t type, uint16_t sequence, const uint8_t *body, uint32_t n, uint8_t *wire)
{
    uint8_t header[TF_FRAME_HEADER], trailer[4];
    cobs_t cobs = {wire, 0, 1};

    if (n > TF_MAX_BODY)
        return 0;
    header[0] = TF_PROTOCOL_VERSION;
    header[1] = type;
    tf_put_u16(header + 2, sequence);
    tf_put_u32(trailer, tf_crc32(tf_crc32(0, header, sizeof header), body, n));
    for (uint32_t i = 0; i < sizeof header; i++)
        put(&cobs, header[i]);
    for (uint32_t i = 0; i < n; i++)
        put(&cobs, body[i]);
    for (uint32_t i = 0; i < sizeof trailer; i++)
        put(&cobs, trailer[i]);
    wire[cobs.code] = (uint8_t)(cobs.at - cobs.code);
    wire[cobs.at++] = 0;
    return cobs.at;
}
