"""A learning curve for TensorBoard, next to other people's runs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyfly.errors import UserError
from tinyfly.learning import Row


def require_tensorboard() -> Any:
    """tensorboardX's writer; raises UserError when it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError("--log-dir needs tensorboardX: pip install -e '.[tensorboard]'") from None
    return SummaryWriter


def write_events(folder: Path, rows: Sequence[Row], provenance: dict[str, Any]) -> None:
    """One run: loss and error per update, at the wall time at which they were known.

    Written when training has ended: it takes seconds, and only then is it known which start it kept.
    """
    begun = time.time() - (rows[-1].wall_s if rows else 0.0)
    try:
        with require_tensorboard()(str(folder)) as writer:
            for update, row in enumerate(rows, 1):
                writer.add_scalar("train/loss", row.loss, update, walltime=begun + row.wall_s)
                writer.add_scalar("train/error_m", row.error_m, update, walltime=begun + row.wall_s)
            writer.add_text("provenance", json.dumps(provenance, indent=2, sort_keys=True))
    except OSError as e:
        raise UserError(f"{folder} cannot be written: {e.strerror}") from None
