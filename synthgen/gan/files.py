"""Tensors and JSON on disk: written whole or not at all, hashed, and checked before anything reads them.

Three files a stem: ``.safetensors``, ``.json`` and ``.sha256`` (readable by ``sha256sum -c``), the last written last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import safetensors.torch
from torch import Tensor

from synthgen.data.layout import ImageLayout, Layout, TableLayout
from synthgen.errors import EngineError

Meta = dict[str, object]

TENSORS, META, DIGESTS = ".safetensors", ".json", ".sha256"


class Damaged(EngineError):
    """A file is missing or its bytes are not those that were written."""


def write_checked(folder: Path, stem: str, *, tensors: Mapping[str, Tensor], meta: Meta) -> None:
    """Write ``tensors`` and ``meta`` under ``stem``, replacing what is there; raises EngineError where it cannot."""
    payload = {
        stem + TENSORS: safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}),
        stem + META: (json.dumps(meta, allow_nan=False, indent=1) + "\n").encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in payload.items():
            _replace(folder / name, content)
        _replace(folder / (stem + DIGESTS), _digests(payload))
    except OSError as error:
        raise EngineError(f"cannot write {stem} in {folder}: {error.strerror or error}") from error


def read_checked(folder: Path, stem: str) -> tuple[dict[str, Tensor], Meta]:
    """Return tensors (on the CPU) and meta of ``stem``; raises Damaged before a byte that was not written is used."""
    names = (stem + TENSORS, stem + META)
    try:
        payload = {name: (folder / name).read_bytes() for name in names}
        written = (folder / (stem + DIGESTS)).read_bytes()
    except OSError as error:
        raise Damaged(f"cannot read {stem} in {folder}: {error.strerror or error}") from error
    if written != _digests(payload):
        raise Damaged(f"{stem} in {folder} is damaged: its files do not have the sha256 that was written with them")
    return safetensors.torch.load(payload[names[0]]), cast("Meta", json.loads(payload[names[1]]))


def layout_to_json(layout: Layout) -> Meta:
    """Return ``layout`` as JSON values."""
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(layout).items()}
    return {"kind": type(layout).__name__, **values}


def layout_from_json(values: Meta) -> Layout:
    """Return the layout of ``layout_to_json``; raises EngineError for a kind that cannot be loaded."""
    if values.get("kind") == TableLayout.__name__:
        return TableLayout(cast("int", values["n_numeric"]), tuple(cast("list[int]", values["levels"])))
    if values.get("kind") == ImageLayout.__name__:
        return ImageLayout(cast("int", values["channels"]), cast("int", values["size"]))
    known = f"{TableLayout.__name__} and {ImageLayout.__name__}"
    raise EngineError(f"cannot load a model of layout {values.get('kind')!r}; known are {known}")


def _digests(payload: Mapping[str, bytes]) -> bytes:
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in payload.items()]
    return "".join(lines).encode()


def _replace(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` in one step that survives a crash: temporary file, fsync, rename, fsync."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
