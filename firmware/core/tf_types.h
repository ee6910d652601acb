/* The vocabulary of the core: what a flight controller hands in and what it gets back.
 *
 * World frame: z up. Body frame: x forward, y left, z up. SI units. Motors in Crazyflie order
 * (M1 front right, M2 back right, M3 back left, M4 front left), as fractions of full rotor speed. */
#ifndef TF_TYPES_H
#define TF_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#define TF_MOTORS 4

/* A state estimate. Nothing about it is trusted until tf_guard has seen it. */
typedef struct {
    float position[3];         /* m, world */
    float quaternion[4];       /* w x y z, body to world */
    float velocity[3];         /* m/s, world */
    float angular_velocity[3]; /* rad/s, body */
} tf_state_t;

#endif
