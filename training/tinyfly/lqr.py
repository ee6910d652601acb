"""A linear-quadratic regulator about hover, to fly beside a policy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.controllers import Classical

Array = NDArray[np.floating]


class LinearQuadratic(Classical):
    """LQR about hover: every state, the rotors' included, one gain matrix from the linearised airframe.

    The position error is clipped to half a metre, without which a linear law tips over on large errors.
    """

    def __init__(self, airframe: Airframe) -> None:
        super().__init__(airframe, lag_s=1e9)  # the rotors' lag is in the model: no lead besides
        a, b = self._linearised()
        cost = np.repeat([60.0, 1.0, 4.0, 0.05, 0.0, 20.0], [3, 3, 3, 3, 4, 3])
        self._gain = _lqr(a, b, np.diag(cost), 8.0 * np.eye(4))

    def act(self, observation: Array) -> Array:
        """(152, n) -> (4, n)."""
        s, hover = self.view(observation), self.airframe.hover_fraction
        far = np.maximum(np.linalg.norm(s.position, axis=0) / 0.5, 1)
        r, a = s.rotation, s.acceleration
        tilt = 0.5 * np.stack([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
        tilt[0] += a[1] / GRAVITY_M_S2  # the tilt that the reference's acceleration asks for
        tilt[1] -= a[0] / GRAVITY_M_S2
        x = np.concatenate([s.position / far, s.velocity, tilt, s.rate, s.rotor_speed - hover, s.integral])
        u = hover - self._gain @ x
        return np.clip(2 * u - 1, -1, 1).astype(np.float32)

    def _linearised(self) -> tuple[Array, Array]:
        """Discrete (19, 19) and (19, 4): position, velocity, tilt, rate, rotor speed, integral; command."""
        f, dt = self.airframe, 1 / self.contract.rate_hz
        integral = self.contract.integral
        assert integral is not None
        u = f.hover_fraction
        slope_n, slope_nm = (c[1] + 2 * c[2] * u for c in (f.thrust_n, f.torque_nm))
        x, y, _ = np.array(f.rotor_position_m).T
        j = np.array(f.inertia_kg_m2)[:, None]
        a, b = np.zeros((19, 19)), np.zeros((19, 4))
        a[0:3, 3:6] = a[6:9, 9:12] = np.eye(3)
        a[3, 7], a[4, 6] = GRAVITY_M_S2, -GRAVITY_M_S2
        a[5, 12:16] = slope_n / f.mass_kg
        a[9:12, 12:16] = np.stack([slope_n * y, -slope_n * x, slope_nm * np.array(f.rotor_torque_sign)]) / j
        lag = (f.rotor_rise_s + f.rotor_fall_s) / 2
        a[12:16, 12:16], b[12:16] = -np.eye(4) / lag, np.eye(4) / lag
        a[16:19, 0:3] = integral.gain_per_s * np.eye(3)
        return _discrete(a, b, dt)


def _discrete(a: Array, b: Array, dt: float) -> tuple[Array, Array]:
    """Exact discretisation for a command held during dt, by the series of the matrix exponential."""
    n, m = b.shape
    block = np.zeros((n + m, n + m))
    block[:n, :n], block[:n, n:] = a * dt, b * dt
    term = total = np.eye(n + m)
    for k in range(1, 20):
        term = term @ block / k
        total = total + term
    return total[:n, :n], total[:n, n:]


def _lqr(a: Array, b: Array, q: Array, r: Array) -> Array:
    """The gain K of u = -K x that minimises the sum of x'q x + u'r u, by iterating the Riccati equation."""
    p = q
    for _ in range(5000):
        k = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
        following = q + a.T @ p @ (a - b @ k)
        if np.abs(following - p).max() < 1e-10 * np.abs(p).max():
            break
        p = following
    return k
