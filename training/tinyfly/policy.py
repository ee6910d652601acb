"""The policy file: weights, contract, airframe, provenance and golden vectors, in one safetensors file.

safetensors holds tensors and a string map and cannot run code. Ours has tensors ``layer{i}.weight``,
``layer{i}.bias``, ``golden.observation`` (inputs, 256), ``golden.action`` (4, 256), and string metadata
``tinyfly`` (file version), ``contract``, ``airframe``, ``provenance`` (JSON each).
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfly.contract import Contract
from tinyfly.errors import UserError
from tinyfly.modal import ModalNetwork, modal
from tinyfly.network import Layer, act, act_exact

FILE_VERSION = "1"
GOLDEN_VECTORS = 256
MAX_BYTES = 16 << 20  # a tiny policy is 60 KB; refuse to map something that cannot be one
MAX_WIDTH, MAX_LAYERS = 512, 8

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one truth value: `crc32` says what it is
class Policy:
    """A trained policy and everything needed to run, export and judge it."""

    contract: Contract
    layers: tuple[Layer, ...]
    airframe: dict[str, Any]
    provenance: dict[str, Any]
    golden_observation: Array  # (inputs, 256)
    golden_action: Array  # (4, 256)
    modal: ModalNetwork | None = field(init=False)  # the bits of a policy with both mirrors

    def __post_init__(self) -> None:
        object.__setattr__(self, "modal", modal(self.contract, self.layers))

    @staticmethod
    def create(
        contract: Contract, layers: tuple[Layer, ...], airframe: dict[str, Any], provenance: dict[str, Any]
    ) -> Policy:
        """Check the network against its contract and draw the golden vectors."""
        layers = tuple(Layer(_float32(x.weight), _float32(x.bias)) for x in layers)
        _check_network(contract, layers)
        observation, none = golden_observations(contract), np.zeros((4, GOLDEN_VECTORS), np.float32)
        policy = Policy(contract, layers, airframe, provenance, observation, none)
        return replace(policy, golden_action=policy.act_exact(observation))

    def act(self, observation: Array) -> Array:
        """(inputs, n) network inputs -> (4, n) actions in [-1, 1]; fast."""
        self._require_columns(observation)
        return act(self.layers, observation)

    def act_exact(self, observation: Array) -> Array:
        """(inputs, n) -> (4, n); bit for bit what the chip computes."""
        self._require_columns(observation)
        return self.modal.act_exact(observation) if self.modal else act_exact(self.layers, observation)

    def _require_columns(self, observation: Array) -> None:
        if observation.ndim != 2 or len(observation) != self.contract.size:
            raise UserError(f"observations of shape {observation.shape}: expected ({self.contract.size}, n)")

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one step."""
        return sum(layer.weight.size for layer in self.layers)

    def crc32(self) -> int:
        """CRC-32 over the contract's text, then each layer's weight and bias (little-endian float32)."""
        crc = zlib.crc32(self.contract.to_json().encode())
        for layer in self.layers:
            crc = zlib.crc32(layer.weight.astype("<f4").tobytes(), crc)
            crc = zlib.crc32(layer.bias.astype("<f4").tobytes(), crc)
        return crc

    def save(self, path: str | Path) -> Path:
        """Write the file in one go: a reader sees the old one or the new one, never half of it."""
        from safetensors.numpy import save

        tensors = {"golden.observation": self.golden_observation, "golden.action": self.golden_action}
        for i, layer in enumerate(self.layers):
            tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"] = layer.weight, layer.bias
        metadata = {
            "tinyfly": FILE_VERSION,
            "contract": self.contract.to_json(),
            "airframe": json.dumps(self.airframe, sort_keys=True),
            "provenance": json.dumps(self.provenance, sort_keys=True),
        }
        data = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)
        return write_atomically(path, _sorted_header(data))

    @staticmethod
    def load(path: str | Path) -> Policy:
        """Read and check a policy file; raises UserError with one line."""
        path = Path(path)
        try:
            size = path.stat().st_size
            if not path.is_file() or size > MAX_BYTES:
                raise UserError(
                    f"{path} is not a tinyfly policy: expected a file of at most {MAX_BYTES >> 20} MB"
                )
            data = path.read_bytes()
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: train one with `tinyfly train --out {path}`") from None
        except OSError as e:
            raise UserError(f"{path} cannot be read: {e.strerror}") from None
        return _parse(path, data)


