"""What to do while no state comes: python benchmarks/blind.py POLICY

Flies throws and a fast figure-eight at 500 Hz, takes the states away in the middle, lets each fallback
command the motors for the gap, and shows in what attitude it leaves the aircraft. Then hovers at other
masses, and shows how far half a second without states lets the aircraft rise, and how fast it falls then.
firmware/core does "fade 10..30 ms" about the mean command of the last seconds; docs/safety.md holds the
tables.
"""

from __future__ import annotations

import sys

import numpy as np

from tinyfly.evaluate import airframe_of
from tinyfly.observation import Observer
from tinyfly.policy import Policy
from tinyfly.state import ANGULAR_VELOCITY, QUATERNION, VELOCITY
from tinyfly.trajectory import sample
from tinyfly_hil.setpoint import path
from tinyfly_hil.world import Scenario, World, thrown

RATE_HZ = 500
GAPS_MS = (50, 100, 250)
SEEDS = range(5)
FADES_MS = {  # from when to when the motors' differences fade out
    "hold": (np.inf, np.inf),
    "level at once": (-1, 0),
    "fade 10..30 ms": (10, 30),
    "fade 10..60 ms": (10, 60),
    "fade 10..100 ms": (10, 100),
}
MASSES = (0.7, 0.85, 1.0, 1.15, 1.3)
FLOWN_S = (0.5, 2.0, 8.0)
MEAN_S, MEAN_RANGE = 2.0, 0.15  # of the hover speed that has been flown


def ramp(age_ms: float, begin_ms: float, end_ms: float) -> float:
    """How far age is from begin to end, 0..1."""
    return 0.0 if age_ms <= begin_ms else min(1.0, (age_ms - begin_ms) / (end_ms - begin_ms))


def fallback(kind: str, age_ms: float, safe: np.ndarray, hover: float) -> np.ndarray:
    """Motor commands (4,) at this age of the last state."""
    if kind == "off":
        return np.zeros(4, np.float32)
    level = ramp(age_ms, *FADES_MS[kind])
    collective = hover * (0.95 - 0.15 * ramp(age_ms, 100, 500))
    return np.float32((1 - level) * safe + level * collective)


def fly(
    policy: Policy, scenario: Scenario, kind: str, begin_s: float, gap_ms: int, weigh: bool = True
) -> np.ndarray:
    """Tilt (deg), angular rate (rad/s), climb (m/s) when the states return; how far (m) it has risen at most.

    ``weigh``: about the mean command that has been flown; else about the nominal airframe's hover.
    """
    world, observer = World(scenario, airframe_of(policy)), Observer(policy.contract, 1)
    times = np.arange(scenario.steps) / RATE_HZ
    flown = path(scenario.kind, scenario.values, world.position)
    reference = sample(flown, times, policy.contract.preview_s)
    hover = nominal = (policy.contract.hover_action + 1) / 2
    share = 1 / (1 + MEAN_S * RATE_HZ)
    heights = []
    begin, end = round(begin_s * RATE_HZ), round((begin_s + gap_ms / 1000) * RATE_HZ)
    for k in range(end):
        sensed = world.sense()
        if k < begin:
            observation = observer.observe(k * scenario.period_us, sensed[:, None], reference[k][:, None])
            action = policy.act(observation)
            observer.record(action)
            motors = safe = (action[:, 0] + 1) / 2
            if weigh and k:
                off = hover + share * (motors.mean() - hover) - nominal
                hover = nominal + np.clip(off, -MEAN_RANGE * nominal, MEAN_RANGE * nominal)
            heights = [world.position[2]]
        else:
            motors = fallback(kind, (k - begin + 1) * 1000 / RATE_HZ, safe, hover)
        world.advance(motors)
        heights.append(world.position[2])
    state = world.state[:, 0]
    _, x, y, _ = state[QUATERNION]
    tilt_deg = np.degrees(np.arccos(np.clip(1 - 2 * (x * x + y * y), -1, 1)))
    rise_m = max(heights) - heights[0]
    return np.array([tilt_deg, np.linalg.norm(state[ANGULAR_VELOCITY]), state[VELOCITY][2], rise_m])


def flights() -> dict[str, list[tuple[Scenario, float]]]:
    """What is flown, and when the states end."""
    throws = [thrown(s, 60.0, duration_s=1.0, rate_hz=RATE_HZ, rotor_speed=None) for s in SEEDS]
    figure = (0.0, 0.0, 0.0, 1.0, 1.0, 3.5, 1.0)
    eights = [
        Scenario("eight", 3.0, "figure_eight", figure, rate_hz=RATE_HZ, noise=1.0, seed=s) for s in SEEDS
    ]
    return {
        "throw": [(s, t) for s in throws for t in (0.15, 0.4)],
        "figure-eight, 3.5 s": [(s, t) for s in eights for t in (1.9, 2.6)],
    }


def main() -> None:
    policy = Policy.load(sys.argv[1])
    print("| flight | gap ms | fallback | tilt, deg: median, worst tenth | rate, rad/s | climb, m/s |")
    print("|---|---|---|---|---|---|")
    for flight, cases in flights().items():
        for gap_ms in GAPS_MS:
            for kind in ("off", *FADES_MS):
                ends = np.array([fly(policy, scenario, kind, t, gap_ms) for scenario, t in cases])
                tilt, rate, climb = np.median(ends, 0)[:3]
                worst_tilt, worst_rate = np.quantile(ends, 0.9, axis=0)[:2]
                figures = f"{tilt:.0f}, {worst_tilt:.0f} | {rate:.1f}, {worst_rate:.1f} | {climb:.2f}"
                print(f"| {flight} | {gap_ms} | {kind} | {figures} |", flush=True)
    print("\n| mass | flown s | about the nominal hover: rise, m; climb, m/s | about what was flown |")
    print("|---|---|---|---|")
    for mass in MASSES:
        for flown_s in FLOWN_S:
            hover = Scenario("hover", flown_s + 1, rate_hz=RATE_HZ, noise=1.0, mass_scale=mass)
            ends = [fly(policy, hover, "fade 10..30 ms", flown_s, 500, weigh) for weigh in (False, True)]
            figures = " | ".join(f"{rise:.2f}; {climb:.2f}" for _, _, climb, rise in ends)
            print(f"| {mass:g} | {flown_s:g} | {figures} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
