"""The harness itself: it says what is wrong with a port in seconds, and leaves no emulator behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tinyfly.errors import UserError
from tinyfly.evaluate import airframe_of
from tinyfly.network import Layer
from tinyfly.policy import Policy
from tinyfly_hil import campaign, emulator, protocol, suite, target
from tinyfly_hil.bridge import serial_line
from tinyfly_hil.build import is_ours
from tinyfly_hil.link import Link, TargetError
from tinyfly_hil.protocol import Decoder, encode
from tinyfly_hil.target import Target, built_for, open_target

PROMISED_S = 3.0


@pytest.fixture(scope="module")
def policy_path(policy, tmp_path_factory):
    """The small random policy as a file: what flies well does not matter here."""
    return policy.save(tmp_path_factory.mktemp("harness") / "small.policy")


@contextmanager
def device(answer):
    """A TCP device: ``answer(data)`` gives what it says to what it hears; its URL."""

    def serve():
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(answer(data))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"


def complaint(port, policy_path):
    """What open_target says, and that it says it in time and in one line."""
    start = time.monotonic()
    with pytest.raises(UserError) as error, open_target(port, policy_path):
        pass
    assert time.monotonic() - start < PROMISED_S
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_silent_port(policy_path):
    with device(lambda data: b"") as url:
        assert "is silent" in complaint(url, policy_path)


def test_a_port_that_talks_garbage(policy_path):
    with device(lambda data: b"AT+OK\r\nlogin: \0\xff\xfe") as url:
        assert "not in tinyfly's protocol" in complaint(url, policy_path)


def test_a_port_that_echoes(policy_path):
    with device(lambda data: data) as url:
        assert "answers hello with hello: an echo" in complaint(url, policy_path)


def test_another_version_of_the_protocol(policy_path):
    other = protocol.seal(bytes([protocol.VERSION + 1, 0x81, 1, 0]) + bytes(20))
    with device(lambda data: other) as url:
        assert f"version {protocol.VERSION + 1} of the protocol" in complaint(url, policy_path)


def chip(policy, **different):
    """A device that knows nothing but its identity, and would be armed by anything."""
    fields = dict.fromkeys([f.name for f in protocol.TABLE.messages["identity"].body], 0)
    fields |= {"target": "fake", "firmware": "0", "policy": "mine", "inputs": policy.contract.size}
    fields |= {"policy_crc": policy.crc32(), "contract_hash": policy.contract.hash()} | different
    decoder, heard = Decoder(), []

    def answer(data):
        frames = decoder.feed(data)
        heard.extend(f.name for f in frames)
        return b"".join(encode("identity", f.sequence, **fields) for f in frames if f.name == "hello")

    return answer, heard


def test_a_chip_with_another_contract_is_refused_by_name_before_anything_is_armed(policy, policy_path):
    answer, heard = chip(policy, contract_hash=1, inputs=22)
    with device(answer) as url:
        said = complaint(url, policy_path)
    assert "'mine' with another contract (22 inputs" in said
    assert set(heard) == {"hello"}


def test_a_chip_with_other_weights_is_refused_by_name_before_anything_is_armed(policy, policy_path):
    answer, heard = chip(policy, policy_crc=1)
    with device(answer) as url:
        assert "'mine' (crc 00000001)" in complaint(url, policy_path)
    assert set(heard) == {"hello"}


@pytest.mark.parametrize("lost", [1, 3])
def test_a_stop_whose_answer_does_not_come_is_sent_again(policy, lost):
    decoder, heard = Decoder(), []

    def answer(data):
        stops = [f for f in decoder.feed(data) if f.name == "stop"]
        heard.extend(stops)
        wanted = stops if len(heard) > lost else []
        return b"".join(encode("status", f.sequence, state=8, reason=0, flags=0) for f in wanted)

    with device(answer) as url:
        link = Link(url)
        assert Target(link, None, url, airframe_of(policy)).stop().state == 8
        link.close()
    assert len({f.sequence for f in heard}) == lost + 1


def test_a_port_that_does_not_exist(policy_path):
    assert "/dev/ttyNONE99 does not open" in complaint("/dev/ttyNONE99", policy_path)


def test_nothing_listens(policy_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"socket://127.0.0.1:{server.getsockname()[1]}"
    assert "does not open" in complaint(address, policy_path)


@pytest.mark.parametrize(
    "where", ["localhost", "", ":4000", "localhost:", "localhost:x", "localhost:70000", "[::1]"]
)
def test_a_socket_without_host_and_port_is_told_what_one_looks_like(policy_path, where):
    said = complaint(f"socket://{where}", policy_path)
    assert (
        said
        == f"port socket://{where} is incomplete: expected socket://HOST:PORT, such as socket://localhost:4000"
    )


def test_auto_needs_exactly_one_port(monkeypatch, policy_path):
    monkeypatch.setattr(target, "usb_ports", lambda: ["/dev/ttyUSB0", "/dev/ttyUSB1"])
    assert "found /dev/ttyUSB0, /dev/ttyUSB1" in complaint("auto", policy_path)


def test_a_chip_that_stops_answering_is_reported_with_its_last_frames(policy, policy_path):
    with open_target("host", policy_path) as silent:
        silent.link.write(encode("hello", 60_000))  # its answer is nobody's
        with pytest.raises(TargetError) as error:
            silent.link.wait(lambda f: f.name == "stats", "stats", 0.2)
    assert "did not answer stats within 0.2 s" in str(error.value)
    assert error.value.transcript[-1].startswith("< identity #60000")


def test_who_asks_and_never_listens_loses_answers_and_does_not_stop_the_chip(policy_path):
    with emulator.host(built_for("host", policy_path).elf) as running, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(10)  # a chip that waits for us to listen is not read from: this is what would end
        host, _, port = running.url.removeprefix("socket://").rpartition(":")
        line.connect((host, int(port)))
        line.sendall(encode("hello", 1) * 100_000)  # 9 MB of answers, more than goes into a socket
        line.sendall(bytes(20_000_000))  # read, and of no meaning
        decoder, answers = Decoder(), []
        while not answers:
            line.sendall(encode("get_stats", 2))  # the one before may be among the lost
            answers = [f.body for f in decoder.feed(line.recv(1 << 20)) if f.name == "stats"]
    assert answers[0].frames > 100_000 and answers[0].overruns > 0


def test_a_busy_machine_has_as_long_to_write_as_the_chip_to_answer(policy_path):
    with open_target("host", policy_path) as mine:
        assert mine.link._port.write_timeout == mine.link.answer_s == emulator.ANSWER_S


def test_a_real_build_of_another_policy_is_refused(policy, policy_path, tmp_path):
    *inner, last = policy.layers
    layers = (*inner, Layer(last.weight, -last.bias))
    other = Policy.create(policy.contract, layers, policy.airframe, policy.provenance)
    path = other.save(tmp_path / "other.policy")
    with emulator.host(built_for("host", path).elf) as running:
        assert f"(crc {other.crc32():08x}), not" in complaint(running.url, policy_path)


def test_an_image_that_is_there_already_is_flown_as_it_is(policy_path, tmp_path):
    image = shutil.copy(built_for("host", policy_path).elf, tmp_path / "mine")
    with open_target(f"line:host:{image}", policy_path) as mine:
        assert mine.build.elf == image
        assert mine.with_image("other.elf") == "line:host:other.elf"
    assert is_ours(image)


@pytest.mark.parametrize(
    ("image", "said"),
    [("missing.elf", "does not read (No such file"), ("text.elf", "not an ELF file"), ("mine", "runs ARM")],
)
def test_an_image_that_cannot_run_is_refused_by_name(policy_path, tmp_path, image, said):
    (tmp_path / "text.elf").write_text("firmware")
    shutil.copy(built_for("host", policy_path).elf, tmp_path / "mine")
    assert said in complaint(f"qemu:{tmp_path / image}", policy_path)
    assert is_ours(tmp_path / image) == (image == "mine")


# ---------------------------------------------------------------- emulators end


def family(pid):
    """A process and its children."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [pid, *map(int, f.read().split())]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


