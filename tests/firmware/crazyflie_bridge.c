/* The Crazyflie app with a stock firmware that only takes notes. */
#include "controller_tinyfly.c"

static uint32_t pid_tick, resets;
static setpoint_t pid_setpoint;

void vTaskDelay(uint32_t ticks) { (void)ticks; }
uint64_t usecTimestamp(void) { return 0; }
void attitudeControllerResetAllPID(float roll, float pitch, float yaw) { (void)roll, (void)pitch, (void)yaw, resets++; }
void positionControllerResetAllPID(float x, float y, float z) { (void)x, (void)y, (void)z, resets++; }
void controllerPidInit(void) { }
bool controllerPidTest(void) { return true; }

void controllerPid(control_t *control, const setpoint_t *sp, const sensorData_t *sensors, const state_t *s,
                   stabilizerStep_t tick)
{
    (void)sensors, (void)s;
    pid_setpoint = *sp;
    control->controlMode = controlModeLegacy;
    pid_tick = tick;
}

uint32_t bridge_pid_yaw_mode(void) { return pid_setpoint.mode.yaw; }
float bridge_pid_yaw(void) { return pid_setpoint.attitude.yaw; }
uint32_t bridge_pid_tick(void) { return pid_tick; }
uint32_t bridge_pid_resets(void) { return resets; }
uint8_t bridge_refusal(void) { return refusal; }
uint8_t bridge_state(void) { return tf.supervisor.state; }
const float *bridge_app_input(void) { return tf.pilot.observation.input; }

/* What is flown now. */
const float *bridge_reference(void)
{
    static const float here[3];
    static tf_reference_t now;
    tf_setpoint_t copy = tf.setpoint;

    tf_setpoint_step(&copy, 0, here, &now);
    return now.position; /* velocity and acceleration follow */
}

void bridge_parameters(uint8_t enable, uint8_t fly_mode, const float target[3], float speed)
{
    tf_enable = enable;
    tf_mode = fly_mode;
    tf_speed = speed;
    for (uint32_t i = 0; i < 3u; i++)
        tf_target[i] = target[i];
}
