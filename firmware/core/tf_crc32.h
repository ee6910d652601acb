/* CRC-32 as zlib's: reflected 0xEDB88320. Integrity, not authenticity. */
#ifndef TF_CRC32_H
#define TF_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 to begin) over n bytes. */
uint32_t tf_crc32(uint32_t crc, const void *data, size_t n);

#endif
