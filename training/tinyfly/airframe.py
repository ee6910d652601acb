"""Airframes: what flies, as numbers with units, read from TOML files that say where each number comes from.

Frames and motor order are those of docs/conventions.md. A rotor's speed is a fraction u of full speed. Its
thrust and reaction torque are polynomials in u, and it follows its command c by

    du/dt = (c - u) (k1 + k2 (c + u)),    (k1, k2) = rotor_rise_per_s when c > u, else rotor_fall_per_s,

which is a first-order lag of 1/k1 seconds when k2 = 0, and the equation of the identified Crazyflies of the
package drone-models otherwise (there in rpm: k1 is the same, k2 is theirs times the full speed).
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyfly.errors import UserError

GRAVITY_M_S2 = 9.81
MIN_THRUST_TO_WEIGHT = 1.15  # below, a small tilt already costs altitude: nothing to train for
MAX_IDLE_TO_WEIGHT = 0.7  # of rotors at rest: thrust that no command can take away
MAX_DIP = 0.05  # below nought, of the full value: what a fit to measured points may show
MAX_BYTES = 1 << 16  # of a file
_FOLDER = Path(__file__).parent / "airframes"

Triple = tuple[float, float, float]
Quadruple = tuple[float, float, float, float]
Layout = tuple[Quadruple, Quadruple, Quadruple]  # roll, pitch, yaw levers of M1..M4


@dataclass(frozen=True, slots=True)
class Airframe:
    """A quadrotor: rigid body, four rotors, linear drag. Body frame x forward, y left, z up."""

    name: str
    mass_kg: float
    inertia_kg_m2: Triple  # about the body's axes
    rotor_position_m: tuple[Triple, Triple, Triple, Triple]  # M1..M4 from the centre of mass
    rotor_torque_sign: Quadruple  # reaction torque on the body about z
    rotor_speed_max_rad_s: float  # u = 1
    thrust_n: Triple  # one rotor: c0 + c1 u + c2 u^2
    torque_nm: Triple  # one rotor's reaction torque: c0 + c1 u + c2 u^2
    rotor_rise_per_s: tuple[float, float]  # k1, k2
    rotor_fall_per_s: tuple[float, float]
    rotor_inertia_kg_m2: float = 0.0  # of one propeller: spin-up torque and gyroscopic torque on the body
    drag_n_s_m: Triple = (0.0, 0.0, 0.0)  # force = -drag * velocity, along the body's axes

    def __post_init__(self) -> None:
        _check(self)

    @staticmethod
    def load(name_or_path: str | Path) -> Airframe:
        """An airframe by name (see ``names()``) or from the path of a TOML file; raises UserError."""
        known = str(name_or_path) in names()
        path = _FOLDER / f"{name_or_path}.toml" if known else Path(name_or_path)
        try:
            size = path.stat().st_size
            if not path.is_file() or size > MAX_BYTES:
                raise UserError(
                    f"{path} does not read as an airframe: expected a file of at most {MAX_BYTES >> 10} kB"
                )
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # with or without Windows' mark
        except FileNotFoundError:
            known_names = ", ".join(names())
            raise UserError(
                f"no airframe {str(name_or_path)!r}: expected one of {known_names}, or a TOML file"
            ) from None
        except (OSError, ValueError, RecursionError) as e:  # bad TOML and bad Unicode are ValueErrors
            reason = getattr(e, "strerror", None) or str(e)
            raise UserError(f"{path} does not read as an airframe: {reason}") from None
        try:
            return Airframe.from_dict({"name": path.stem} | raw)
        except UserError as e:
            raise UserError(f"{path}: {e}") from None
        except ValueError as e:  # a number of thousands of digits cannot even be shown
            raise UserError(f"{path} does not read as an airframe: {e}") from None

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> Airframe:
        """Inverse of ``to_dict``; refuses unknown and missing keys by name."""
        known = {f.name: f for f in fields(Airframe)}
        if unknown := sorted(set(raw) - set(known)):
            raise UserError(
                f"airframe key {unknown[0]!r} is unknown; the keys with units are: {', '.join(known)}"
            )
        for name, f in known.items():
            if name not in raw and f.default is MISSING:
                raise UserError(f"airframe key {name!r} is missing")
        return Airframe(**{k: _frozen(v) for k, v in raw.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, as kept in a policy file."""
        return asdict(self)

    def varied(
        self, mass_scale: float = 1.0, battery: float = 1.0, centre_m: tuple[float, float] = (0.0, 0.0)
    ) -> Airframe:
        """A heavier or weaker sister, or one out of balance.

        ``mass_scale`` multiplies the mass alone (payload at the centre). ``battery`` multiplies the thrust
        and torque that a command gives; a sagging battery does that by turning the rotors slower.
        ``centre_m`` is where the centre of mass lies instead, forward and left; inertia stays.
        """
        moved = [(x - centre_m[0], y - centre_m[1], z) for x, y, z in self.rotor_position_m]
        return replace(
            self,
            mass_kg=self.mass_kg * mass_scale,
            rotor_position_m=(moved[0], moved[1], moved[2], moved[3]),
            thrust_n=_scaled(self.thrust_n, battery),
            torque_nm=_scaled(self.torque_nm, battery),
        )

    @property
    def weight_n(self) -> float:
        return self.mass_kg * GRAVITY_M_S2

    @property
    def thrust_to_weight(self) -> float:
        """Thrust of four rotors at full speed over weight."""
        return 4 * sum(self.thrust_n) / self.weight_n

    @property
    def hover_fraction(self) -> float:
        """Rotor speed fraction u at which four rotors carry the weight; at most 1."""
        wanted = self.weight_n / 4
        if sum(self.thrust_n) <= wanted:
            return 1.0
        return float(speed_at(wanted, self.thrust_n)) if wanted > self.thrust_n[0] else 0.0

    @property
    def hover_action(self) -> float:
        """The action in [-1, 1] of hover."""
        return 2 * self.hover_fraction - 1

    @property
    def rotor_rise_s(self) -> float:
        """Time constant of a small rise in speed at hover."""
        return 1 / (self.rotor_rise_per_s[0] + 2 * self.rotor_rise_per_s[1] * self.hover_fraction)

    @property
    def rotor_fall_s(self) -> float:
        """Time constant of a small fall in speed at hover."""
        return 1 / (self.rotor_fall_per_s[0] + 2 * self.rotor_fall_per_s[1] * self.hover_fraction)

    @property
    def layout(self) -> Layout:
        """How each rotor M1..M4 turns the body about roll, pitch, yaw: its lever over the mean lever.

        Roll torque is sum y_i f_i, pitch torque -sum x_i f_i, yaw torque sum s_i t_i; all +-1 for an X.
        """
        x, y, _ = zip(*self.rotor_position_m, strict=True)
        return _of_mean_size(y), _of_mean_size([-e for e in x]), self.rotor_torque_sign

    @property
    def reaction_m(self) -> float:
        """A rotor's reaction torque over its thrust, at hover."""
        u = self.hover_fraction
        return float(np.polyval(self.torque_nm[::-1], u) / np.polyval(self.thrust_n[::-1], u))

    @property
    def thrust_curve(self) -> Triple:
        """Speed fraction u -> fraction of full thrust, as the contract carries it."""
        full = sum(self.thrust_n)
        c0, c1, c2 = self.thrust_n
        return (c0 / full, c1 / full, c2 / full)

    def require_flyable(self) -> None:
        """Raise UserError with the reason when this airframe cannot be flown."""
        if self.thrust_to_weight < MIN_THRUST_TO_WEIGHT:
            raise UserError(
                f"airframe {self.name} cannot fly: thrust/weight is {self.thrust_to_weight:.2f}, at least "
                f"{MIN_THRUST_TO_WEIGHT} is needed; check mass_kg and thrust_n (newton per rotor)"
            )
        if 4 * self.thrust_n[0] > MAX_IDLE_TO_WEIGHT * self.weight_n:
            raise UserError(
                f"airframe {self.name} cannot come down: its rotors at rest would push with "
                f"{self.thrust_n[0]:.3g} N each, and its weight is {self.weight_n:.3g} N; "
                f"check the first number of thrust_n (newton per rotor)"
            )
        needed_n = np.linalg.solve([(1, 1, 1, 1), *self.layout], (self.weight_n, 0, 0, 0))
        for i, f in enumerate(needed_n):
            if not 0 <= f <= sum(self.thrust_n):
                raise UserError(
                    f"airframe {self.name} cannot hover level: M{i + 1} would have to push with {f:.3g} N "
                    f"(0 to {sum(self.thrust_n):.3g} N); check rotor_position_m, from the centre of mass"
                )