CHILD = """
import signal, sys
from pathlib import Path
from tinyfly_hil.target import open_target
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits SIG_IGN
with open_target(sys.argv[1], Path(sys.argv[2])) as target:
    print(target.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("port", ["qemu", "host"])
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGINT"])
def test_an_emulator_ends_with_whoever_started_it(policy_path, port, ending):
    built_for(port, policy_path)
    arguments = [sys.executable, "-c", CHILD, port, str(policy_path)]
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, text=True, **quiet) as child:
        said = child.stdout.readline()
        assert said, child.stderr.read()
        pids = family(int(said))
        assert all(map(alive, pids))
        child.send_signal(getattr(signal, ending))
        child.wait(10)
    deadline = time.monotonic() + 5
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "the emulator outlives its owner"
        os.sched_yield()


def test_an_emulator_that_dies_at_once_is_reported_with_its_last_words():
    with pytest.raises(UserError, match="did not come up; it said: no such machine"):
        emulator.Emulator(["sh", "-c", "echo no such machine; exit 1"], r"port (\d+)")


# ---------------------------------------------------------------- the imitated line


def test_the_imitated_line_tears_frames_apart_and_keeps_to_its_rate():
    payload = os.urandom(4000)
    with device(lambda data: data) as url, serial_line(url, baud=921_600) as line:
        start, reads = time.monotonic(), []
        host, _, port = line.removeprefix("socket://").rpartition(":")
        with socket.create_connection((host, int(port))) as s:
            s.sendall(payload)
            while sum(map(len, reads)) < len(payload):
                reads.append(s.recv(4096))
        assert b"".join(reads) == payload
        assert len(reads) > 10
        assert time.monotonic() - start > len(payload) * 10 / 921_600


# ---------------------------------------------------------------- campaigns


def test_a_campaign_finds_the_same_on_one_core_and_on_two(policy_path, monkeypatch):
    found = []
    for n in (1, 2):
        monkeypatch.setattr(campaign, "cores", lambda n=n: n)
        found.append(campaign.run(policy_path, "host", 6).to_json())
    assert found[0] == found[1]
    assert found[0]["flights"] == sum(found[0]["ends"].values()) == 6


def test_a_chip_that_falls_silent_in_a_campaign_is_a_failure_and_gets_its_power_anew(
    policy_path, monkeypatch
):
    tried = []

    def silent_once(target, sequence, seed):
        tried.append(sequence)
        if len(tried) == 1:
            raise TargetError("silence")
        return campaign.Outcome([], "flying", "none")

    monkeypatch.setattr(campaign, "attempt", silent_once)
    monkeypatch.setattr(campaign, "cores", lambda: 1)
    told = []
    found = campaign.run(policy_path, "host", 2, on_failure=told.append).to_json()
    assert [failure.seed for failure in told] == [0]
    assert found["ends"] == {"lost (no answer)": 1, "flying (none)": 1}
    assert found["failures"][0]["broken"] == ["silence", "it did not happen again"]


# ---------------------------------------------------------------- the suite as `tinyfly hil` runs it

RUN = """
import json, sys
from pathlib import Path
from tinyfly_hil import suite
print("not for stdout", file=sys.stderr)
where, select, junit, workers = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
suite.TESTS = Path(sys.argv[5])
print(json.dumps(suite.run(where, "host", select=select, junit=junit, workers=workers)))
"""
KEYS = "target passed failed hover_error_m figure_eight_rmse_m instructions_per_step flash_bytes ram_bytes"


def run_suite(policy_path, select, junit, workers, tests=suite.TESTS):
    arguments = [sys.executable, "-c", RUN, policy_path, select, junit, str(workers), tests]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_the_suite_counts_what_passes_and_prints_nothing_on_stdout(policy_path, tmp_path, workers):
    result, _ = run_suite(policy_path, "self_test_compares or another_nonce", tmp_path / "hil.xml", workers)
    assert set(KEYS.split()) <= result.keys()
    assert (result["passed"], result["failed"], result["failures"]) == (2, 0, {})
    assert result["ram_bytes"] > 0 and result["round_trip_ms_max"] > 0
    assert (tmp_path / "hil.xml").read_text().count("<testcase") == 2
    assert [p.name for p in tmp_path.iterdir()] == ["hil.xml"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failure_is_reported_with_the_last_frames_whoever_ran_it(policy_path, tmp_path, workers):
    result, said = run_suite(policy_path, "thrown_start", tmp_path / "hil.xml", workers)  # it cannot fly
    assert result["failed"] == 1
    (report,) = result["failures"].values()
    assert "< control #" in report and "replay it:" in report
    assert report in said


@pytest.mark.parametrize("select", ["", "another_nonce"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_of_tests_that_does_not_import_is_a_failure_and_the_others_run(
    policy_path, tmp_path, workers, select
):
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(suite.TESTS / "test_identity.py", tests)
    (tests / "test_broken.py").write_text("import no_such_module\n\n\ndef test_never_seen(): ...\n")
    result, said = run_suite(policy_path, select, tmp_path / "hil.xml", workers, tests)
    assert result["failed"] == 1 and result["passed"] >= 1
    ((where, report),) = result["failures"].items()
    assert "test_broken" in where and "no_such_module" in report and report in said
    assert 'errors="1"' in (tmp_path / "hil.xml").read_text()


def collected(*flags):
    arguments = ["-c", os.devnull, "--rootdir", suite.TESTS, "--collect-only", "-q", *flags, suite.TESTS]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line for line in said.splitlines() if "::" in line}


def test_the_quick_suite_has_all_of_the_supervisor_the_inputs_and_the_set_points():
    """What the gate before propellers must not leave out: most mutants die of these."""
    whole, quick = collected(), collected("--quick")
    assert quick < whole
    for name in ("test_supervisor.py", "test_inputs.py", "test_setpoints.py"):
        assert any(name in test for test in quick)
        assert not [test for test in whole - quick if name in test]
