"""Checkpoints of a training run: the last two kept, hashed, refused where they are of another run. Torch only."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from synthgen.errors import ConfigError
from synthgen.gan.files import DIGESTS, META, TENSORS, Damaged, Meta, read_checked, write_checked
from synthgen.gan.state import History, Snapshot

SCHEMA: Final = 2
_KEPT: Final = 2
_NAME: Final = re.compile(r"\.?(step-(\d{8}))\.(?:safetensors|json|sha256)(?:\.tmp)?")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A snapshot of the run and the ``seconds`` it had taken."""

    snapshot: Snapshot
    seconds: float


class CheckpointFolder:
    """The checkpoints of one run in ``folder``; ``key`` is all that has to be equal for a run to be the same."""

    def __init__(self, folder: Path, *, key: Meta) -> None:
        self._folder = folder
        self._key: Meta = {"schema": SCHEMA, **key}

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all but the last two; raises EngineError where the disk refuses."""
        snapshot = checkpoint.snapshot
        meta: Meta = {
            "key": self._key,
            "step": snapshot.step,
            "halvings": snapshot.halvings,
            "history": snapshot.history,
            "seconds": checkpoint.seconds,
        }
        write_checked(self._folder, f"step-{snapshot.step:08d}", tensors=snapshot.tensors, meta=meta)
        old = [stem for stem in self._stems() if stem <= f"step-{snapshot.step:08d}"][_KEPT:]
        for path in self._folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and (match[1] in old or path.name.endswith(".tmp")):
                path.unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, None without any.

        A damaged one is passed over with a warning. Raises ConfigError, naming the key, where it is of another run.
        """
        for stem in self._stems():
            try:
                tensors, meta = read_checked(self._folder, stem)
            except Damaged as error:
                logger.warning("checkpoint passed over: %s", error)
                continue
            self._compare(stem, cast("Meta", meta["key"]))
            snapshot = Snapshot(
                tensors,
                step=cast("int", meta["step"]),
                halvings=cast("int", meta["halvings"]),
                history=cast("History", meta["history"]),
            )
            return Checkpoint(snapshot, seconds=cast("float", meta["seconds"]))
        return None

    def _stems(self) -> list[str]:
        """The stems of which any file is there, newest first."""
        if not self._folder.is_dir():
            return []
        names = (path.name for path in self._folder.iterdir() if path.name.endswith((TENSORS, META, DIGESTS)))
        return sorted({match[1] for name in names if (match := _NAME.fullmatch(name))}, reverse=True)

    def _compare(self, stem: str, found: Meta) -> None:
        mine, theirs = dict(_flat(self._key)), dict(_flat(found))
        for name in [*mine, *(theirs.keys() - mine.keys())]:
            if mine.get(name) != theirs.get(name):
                raise ConfigError(
                    f"checkpoint {stem} in {self._folder} is of another run: {name} is {theirs.get(name)!r} there and "
                    f"{mine.get(name)!r} now; train with the former, or into an empty folder"
                )


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    out: list[tuple[str, object]] = []
    for name, value in values.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
        out += inner
    return out