def speed_at(thrust: ArrayLike, curve: ArrayLike) -> NDArray[np.float64]:
    """The rotor speed fraction u at which c0 + c1 u + c2 u^2 is ``thrust``, where the curve rises.

    Numbers or arrays that broadcast; N, or shares of full thrust, as ``curve`` (c0, c1, c2) is.
    """
    c0, c1, c2 = np.asarray(curve, np.float64)
    above = thrust - c0
    root = np.sqrt(np.maximum(c1 * c1 + 4 * c2 * above, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # One root, two forms: where c1 is negative the first cancels; where c2 is 0 the second has no value.
        rising = 2 * above / np.where(c1 + root > 0, c1 + root, 1)
        return np.where(c1 < 0, (root - c1) / (2 * c2), rising)


def names() -> list[str]:
    """The airframes that come with tinyfly."""
    return sorted(p.stem for p in _FOLDER.glob("*.toml"))


def _of_mean_size(levers: Sequence[float]) -> Quadruple:
    mean = sum(map(abs, levers)) / 4
    a, b, c, d = (lever / mean for lever in levers)
    return (a, b, c, d)


def _scaled(c: Triple, factor: float) -> Triple:
    return (c[0] * factor, c[1] * factor, c[2] * factor)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


# Quadrotors from a few grams to a few kilograms: wide enough for any, tight enough to catch grams.
_RANGES: dict[str, tuple[tuple[int, ...], float, float]] = {
    "mass_kg": ((), 1e-3, 20.0),
    "inertia_kg_m2": ((3,), 1e-8, 2.0),
    "rotor_position_m": ((4, 3), -1.0, 1.0),
    "rotor_torque_sign": ((4,), -1.0, 1.0),
    "rotor_speed_max_rad_s": ((), 50.0, 20000.0),
    "thrust_n": ((3,), -100.0, 200.0),
    "torque_nm": ((3,), -10.0, 20.0),
    "rotor_rise_per_s": ((2,), 0.0, 1000.0),
    "rotor_fall_per_s": ((2,), 0.0, 1000.0),
    "rotor_inertia_kg_m2": ((), 0.0, 1e-2),
    "drag_n_s_m": ((3,), 0.0, 10.0),
}


def _check(a: Airframe) -> None:
    if not (isinstance(a.name, str) and a.name):
        raise UserError(f"airframe name {a.name!r} is not a word")
    for key, (shape, low, high) in _RANGES.items():
        _check_numbers(key, getattr(a, key), shape, low, high)
    ix, iy, iz = a.inertia_kg_m2
    if max(ix, iy, iz) > (ix + iy + iz) / 2 * (1 + 1e-9):
        raise UserError(
            f"inertia_kg_m2 {a.inertia_kg_m2}: no body has one moment larger than the other two's sum"
        )
    if any(abs(s) != 1 for s in a.rotor_torque_sign) or sum(a.rotor_torque_sign) != 0:
        raise UserError(f"rotor_torque_sign {a.rotor_torque_sign}: expected two +1 and two -1")
    x, y, _ = zip(*a.rotor_position_m, strict=True)
    if not any(x) or not any(y) or abs(np.linalg.det([(1, 1, 1, 1), *a.layout])) < 1e-3:
        raise UserError(
            f"rotor_position_m {a.rotor_position_m} with rotor_torque_sign {a.rotor_torque_sign}: "
            f"rotors so placed cannot turn the body about all three axes"
        )
    for key in ("thrust_n", "torque_nm"):
        c0, c1, c2 = getattr(a, key)
        if not (c0 >= 0 and c2 >= 0 and c0 + c1 + c2 > 0 and c1 + 2 * c2 > 0):
            raise UserError(
                f"{key} {(c0, c1, c2)}: c0 + c1 u + c2 u^2 must be positive and rising at u = 1, c0, c2 >= 0"
            )
        lowest = min(max(-c1 / (2 * c2), 0.0), 1.0) if c2 else 0.0
        if c0 + lowest * (c1 + lowest * c2) < -MAX_DIP * (c0 + c1 + c2):
            raise UserError(f"{key} {(c0, c1, c2)}: c0 + c1 u + c2 u^2 is negative at u = {lowest:.2g}")
    for key in ("rotor_rise_per_s", "rotor_fall_per_s"):
        if sum(getattr(a, key)) < 1:
            raise UserError(f"{key} {getattr(a, key)}: slower than one per second; give 1 / time constant")


def _check_numbers(key: str, value: Any, shape: tuple[int, ...], low: float, high: float) -> None:
    if shape:
        if not isinstance(value, tuple) or len(value) != shape[0]:
            raise UserError(f"{key} must be {' x '.join(map(str, shape))} numbers, not {value!r}")
        for item in value:
            _check_numbers(key, item, shape[1:], low, high)
    elif not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{key} holds {value!r}; expected a number from {low:g} to {high:g}")
