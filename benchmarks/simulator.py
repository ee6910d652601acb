"""How fast the simulator is: million environment steps per second on one core, by number of environments.

    python benchmarks/simulator.py [--seconds 0.3]

Columns: RK4 alone; the full step (dynamics, noise, observation with 32 past actions, reward, termination,
masked reset) of vehicles that fly their 500 steps; the same RK4 written plainly in NumPy, as a yardstick for
the machine; and other simulators where they are installed. All are timed in turns and by processor time, and
the best turn counts: on a shared machine the ratio within one run is the figure to trust.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # l2f's loops
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from other_simulators import others

from tinyfly.airframe import Airframe
from tinyfly.disturbance import STILL
from tinyfly.dynamics import Dynamics
from tinyfly.program import chunks
from tinyfly.simulator import fleet
from tinyfly.start import Start

SIZES = (256, 1024, 2048, 4096, 16384, 65536)
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="per measurement (each is repeated)")
    seconds = parser.parse_args().seconds
    airframe = Airframe.load("crazyflie")
    print(f"{_processor()}, NumPy {np.__version__}, one thread; million environment steps/s")
    print("| N | RK4 alone | full RL step | plain NumPy RK4 | RK4 / plain | others |")
    print("|---|---|---|---|---|---|")
    for n in SIZES:
        contenders = {
            "rk4": _rk4(airframe, n),
            "full": _full_step(airframe, n),
            "plain": _plain(airframe, n),
        } | others(n)
        rate = _race(contenders, n, seconds)
        rest = ", ".join(
            f"{name} {r:.3g}" for name, r in rate.items() if name not in ("rk4", "full", "plain")
        )
        ratio = rate["rk4"] / rate["plain"]
        figures = " | ".join(f"{rate[name]:.2f}" for name in ("rk4", "full", "plain"))
        print(f"| {n} | {figures} | {ratio:.1f} | {rest or '-'} |", flush=True)


def _race(contenders: dict[str, Callable[[], object]], n: int, seconds: float) -> dict[str, float]:
    """Best rate of each in million steps/s, measured in turns."""
    best = dict.fromkeys(contenders, 0.0)
    for f in contenders.values():
        f()
    for _ in range(ROUNDS):
        for name, f in contenders.items():
            count, start = 0, time.process_time()
            while (spent := time.process_time() - start) < seconds / ROUNDS:
                f()
                count += 1
            best[name] = max(best[name], count * n / spent / 1e6)
    return best


def _rk4(airframe: Airframe, n: int) -> Callable[[], object]:
    parts = [(_hovering(airframe, c.stop - c.start), c.stop - c.start) for c in chunks(n)]
    dynamics = {k: Dynamics(airframe, k, 0.01) for _, k in parts}
    commands = {k: np.full((4, k), airframe.hover_fraction, np.float32) for _, k in parts}

    def run() -> None:
        for state, k in parts:
            dynamics[k].step(state, commands[k])

    return run


def _full_step(airframe: Airframe, n: int) -> Callable[[], object]:
    calm = Start(level=1.0, velocity_m_s=0.0, rate_rad_s=0.0, rotor_speed=airframe.hover_fraction)
    simulators = fleet(airframe, n, np.random.default_rng(0), start=calm, wind=STILL)
    for s in simulators:
        s.age[:] = np.arange(s.n) % s.episode_steps  # so that resets are spread over time
    actions = [np.full((4, s.n), airframe.hover_action, np.float32) for s in simulators]

    def run() -> None:
        for s, action in zip(simulators, actions, strict=True):
            s.observe()
            _, terminated, truncated = s.step(action)
            s.reset(terminated | truncated)

    return run


def _plain(airframe: Airframe, n: int) -> Callable[[], object]:
    """The equations as one would first write them."""
    state = _hovering(airframe, n)
    command = np.full((4, n), airframe.hover_fraction, np.float32)
    j = np.array(airframe.inertia_kg_m2, np.float32)[:, None]
    x, y, _ = np.array(airframe.rotor_position_m, np.float32).T
    signs = np.array(airframe.rotor_torque_sign, np.float32)
    mixer = np.stack([np.ones(4), y, -x, signs * airframe.torque_nm[2] / airframe.thrust_n[2]]).astype(
        np.float32
    )
    full, tau, mass, h = (
        np.float32(airframe.thrust_n[2]),
        np.float32(airframe.rotor_rise_s),
        airframe.mass_kg,
        0.01,
    )

    def derivative(s: np.ndarray) -> np.ndarray:
        w, x, y, z = s[3:7]
        p, q, r = s[10:13]
        force = mixer @ (full * s[13:17] ** 2)
        thrust = force[0] / np.float32(mass)
        d = np.empty_like(s)
        d[0:3] = s[7:10]
        d[3] = -(x * p + y * q + z * r) / 2
        d[4] = (w * p + y * r - z * q) / 2
        d[5] = (w * q + z * p - x * r) / 2
        d[6] = (w * r + x * q - y * p) / 2
        d[7] = 2 * (x * z + w * y) * thrust
        d[8] = 2 * (y * z - w * x) * thrust
        d[9] = (1 - 2 * (x * x + y * y)) * thrust - np.float32(9.81)
        d[10:13] = (force[1:4] - np.cross(s[10:13], j * s[10:13], axis=0)) / j
        d[13:17] = (command - s[13:17]) / tau
        return d

    def run() -> None:
        k1 = derivative(state)
        k2 = derivative(state + np.float32(h / 2) * k1)
        k3 = derivative(state + np.float32(h / 2) * k2)
        k4 = derivative(state + np.float32(h) * k3)
        state[:] = state + np.float32(h / 6) * (k1 + 2 * k2 + 2 * k3 + k4)
        state[3:7] /= np.sqrt((state[3:7] ** 2).sum(0))

    return run


def _hovering(airframe: Airframe, n: int) -> np.ndarray:
    state = np.zeros((17, n), np.float32)
    state[3], state[13:] = 1, airframe.hover_fraction
    return state


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
