"""What the tests of reading share: a value that no error may show, and how refusals are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthgen.data.dataset import TabularDataset
from synthgen.data.read import load
from synthgen.errors import DataError, SynthgenError

SECRET = "S3CRET"


def refused(source: object, *says: str, kind: type[SynthgenError] = DataError, **options: object) -> str:
    """Load what must not load: the error is typed, one line, says what it should and shows no value."""
    with pytest.raises(SynthgenError) as caught:
        load(source, **options)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    assert len(text) < 500
    for part in says:
        assert part in text
    return text


def write(folder: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def columns_of(dataset: TabularDataset) -> dict[str, list[object]]:
    return dataset.table.to_pydict()
