/* As much of the stock Crazyflie firmware as the app asks for, so that its decisions can be tested without it.
 * The real one is met in `tinyfly hil POLICY --image`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t stabilizerStep_t;
typedef struct { float x, y, z; } vector_t;
typedef struct { float w, x, y, z; } quaternion_t;
typedef struct { float roll, pitch, yaw; } attitude_t;
typedef enum { modeDisable, modeAbs, modeVelocity } stab_mode_t;
typedef struct { stab_mode_t x, y, z, yaw; } setpoint_mode_t;
typedef struct {
    attitude_t attitude, attitudeRate;
    float thrust;
    vector_t position, velocity, acceleration;
    bool velocity_body;
    setpoint_mode_t mode;
} setpoint_t;
typedef struct { attitude_t attitude; quaternion_t attitudeQuaternion; vector_t position, velocity; } state_t;
typedef struct { vector_t gyro; } sensorData_t;
typedef enum { controlModeLegacy, controlModeForceTorque, controlModeForce } control_mode_t;
typedef struct { float normalizedForces[4]; control_mode_t controlMode; } control_t;

#define THRUST_MAX 0.12f
#define TF_FULL_THRUST_N 0.15f
#define portMAX_DELAY 0xffffffffu
#define PARAM_GROUP_START(group)
#define PARAM_ADD(type, name, variable) _Static_assert(sizeof *(variable) > 0, #name);
#define PARAM_GROUP_STOP(group)
#define LOG_GROUP_START(group)
#define LOG_ADD(type, name, variable) _Static_assert(sizeof *(variable) > 0, #name);
#define LOG_GROUP_STOP(group)

void appMain(void);
void controllerOutOfTreeInit(void);
bool controllerOutOfTreeTest(void);
void controllerOutOfTree(control_t *control, const setpoint_t *sp, const sensorData_t *sensors, const state_t *s,
                         stabilizerStep_t tick);
void vTaskDelay(uint32_t ticks);
uint64_t usecTimestamp(void);
void attitudeControllerResetAllPID(float roll, float pitch, float yaw);
void positionControllerResetAllPID(float x, float y, float z);
void controllerPidInit(void);
bool controllerPidTest(void);
void controllerPid(control_t *control, const setpoint_t *sp, const sensorData_t *sensors, const state_t *s,
                   stabilizerStep_t tick);
