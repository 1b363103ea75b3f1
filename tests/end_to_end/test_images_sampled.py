"""Images that `sample` draws are made again from what stands beside each: model, seed and index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from image_kit import shapes

import synthgen
from synthgen.data.images import ImageDataset
from synthgen.data.pixels import decode
from synthgen.engines import auto_images, load_engine
from synthgen.engines.choose import Choice
from synthgen.image_parts import folder_hash
from synthgen.judge import draw


@pytest.mark.parametrize(
    ("engine", "chosen", "inside"),
    [
        ("cwgan-gp", "", "cwgan-gp/generator"),
        ("auto", "cwgan-gp", "auto/winner/generator"),
        ("auto", "oversample", "auto/winner"),
        ("oversample", "", "oversample"),
    ],
)
def test_a_sampled_image_is_replayed_from_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, chosen: str, inside: str
) -> None:
    """Red when the folder that is hashed is that of the engine around what generates."""
    monkeypatch.setattr(auto_images, "choose_for_images", lambda *_, **__: Choice(chosen, 1.0, "in tests"))
    synthgen.balance(shapes({"bar": 40, "square": 24}), out=tmp_path / "out", holdout=0, engine=engine, steps=3)
    models = tmp_path / "out" / "current" / "model"
    draw(models, "square", 6, seed=3, out=tmp_path / "more.parquet")
    rows = pq.read_table(tmp_path / "more.parquet").to_pylist()
    (model,) = (folder for folder in models.rglob("*") if folder.is_dir() and folder_hash(folder) == rows[0]["model"])
    assert model == models / inside
    again = load_engine(model).sample("square", 6, seed=rows[0]["seed"])
    assert isinstance(again, ImageDataset)
    assert [row["index"] for row in rows] == list(range(6))
    for row in rows:
        assert np.array_equal(decode(row["image"]["bytes"], channels=1).pixels, again.images[row["index"]])
