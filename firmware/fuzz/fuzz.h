/* Between the harness and its mutator. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

/* The chip's time when the story of an input with this first byte begins. */
uint32_t fuzz_begin_us(uint8_t first);

#endif
