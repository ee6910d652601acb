"""The contract: what a policy observes and what its outputs mean. Written once, here.

It travels in the policy file, is generated into C, and its hash is checked at every door. The network's
input is the concatenation of the contract's channels, in the contract's order; nobody types an index twice.

The action history comes first on purpose. The first layer's sum runs over its inputs in this order, so
everything that is known before a new state arrives (bias and old actions) can be summed ahead of time on the
chip without changing a single bit of the result.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from tinyfly.errors import UserError

VERSION = 3

# Every channel that exists: name -> (values, unit, meaning).
# "Error" always means state minus reference.
CHANNELS: dict[str, tuple[int | None, str, str]] = {
    "action_history": (None, "1", "past actions, oldest first, four per slot"),
    "position_error": (3, "m", "position minus reference position, world frame"),
    "rotation": (9, "1", "rotation matrix body to world, row-major"),
    "velocity_error": (3, "m/s", "velocity minus reference velocity, world frame"),
    "angular_velocity": (3, "rad/s", "angular velocity, body frame"),
    "position_integral": (3, "m", "integral of gain * clipped position error, world frame"),
    "specific_force": (3, "m/s^2", "specific force as `SpecificForce` says, less (0, 0, g), body frame"),
    "angular_acceleration": (3, "rad/s^2", "angular acceleration as `AngularAcceleration` says, body frame"),
    "reference_acceleration": (3, "m/s^2", "reference acceleration now, world frame"),
    "acceleration_preview": (None, "m/s^2", "reference acceleration at each preview time, world frame"),
}


@dataclass(frozen=True, slots=True)
class Channel:
    """A run of network inputs: ``input = scale * clip(value, -limit, limit)``; no limit when None."""

    name: str
    size: int
    scale: float = 1.0
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Integral:
    """Position-error integral kept by whoever runs the policy: dI/dt = gain * clip(error), |I| <= limit."""

    gain_per_s: float = 2.0
    error_limit_m: float = 0.2
    limit_m: float = 1.0  # anti-windup


@dataclass(frozen=True, slots=True)
class SpecificForce:
    """What an accelerometer would read, found from the velocity by whoever runs the policy.

    dy/dt = (R^T (dv/dt + g) - (0, 0, g) - y) / time_constant, |y| <= limit (each axis), and the slower
    dz/dt = (y - z) / trend. Seen is y + lead * d / trend with d = y - z, drawn towards 0 by ``quiet``: y, led
    by so many seconds along its trend. A trend of no more than ``quiet`` is the velocity's noise, which led
    would only make the commands jitter.
    Its x and y are drag and wind, which nothing else shows the policy; its z is the thrust that the rotors
    really give. Led by more than it lags, drag can be met before it grows, by a policy that cannot tell how
    much of a force is drag.
    """

    time_constant_s: float = 0.1
    trend_s: float = 0.15
    lead_s: float = 0.0
    quiet_m_s2: float = 0.0
    limit_m_s2: float = 40.0  # one absurd velocity must not be remembered for long


@dataclass(frozen=True, slots=True)
class AngularAcceleration:
    """How fast the angular velocity w changes, found by whoever runs the policy.

    da/dt = (dw/dt - a) / time_constant, |a| <= limit (each axis). It shows the torque that acts: what the
    rotors really give, and what a centre of mass that is off, or a bent blade, adds.
    """

    time_constant_s: float = 0.025
    limit_rad_s2: float = 500.0


@dataclass(frozen=True, slots=True)
class Contract:
    """What the policy sees and what it commands.

    The action is four numbers in [-1, 1], motors in Crazyflie order (M1 front right, M2 back right, M3 back
    left, M4 front left): rotor speed command = (action + 1) / 2 of full speed. Where a flight controller
    wants thrust, ``thrust_curve`` turns that speed fraction u into a fraction of full thrust,
    c0 + c1 u + c2 u^2, on the nominal airframe.

    ``rate_hz`` is the rate the policy was trained at. Run faster, the history still advances at
    ``history_rate_hz`` and its newest slot holds the mean of the actions since it last advanced. Run slower,
    or late, it advances by as many slots as have passed, each with the command that stood.
    """

    channels: tuple[Channel, ...]
    rate_hz: float = 100.0
    history_length: int = 32
    history_rate_hz: float = 100.0
    integral: Integral | None = None
    specific_force: SpecificForce | None = None
    angular_acceleration: AngularAcceleration | None = None
    preview_s: tuple[float, ...] = ()
    hover_action: float = 0.334
    thrust_curve: tuple[float, float, float] = (0.0, 0.0, 1.0)
    version: int = VERSION

    def __post_init__(self) -> None:
        _validate(self)

    @property
    def size(self) -> int:
        """Number of network inputs."""
        return sum(c.size for c in self.channels)

    @property
    def kept(self) -> dict[str, Integral | SpecificForce | AngularAcceleration | None]:
        """Channel name -> settings of what is kept from one state to the next; None where it is not."""
        return {
            "position_integral": self.integral,
            "specific_force": self.specific_force,
            "angular_acceleration": self.angular_acceleration,
        }

    def slices(self) -> dict[str, slice]:
        """Channel name -> where it lies in the network's input."""
        out, at = {}, 0
        for c in self.channels:
            out[c.name] = slice(at, at + c.size)
            at += c.size
        return out

    def to_json(self) -> str:
        """Canonical text: sorted keys, no spaces, shortest floats. The hash is taken over it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    def hash(self) -> int:
        """First 8 bytes of SHA-256 over the canonical text, as a little-endian integer."""
        return int.from_bytes(hashlib.sha256(self.to_json().encode()).digest()[:8], "little")

    @staticmethod
    def from_json(text: str) -> Contract:
        """Parse and check; raises UserError with the offending key."""
        try:
            raw = json.loads(text)
            if raw.get("version") != VERSION:
                raise UserError(
                    f"contract version {raw.get('version')} is not {VERSION}: retrain, or use its tinyfly"
                )
            raw = dict(raw)
            raw["channels"] = tuple(Channel(**c) for c in raw["channels"])
            raw["integral"] = Integral(**raw["integral"]) if raw["integral"] else None
            raw["specific_force"] = SpecificForce(**raw["specific_force"]) if raw["specific_force"] else None
            turning = raw["angular_acceleration"]
            raw["angular_acceleration"] = AngularAcceleration(**turning) if turning else None
            raw["preview_s"] = tuple(raw["preview_s"])
            raw["thrust_curve"] = tuple(raw["thrust_curve"])
            return Contract(**raw)
        except UserError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise UserError(f"the contract does not read: {e}") from None


def _validate(c: Contract) -> None:
    sizes = {name: size for name, (size, _, _) in CHANNELS.items()}
    sizes["action_history"] = 4 * c.history_length
    sizes["acceleration_preview"] = 3 * len(c.preview_s)
    names = [ch.name for ch in c.channels]
    if len(set(names)) != len(names):
        raise UserError(f"contract names a channel twice: {names}")
    for ch in c.channels:
        if ch.name not in sizes:
            raise UserError(f"contract names an unknown channel {ch.name!r}; known: {', '.join(CHANNELS)}")
        if ch.size != sizes[ch.name]:
            raise UserError(f"contract channel {ch.name} has size {ch.size}, expected {sizes[ch.name]}")
        if not (math.isfinite(ch.scale) and ch.scale > 0):
            raise UserError(f"contract channel {ch.name} has scale {ch.scale}; expected a positive number")
        if ch.limit is not None and not (math.isfinite(ch.limit) and ch.limit > 0):
            raise UserError(
                f"contract channel {ch.name} has limit {ch.limit}; expected a positive number or none"
            )
    if "action_history" in names and names[0] != "action_history":
        raise UserError(
            "contract: action_history must come first (its sum is taken ahead of time on the chip)"
        )
    if ("action_history" in names) != (c.history_length > 0):
        raise UserError(f"contract: history_length {c.history_length} disagrees with its channels")
    for name, settings in c.kept.items():
        if (name in names) != (settings is not None):
            raise UserError(f"contract: channel {name} and its settings come together")
    if not (20 <= c.rate_hz <= 1000 and 20 <= c.history_rate_hz <= c.rate_hz):
        raise UserError(f"contract rates {c.rate_hz} / {c.history_rate_hz} Hz are out of 20..1000 Hz")
    numbers = [*c.preview_s, c.hover_action, *c.thrust_curve]
    for settings in c.kept.values():
        if settings is not None:
            numbers += [getattr(settings, f.name) for f in fields(settings)]
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in numbers):
        raise UserError("contract holds a number that is not finite")
    if not -1 < c.hover_action < 1:
        raise UserError(
            f"contract: hover_action {c.hover_action:g} is not in -1..1: no thrust is left to steer with"
        )
    integral = c.integral
    if integral and min(integral.gain_per_s, integral.error_limit_m, integral.limit_m) <= 0:
        raise UserError("contract: the position integral's gain and limits must be positive")
    force = c.specific_force
    if force and not (
        force.time_constant_s >= 0.02
        and force.trend_s >= 0.1  # the longest step: a longer one than the trend would overshoot it
        and 0 <= force.lead_s <= 1
        and force.quiet_m_s2 >= 0
        and force.limit_m_s2 > 0
    ):
        raise UserError(
            "contract: specific_force needs a time constant of 0.02 s or more, a trend of 0.1 s or more, "
            "a lead of 0..1 s, a quiet of 0 or more and a positive limit"
        )
    turning = c.angular_acceleration
    if turning and not (turning.time_constant_s >= 0.005 and turning.limit_rad_s2 > 0):
        raise UserError(
            "contract: angular_acceleration needs a time constant of 0.005 s or more and a positive limit"
        )
    if not all(0 < lead <= 1 for lead in c.preview_s):
        raise UserError(f"contract preview times {c.preview_s} are out of 0..1 s")


def paper_contract(**overrides: Any) -> Contract:
    """The paper's 146 inputs (its order differs: state first), clipped as its firmware clips set-points."""
    return Contract(
        channels=(
            Channel("action_history", 4 * 32),
            Channel("position_error", 3, limit=0.6),
            Channel("rotation", 9),
            Channel("velocity_error", 3, limit=2.0),
            Channel("angular_velocity", 3),
        ),
        **overrides,
    )