def golden_observations(contract: Contract, seed: int = 0) -> Array:
    """(inputs, 256): ordinary, large, saturating and extreme inputs; every one finite."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((contract.size, GOLDEN_VECTORS), dtype=np.float32)
    x[:, 128:192] *= np.exp(rng.uniform(-4, 6, 64)).astype(np.float32)
    x[:, 192:240] = rng.choice(np.array([-1, 0, 1], np.float32), (contract.size, 48))
    x[:, 240:248] = np.float32(1e-40)  # subnormal
    x[:, 248:252] *= np.float32(1e20)
    x[:, 252], x[:, 253] = np.float32(3e38), np.float32(-3e38)
    x[:, 254], x[:, 255] = np.float32(0.0), np.float32(-0.0)
    return x


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write beside the target, then rename over it."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as f:
            try:
                f.write(data)
                f.flush()
                os.fchmod(f.fileno(), 0o644)
                os.replace(f.name, path)
            except BaseException:
                os.unlink(f.name)
                raise
    except OSError as e:
        raise UserError(f"{path} cannot be written: {e.strerror}") from None
    return path


def _parse(path: Path, data: bytes) -> Policy:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path} is not a tinyfly policy, or is damaged: {e}") from None
    if metadata.get("tinyfly") != FILE_VERSION:
        found = metadata.get("tinyfly", "none")
        raise UserError(f"{path} is not a tinyfly policy (file version {found}, expected {FILE_VERSION})")
    try:
        contract = Contract.from_json(metadata["contract"])
        airframe, provenance = json.loads(metadata["airframe"]), json.loads(metadata["provenance"])
        count = sum(name.startswith("layer") and name.endswith(".weight") for name in tensors)
        layers = tuple(Layer(tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]) for i in range(count))
        golden = tensors.pop("golden.observation"), tensors.pop("golden.action")
    except (KeyError, ValueError) as e:
        raise UserError(f"{path} is damaged: {e} is missing or does not read") from None
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    unknown = set(tensors) - {f"layer{i}.{part}" for i in range(count) for part in ("weight", "bias")}
    if unknown:  # a layer of another kind, without which this would be another network
        raise UserError(
            f"{path} holds what no part of tinyfly knows: {', '.join(map(repr, sorted(unknown)))}"
        )
    try:
        _check_network(contract, layers)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    shapes = (contract.size, GOLDEN_VECTORS), (4, GOLDEN_VECTORS)
    if any(g.shape != s or g.dtype != np.float32 for g, s in zip(golden, shapes, strict=True)):
        raise UserError(f"{path}: the golden vectors do not have shapes {shapes}")
    policy = Policy(contract, layers, airframe, provenance, *golden)
    if policy.act_exact(golden[0]).tobytes() != golden[1].tobytes():
        raise UserError(
            f"{path} was made by another version of tinyfly, whose last bits are others: train it again"
        )
    return policy


def _check_network(contract: Contract, layers: tuple[Layer, ...]) -> None:
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise UserError(f"a policy has 1 to {MAX_LAYERS} layers, not {len(layers)}")
    width = contract.size
    for i, layer in enumerate(layers):
        w, b = layer.weight, layer.bias
        if w.ndim != 2 or b.shape != w.shape[:1] or w.dtype != np.float32 or b.dtype != np.float32:
            raise UserError(f"layer {i} is not a float32 matrix with its bias (shapes {w.shape}, {b.shape})")
        if w.shape[1] != width:
            raise UserError(f"layer {i} takes {w.shape[1]} inputs where {width} are given")
        if not (np.isfinite(w).all() and np.isfinite(b).all()):
            raise UserError(f"layer {i} holds a number that is not finite")
        width = w.shape[0]
        if not 1 <= width <= MAX_WIDTH:
            raise UserError(f"layer {i} has {width} outputs; 1 to {MAX_WIDTH} are supported")
    if width != 4:
        raise UserError(f"the last layer has {width} outputs; a quadrotor has 4 motors")


def _float32(x: Any) -> Array:
    return np.ascontiguousarray(x, np.float32)


def _sorted_header(data: bytes) -> bytes:
    """The same file with its metadata keys sorted: the library orders them by a per-process hash."""
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + n :]
