"""What could have been flown: of the flights that a policy loses, how many does perfect foresight save?

    python benchmarks/attainable.py POLICY [--scenario recovery] [--airframes NAME ...] [--episodes 300]

Needs torch. The commands of each lost flight are improved along their gradient, from the policy's own on,
with the wind known beforehand: autograd through the equations of `dynamics`, once more in torch. They are
then flown in the truth, where the policy takes over when they end, and judged as any flight is. What is
saved could have been flown; what is not may still have been.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from quality import steady_wind
from torch import Tensor

from tinyfly.airframe import GRAVITY_M_S2, Airframe
from tinyfly.episodes import DT
from tinyfly.evaluate import SCENARIOS, UPRIGHT_AFTER_S, Case, Outcome, draw, judge
from tinyfly.flight import Conditions, Controller
from tinyfly.policy import Policy
from tinyfly.state import ROTOR_SPEED
from tinyfly_export.recorded import Recorder

Array = NDArray[np.floating]

SEED = 7  # evaluation's; the tables fly others
LATENCY_STEPS = {"recovery": 1, "thrown": 2}
SECONDS = {"recovery": 3.0, "thrown": 1.7}  # of commands that are improved
RATES = (0.008, 0.0005)  # of a command, in full speeds an iteration, first and last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("--scenario", choices=SECONDS, default="recovery")
    parser.add_argument("--airframes", nargs="*", default=["rltools_2025", "rltools_2026", "cf2x_L250"])
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--iterations", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    policy, scenario = Policy.load(arguments.policy), arguments.scenario
    print("| airframe | scenario | policy | could be flown, at least |\n|---|---|---|---|")
    for name in arguments.airframes:
        mine, theirs = saved(policy, Airframe.load(name), scenario, arguments.episodes, arguments.iterations)
        print(f"| {name} | {scenario} | {mine:.3f} | {theirs:.3f} |", flush=True)


def saved(
    policy: Policy, airframe: Airframe, name: str, episodes: int, iterations: int
) -> tuple[float, float]:
    """The shares that the policy flies, and that the policy or the improved commands fly."""

    def case() -> Case:
        return draw(SCENARIOS[name], airframe, policy.contract, episodes, SEED)

    recorder = Recorder(policy)
    won = _won(_fly(case(), recorder, name))
    lost = np.flatnonzero(~won)
    if not len(lost):
        return 1.0, 1.0
    seen = recorder.observations[: round(SECONDS[name] / DT) - LATENCY_STEPS[name]]
    actions = np.stack([policy.act(x)[:, lost] for x in seen])
    better = improve(Model(case(), lost), actions, name, iterations)
    won_then = _won(_fly(case(), Replay(policy, better, lost), name))
    return float(won.mean()), float((won | won_then).mean())


def _fly(case: Case, controller: Controller, name: str) -> Outcome:
    latency_s = LATENCY_STEPS[name] * DT
    flight = case.fly(controller, Conditions(latency_s=latency_s))
    return judge(name, SCENARIOS[name], flight, 1000 * latency_s)


def _won(outcome: Outcome) -> NDArray[np.bool_]:
    return outcome.recovered if outcome.scenario == "recovery" else outcome.survived


class Replay:
    """The policy, but for the first actions (steps, 4, k) of some vehicles."""

    def __init__(self, policy: Policy, actions: Array, columns: NDArray[np.intp]) -> None:
        self.contract, self.policy = policy.contract, policy
        self.ahead, self.columns = list(actions.astype(np.float32)), columns

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        action = self.policy.act(observation).copy()
        if self.ahead:
            action[:, self.columns] = self.ahead.pop(0)
        return action


class Model:
    """`dynamics` in torch, for some columns of a case: rows of a state as in `state`."""

    def __init__(self, case: Case, columns: NDArray[np.intp]) -> None:
        a = self.airframe = case.vehicle
        self.push = torch.tensor(steady_wind(case)[:, columns].astype(np.float64))
        self.start = torch.tensor(case.start[:, columns].astype(np.float64))
        self.rotor = float(case.start[ROTOR_SPEED].mean())
        self.mass = torch.tensor(a.mass_kg * case.mass[0, columns])
        x, y, _ = torch.tensor(a.rotor_position_m).T
        self.levers, self.turning = torch.stack([y, -x]), torch.tensor(a.rotor_torque_sign)[:, None]
        self.inertia, self.drag = torch.tensor(a.inertia_kg_m2)[:, None], torch.tensor(a.drag_n_s_m)[:, None]
        self.spin = a.rotor_inertia_kg_m2 * a.rotor_speed_max_rad_s

    def fly(self, commands: Tensor) -> Tensor:
        """(steps, 4, k) commands in [0, 1] -> (steps, 17, k) states."""
        x, states = self.start, []
        for c in commands:
            k1 = self._derivative(x, c)
            k2 = self._derivative(x + DT / 2 * k1, c)
            k3 = self._derivative(x + DT / 2 * k2, c)
            k4 = self._derivative(x + DT * k3, c)
            x = x + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            x = torch.cat([x[:3], x[3:7] / x[3:7].norm(dim=0), x[7:]])
            states.append(x)
        return torch.stack(states)

    def _derivative(self, state: Tensor, command: Tensor) -> Tensor:
        a, (w, x, y, z), velocity, rate, u = (
            self.airframe,
            state[3:7],
            state[7:10],
            state[10:13],
            state[13:17],
        )
        up = command > u
        k1, k2 = (torch.where(up, r, f) for r, f in zip(a.rotor_rise_per_s, a.rotor_fall_per_s, strict=True))
        u_rate = (command - u) * (k1 + k2 * (command + u))
        thrust, torque = (c[0] + c[1] * u + c[2] * u * u for c in (a.thrust_n, a.torque_nm))
        yaw = (self.turning * (torque + self.spin * u_rate)).sum(0)
        moment = torch.cat([self.levers @ thrust, yaw[None]]) + self.push[3:]
        momentum = self.inertia * rate
        momentum = torch.stack(
            [momentum[0], momentum[1], momentum[2] - self.spin * (self.turning * u).sum(0)]
        )
        rate_rate = (moment - torch.linalg.cross(rate, momentum, dim=0)) / self.inertia
        p, q, r = rate
        quaternion_rate = torch.stack(
            [-x * p - y * q - z * r, w * p + y * r - z * q, w * q + z * p - x * r, w * r + x * q - y * p]
        )
        body = torch.stack(
            [
                torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)]),
                torch.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)]),
                torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]),
            ]
        )  # the body's axes in the world: [axis, component]
        drag = ((body * velocity).sum(1) * self.drag)[:, None] * body
        force = body[2] * thrust.sum(0) - drag.sum(0) + self.push[:3]
        fall = torch.tensor([[0.0], [0.0], [GRAVITY_M_S2]])
        return torch.cat([velocity, quaternion_rate / 2, force / self.mass - fall, rate_rate, u_rate])


def improve(model: Model, actions: Array, name: str, iterations: int) -> Array:
    """(steps, 4, k) actions in [-1, 1], of the least cost that was met on the way."""
    commands = torch.tensor((actions.astype(np.float64) + 1) / 2).requires_grad_()
    before = torch.full((LATENCY_STEPS[name], *commands.shape[1:]), model.rotor)
    adam = torch.optim.Adam([commands], betas=(0.9, 0.98))
    least, best = torch.full(commands.shape[2:], torch.inf), commands.detach().clone()
    for i in range(iterations):
        cost = COSTS[name](model.fly(torch.cat([before, commands])))
        adam.zero_grad()
        cost.sum().backward()
        with torch.no_grad():
            better = cost < least
            least = torch.where(better, cost, least)
            best[..., better] = commands[..., better]
            size = commands.grad.square().mean((0, 1)).sqrt()
            commands.grad.div_(size.clamp(min=1e-12))  # a flight's own scale, as Adam's is each command's
            commands.grad[..., cost < 1e-9] = 0
        adam.param_groups[0]["lr"] = RATES[0] * (1 - i / iterations) + RATES[1]
        adam.step()
        with torch.no_grad():
            commands.clamp_(0, 1)
    return 2 * best.numpy() - 1


def _upright(states: Tensor) -> Tensor:
    return 1 - 2 * (states[..., 4, :] ** 2 + states[..., 5, :] ** 2)


def _recovery(states: Tensor) -> Tensor:
    """(k,) level and back at the end, with a little to spare."""
    end = states[-1]
    return 10 * torch.relu(end[:3].norm(dim=0) - 0.4) ** 2 + 40 * torch.relu(0.96 - _upright(states)[-1]) ** 2


def _thrown(states: Tensor) -> Tensor:
    """(k,) never 2 m away, and at the end slow and upright enough for the policy to take over."""
    away = (torch.relu(states[:, :3].norm(dim=1) - 1.9) ** 2).sum(0)
    fast = (torch.relu(states[-1, 7:10].abs() - 0.5) ** 2).sum(0) / 2
    turning = (torch.relu(states[-1, 10:13].abs() - 2) ** 2).sum(0) / 50
    return (
        away
        + fast
        + turning
        + 0.3 * (torch.relu(0.4 - _upright(states)[round(UPRIGHT_AFTER_S / DT) - 1 :]) ** 2).sum(0)
    )


COSTS: dict[str, Callable[[Tensor], Tensor]] = {"recovery": _recovery, "thrown": _thrown}

if __name__ == "__main__":
    main()
