"""pytest plugin: fixtures and options with which any test can fly a chip, wherever it is.

def test_my_chip_hovers(target):
    flight = fly(Scenario("hover", 5.0), Chip(target))
    assert flight.hover_error_m < 0.1
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tinyfly.policy import Policy
from tinyfly_export.arithmetic import Kernel
from tinyfly_export.kernels import kernel as export_kernel
from tinyfly_hil.link import TargetError
from tinyfly_hil.log import Recorder
from tinyfly_hil.protocol import name_of
from tinyfly_hil.target import Target, open_target

_TARGET = pytest.StashKey[Target]()
_RECORDER = pytest.StashKey[Recorder]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinyfly", "tinyfly: hardware in the loop")
    group.addoption(
        "--port", default="qemu", help="qemu, host, auto, line:qemu, a device, or socket://HOST:PORT"
    )
    group.addoption("--policy", type=Path, help="policy file on the chip; trained when not given")
    group.addoption(
        "--log", type=Path, metavar="DIR", help="write a log of every run here, not of failures alone"
    )
    group.addoption("--observations", type=int, metavar="N", help="random observations (1000; --quick: 50)")
    group.addoption(
        "--endurance", type=float, default=60.0, metavar="S", help="length of the long flight (60)"
    )
    group.addoption("--quick", action="store_true", help="leave out the tests marked thorough")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "thorough: many flights; left out by --quick and by `tinyfly fly`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        slow = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def port(request: pytest.FixtureRequest) -> str:
    """Where the chip is."""
    return request.config.getoption("--port")


@pytest.fixture(scope="session")
def policy_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy under test: --policy, or one trained now, once for all workers."""
    given: Path | None = request.config.getoption("--policy")
    if given is not None:
        return given
    path = _shared(tmp_path_factory, request) / "hil.policy"
    with _locked(path.with_suffix(".lock")):
        if not path.exists():
            from tinyfly.trainer import Settings, train

            train(Settings(task="crazyflie", airframe="crazyflie", seed=0)).save(path)
    return path


@pytest.fixture(scope="session")
def policy(policy_path: Path) -> Policy:
    """The policy under test, read."""
    return Policy.load(policy_path)


OpenPort = Callable[[str], AbstractContextManager[Target]]


@pytest.fixture(scope="session")
def open_port(policy_path: Path) -> OpenPort:
    """``with open_port("host") as other``: one more target with the same policy."""
    return lambda where: open_target(where, policy_path)


@pytest.fixture
def target(request: pytest.FixtureRequest, port: str, open_port: OpenPort) -> Iterator[Target]:
    """A freshly started, identified, disarmed chip with the policy under test."""
    with open_port(port) as target:
        recorder = Recorder()
        recorder.attach(target)
        request.node.stash[_TARGET], request.node.stash[_RECORDER] = target, recorder
        yield target
        request.node.user_properties.append(("round_trip_ms_max", 1e3 * target.link.round_trip_s_max))
        directory: Path | None = request.config.getoption("--log")
        if directory:
            recorder.save(directory / f"{request.node.name}.npz")


@cache
def _kernel(policy_path: Path, name: str) -> Kernel:
    return export_kernel(Policy.load(policy_path), name)


@pytest.fixture(scope="session")
def kernel_of(policy_path: Path) -> Callable[[Target], Kernel]:
    """The arithmetic that a chip says it runs the policy in: ``kernel_of(target).act`` has its bits."""
    return lambda target: _kernel(policy_path, name_of("kernel", target.identity.kernel))


@pytest.fixture
def observations(request: pytest.FixtureRequest) -> int:
    """How many random observations to compare: each is a long frame, slow on a serial line."""
    given: int | None = request.config.getoption("--observations")
    return given or (50 if request.config.getoption("--quick") else 1000)


@pytest.fixture
def endurance_s(request: pytest.FixtureRequest) -> float:
    """Simulated seconds of the long flight."""
    return request.config.getoption("--endurance")


@pytest.fixture
def recorder(request: pytest.FixtureRequest, target: Target) -> Recorder:
    """The log of this test's target."""
    return request.node.stash[_RECORDER]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """``figure("hover_error_m", 0.01)``: a measured number, kept in JUnit XML and in `tinyfly hil --json`."""

    def keep(name: str, value: float) -> None:
        request.node.user_properties.append((name, value))

    return keep


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    if report.when == "call" and report.failed and _TARGET in item.stash:
        target = item.stash[_TARGET]
        report.sections.append(("the last frames", "\n".join(target.link.transcript)))
        path = _log_folder(item) / f"{item.name}.npz"
        item.stash[_RECORDER].save(path)
        report.sections.append(
            ("log", f"{path}\nreplay it: tinyfly hil POLICY --port {target.port} --replay {path}")
        )
    elif report.failed and call.excinfo is not None and isinstance(call.excinfo.value, TargetError):
        report.sections.append(("the last frames", "\n".join(call.excinfo.value.transcript)))
    return report


def _log_folder(item: pytest.Item) -> Path:
    given: Path | None = item.config.getoption("--log")
    return given or Path("runs") / "hil"


def _shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
