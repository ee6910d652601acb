"""The network's input, checked against a plain re-statement of its definition, one vehicle at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfly.contract import AngularAcceleration, Channel, Contract, Integral, SpecificForce, paper_contract
from tinyfly.observation import Observer

F = np.float32
TRACKING = Contract(
    channels=(
        Channel("action_history", 4 * 5),
        Channel("position_error", 3, limit=0.6),
        Channel("rotation", 9),
        Channel("velocity_error", 3, limit=2.0),
        Channel("angular_velocity", 3, scale=0.5),
        Channel("position_integral", 3),
        Channel("specific_force", 3, scale=0.2),
        Channel("angular_acceleration", 3, scale=0.3),
        Channel("reference_acceleration", 3, scale=0.1),
        Channel("acceleration_preview", 6, scale=0.1),
    ),
    history_length=5,
    integral=Integral(gain_per_s=2.0, error_limit_m=0.2, limit_m=0.05),
    specific_force=SpecificForce(
        time_constant_s=0.1, trend_s=0.15, lead_s=0.2, quiet_m_s2=0.3, limit_m_s2=15.0
    ),
    angular_acceleration=AngularAcceleration(time_constant_s=0.02, limit_rad_s2=60.0),
    preview_s=(0.08, 0.16),
)


class Plain:
    """The docstring of `observation`, once more, scalar by scalar in float32."""

    def __init__(self, contract):
        self.c = contract
        self.slots = [np.zeros(4, F)] * contract.history_length
        self.integral, self.kept = np.zeros(3, F), np.zeros(3, F)
        self.force, self.slow, self.led, self.turning, self.last = (*np.zeros((4, 3), F), None)
        self.time, self.period = None, round(1e6 / contract.history_rate_hz)
        self.phase, self.due = self.period // 2, True

    def observe(self, now, s, r):
        elapsed = 0 if self.time is None else (now - self.time) % 2**32
        dt = 0 if self.time is None else min((now - self.time) % 2**32, 100_000)
        self.time, self.phase = now, self.phase + dt
        for _ in range(self.phase // self.period):
            if self.due and self.slots:
                self.slots = [*self.slots[1:], self.slots[-1]]
            self.due = True
        self.phase %= self.period
        error = s[:3] - r[:3]
        if self.c.integral:
            g = self.c.integral
            step = F(g.gain_per_s) * (F(dt) * F(1e-6))
            self.integral = np.clip(self.integral + step * self.kept, F(-g.limit_m), F(g.limit_m))
            self.kept = np.clip(error, F(-g.error_limit_m), F(g.error_limit_m))
        w, x, y, z = s[3:7]
        x2, y2, z2 = x + x, y + y, z + z
        rotation = [
            [F(1) - (y * y2 + z * z2), x * y2 - w * z2, x * z2 + w * y2],
            [x * y2 + w * z2, F(1) - (x * x2 + z * z2), y * z2 - w * x2],
            [x * z2 - w * y2, y * z2 + w * x2, F(1) - (x * x2 + y * y2)],
        ]
        rotation = np.array(rotation, F)
        if self.c.specific_force:
            self.feel(elapsed, rotation, s[7:10])
        if self.c.angular_acceleration:
            self.turn(elapsed, s[10:13])
        self.last = rotation, s[7:10], s[10:13]
        values = {
            "action_history": np.concatenate(self.slots) if self.slots else np.zeros(0, F),
            "position_error": error,
            "rotation": rotation.ravel(),
            "velocity_error": s[7:10] - r[3:6],
            "angular_velocity": s[10:13],
            "position_integral": self.integral,
            "specific_force": self.led,
            "angular_acceleration": self.turning,
            "reference_acceleration": r[6:9],
            "acceleration_preview": r[9:],
        }
        rows = []
        for channel in self.c.channels:
            v = values[channel.name]
            if channel.limit is not None:
                v = np.clip(v, F(-channel.limit), F(channel.limit))
            rows.append(v * F(channel.scale))
        return np.concatenate(rows)

    def feel(self, elapsed, rotation, velocity):
        k, seconds = self.c.specific_force, F(elapsed) * F(1e-6)
        if self.last and elapsed <= 100_000:
            frame, gained = rotation + self.last[0], velocity - self.last[1]
            gained[2] += F(9.81) * seconds
            self.slow = self.slow + seconds * F(1 / k.trend_s) * (self.force - self.slow)
            fade, force = seconds * F(1 / k.time_constant_s), self.force.copy()
            for j in range(3):
                turned = frame[0, j] * gained[0] + frame[1, j] * gained[1] + frame[2, j] * gained[2]
                kept = force[j] + F(9.81 if j == 2 else 0)
                self.force[j] += F(0.5 / k.time_constant_s) * turned - fade * kept
            self.force = np.clip(self.force, F(-k.limit_m_s2), F(k.limit_m_s2))
        trend = self.force - self.slow
        quiet = np.clip(trend, F(-k.quiet_m_s2), F(k.quiet_m_s2))
        self.led = self.force + F(k.lead_s / k.trend_s) * (trend - quiet)

    def turn(self, elapsed, rate):
        k, seconds = self.c.angular_acceleration, F(elapsed) * F(1e-6)
        if self.last and elapsed <= 100_000:
            inverse = F(1) / max(seconds, F(k.time_constant_s))
            gained = (rate - self.last[2]) - seconds * self.turning
            self.turning = np.clip(self.turning + gained * inverse, F(-k.limit_rad_s2), F(k.limit_rad_s2))

    def record(self, action):
        if self.due:
            self.slots = [*self.slots[1:], None]
            self.sum, self.count, self.due = action.copy(), 1, False
        else:
            self.sum, self.count = self.sum + action, self.count + 1
        self.slots[-1] = self.sum / F(self.count)


@pytest.mark.parametrize("contract", [TRACKING, paper_contract()])
@pytest.mark.parametrize("step_us", [10_000, 2_000, 9_997, 35_000, 150_000])
def test_every_bit_is_as_the_definition_says(contract, step_us):
    rng = np.random.default_rng(step_us)
    n, now = 3, 2**32 - 300_000  # the chip's clock wraps on the way
    observer, plain = Observer(contract, n), [Plain(contract) for _ in range(n)]
    for _ in range(200):
        sensed = rng.standard_normal((13, n)).astype(F)
        reference = rng.standard_normal((9 + 3 * len(contract.preview_s), n)).astype(F)
        got = observer.observe(now % 2**32, sensed, reference)
        want = np.stack(
            [p.observe(now % 2**32, sensed[:, i], reference[:, i]) for i, p in enumerate(plain)], 1
        )
        np.testing.assert_array_equal(got, want)
        action = rng.uniform(-1, 1, (4, n)).astype(F)
        observer.record(action)
        for i, p in enumerate(plain):
            p.record(action[:, i])
        now += step_us


def test_at_500_hz_the_history_advances_at_100_hz_and_its_newest_slot_is_the_mean_since():
    observer = Observer(TRACKING, 1)
    for k in range(13):  # advances after the first step, at 6 ms (half a period of margin), then every 10 ms
        observer.observe(2000 * k, np.zeros((13, 1), F), np.zeros((15, 1), F))
        observer.record(np.full((4, 1), k, F))
    history = observer.observe(26_000, np.zeros((13, 1), F), np.zeros((15, 1), F))[:20:4, 0]
    np.testing.assert_array_equal(
        history, [0, 0, np.mean([0, 1, 2]), np.mean(range(3, 8)), np.mean(range(8, 13))]
    )


@pytest.mark.parametrize("slots", [2, 3, 7])
def test_a_policy_that_runs_slower_than_its_history_sees_each_command_as_long_as_it_stood(slots):
    observer = Observer(TRACKING, 1)
    for k in range(8):
        x = observer.observe(10_000 * slots * k, np.zeros((13, 1), F), np.zeros((15, 1), F))
        stood = [j // slots for j in range(slots * k)][-5:]
        np.testing.assert_array_equal(x[:20:4, 0], [0] * (5 - len(stood)) + stood)
        observer.record(np.full((4, 1), k, F))


@given(st.lists(st.integers(-4_000, 4_000), min_size=20, max_size=60))
def test_a_jittering_clock_skips_no_advance(jitter):
    """Steps at 100 Hz, each up to 4 ms early or late: every step still brings one slot."""
    observer = Observer(TRACKING, 1)
    for k, late in enumerate(jitter):
        x = observer.observe(10_000 * k + (late if k else 0), np.zeros((13, 1), F), np.zeros((15, 1), F))
        if k > 5:
            np.testing.assert_array_equal(x[:20:4, 0], np.arange(k - 5, k))
        observer.record(np.full((4, 1), k, F))


def test_resetting_some_vehicles_leaves_the_others_alone():
    rng = np.random.default_rng(0)
    observer, untouched = Observer(TRACKING, 4), Observer(TRACKING, 4)
    for k in range(90):
        sensed = rng.standard_normal((13, 4)).astype(F)
        a = observer.observe(10_000 * k, sensed, np.zeros((15, 1), F)).copy()
        b = untouched.observe(10_000 * k, sensed, np.zeros((15, 1), F))
        np.testing.assert_array_equal(a[:, [0, 2]], b[:, [0, 2]])
        action = rng.uniform(-1, 1, (4, 4)).astype(F)
        observer.record(action)
        untouched.record(action)
        if k == 80:
            observer.reset(np.array([1, 3]))
    assert (a[:, 1] != b[:, 1]).any()


def test_a_fresh_observer_and_one_reset_agree():
    used = Observer(TRACKING, 2)
    for k in range(10):
        used.observe(7_000 * k, np.ones((13, 2), F), np.zeros((15, 1), F))
        used.record(np.ones((4, 2), F))
    used.reset()
    sensed = np.random.default_rng(1).standard_normal((13, 2)).astype(F)
    fresh = Observer(TRACKING, 2).observe(0, sensed, np.zeros((15, 1), F))
    np.testing.assert_array_equal(used.observe(99, sensed, np.zeros((15, 1), F)), fresh)


def seen_of_a_ramp(force: SpecificForce, slope: float, seconds: float) -> float:
    """Of a sideways force that grows by ``slope`` m/s^2 a second: what is seen of it at last."""
    contract = Contract((Channel("specific_force", 3),), history_length=0, specific_force=force)
    observer, sensed = Observer(contract, 1), np.zeros((13, 1), F)
    sensed[3] = 1  # level
    for k in range(round(seconds / 0.01) + 1):
        sensed[7] = 0.5 * slope * (k * 0.01) ** 2  # velocity
        seen = observer.observe(10_000 * k, sensed, np.zeros((9, 1), F))[0, 0]
    return seen


def test_a_force_that_grows_steadily_is_seen_ahead_by_the_lead_less_the_lag():
    """After all has settled y lags a ramp by its time constant, and z lags y by the trend."""
    force, slope = SpecificForce(time_constant_s=0.1, trend_s=0.2, lead_s=0.25), 2.0
    ahead_s = force.lead_s - force.time_constant_s
    assert seen_of_a_ramp(force, slope, 2.99) == pytest.approx(slope * (2.99 + ahead_s), abs=0.01 * slope)


@pytest.mark.parametrize(("slope", "seen"), [(1.0, 0.0), (2.0, 0.1), (-2.0, -0.1)])
def test_a_trend_is_seen_by_what_it_is_more_than_the_quiet(slope, seen):
    """After all has settled the trend y - z of a ramp is its slope times trend_s: here .2 and .4 m/s^2."""
    force = SpecificForce(time_constant_s=0.1, trend_s=0.2, lead_s=0.1, quiet_m_s2=0.2)
    lagging = slope * (2.99 - force.time_constant_s)
    assert seen_of_a_ramp(force, slope, 2.99) - lagging == pytest.approx(seen, abs=0.015 * abs(slope))


@pytest.mark.parametrize("step_us", [1_000, 10_000, 20_000, 60_000])
def test_a_steady_angular_acceleration_is_seen_as_it_is_however_long_the_steps(step_us):
    turning = AngularAcceleration(time_constant_s=0.02)
    contract = Contract((Channel("angular_acceleration", 3),), history_length=0, angular_acceleration=turning)
    observer, sensed = Observer(contract, 1), np.zeros((13, 1), F)
    for k in range(400_000 // step_us):
        sensed[10:13, 0] = np.array([2.0, -3.0, 0.5]) * (k * step_us * 1e-6)
        seen = observer.observe(k * step_us, sensed, np.zeros((9, 1), F))[:, 0]
    np.testing.assert_allclose(seen, [2.0, -3.0, 0.5], rtol=1e-3)


def test_a_step_of_angular_velocity_fades_with_the_time_constant():
    turning = AngularAcceleration(time_constant_s=0.02)
    contract = Contract((Channel("angular_acceleration", 3),), history_length=0, angular_acceleration=turning)
    observer, sensed = Observer(contract, 1), np.zeros((13, 1), F)
    seen = []
    for k in range(60):
        sensed[10] = 0.1 if k >= 10 else 0.0
        seen.append(observer.observe(1_000 * k, sensed, np.zeros((9, 1), F))[0, 0])
    expected = 0.1 / 0.02 * np.exp(-0.001 * np.arange(50) / 0.02)
    assert not any(seen[:10])
    np.testing.assert_allclose(seen[10:], expected, rtol=0.08)
