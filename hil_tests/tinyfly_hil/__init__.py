"""Hardware in the loop: a policy in a chip, flown over a serial port by the simulator."""
