"""Feed ``synthgen.load`` damaged files and odd frames: it answers with rows or with a SynthgenError, nothing else.

    python benchmarks/fuzz_load.py --minutes 10 --seed 0

Prints how many inputs were tried, read and refused, and every other exception with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import io
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import synthgen
from synthgen.data.notes import notes_of
from synthgen.errors import SynthgenError

Draw = random.Random
CELLS: tuple[Callable[[Draw], object], ...] = (
    lambda _: None,
    lambda draw: draw.random() * 10 ** draw.randint(-300, 300),
    lambda draw: draw.choice([float("nan"), float("inf"), -0.0, 5e-324]),
    lambda draw: draw.randint(-(2 ** draw.choice([3, 31, 63, 70])), 2 ** draw.choice([3, 31, 63, 70])),
    lambda draw: draw.choice([True, False]),
    lambda draw: "".join(chr(draw.choice([draw.randint(0, 0x24F), 0xD800, 0x1F600, 9, 10])) for _ in range(4)),
    lambda draw: bytes(draw.randbytes(3)),
    lambda draw: Decimal(draw.randint(-(10**20), 10**20)).scaleb(draw.randint(-5, 5)),
    lambda draw: datetime.date.fromordinal(draw.randint(1, 3_652_059)),
    lambda draw: datetime.datetime.fromordinal(draw.randint(1, 3_652_059)),
    lambda _: datetime.datetime(2024, 3, 31, 1, 30, tzinfo=datetime.UTC),
    lambda draw: datetime.timedelta(seconds=draw.randint(-(10**13), 10**13)),
    lambda draw: datetime.time(draw.randint(0, 23)),
    lambda draw: draw.choice(
        [[1], {"a": 1}, {1}, (1, 2), 1j, object(), pd.NaT, pd.NA, np.float16(1), pd.Period("2020")]
    ),
)
DTYPES = ("int8", "uint64", "float16", "Int64", "Float32", "boolean", "string", "category", "datetime64[s]", "bool")


@dataclass
class Tally:
    """What came of the inputs so far; ``bare`` are the exceptions that should not have come."""

    tried: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    bare: list[str] = field(default_factory=list)


def run(*, seconds: float, seed: int) -> Tally:
    """Try inputs for ``seconds``; input k of a seed is always the same."""
    tally, until = Tally(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while time.monotonic() < until:
            _try(Draw(f"{seed} {tally.tried}"), Path(folder), tally)
            tally.tried += 1
    return tally


def _try(draw: Draw, folder: Path, tally: Tally) -> None:
    try:
        make = draw.choice([_parquet, _parquet, _parquet, _text, _text, _zipped, _frame, _frame, _arrow])
        source = make(draw, folder)
        dataset = synthgen.load(source, label="label", inf=draw.choice(["error", "nan"]))  # type: ignore[arg-type]
        dataset.counts(), dataset.fingerprint(), notes_of(dataset)
        tally.read += 1
    except SynthgenError as error:
        tally.refused[type(error).__name__] += 1
        text = str(error)
        if "\n" in text or len(text) > 2_000:
            tally.bare.append(f"input {tally.tried}: a message of {len(text)} letters: {text[:300]!r}")
    except Exception as error:
        tally.bare.append(f"input {tally.tried}: {type(error).__name__}: {str(error)[:300]!r}")


def _table(draw: Draw) -> pa.Table:
    n = draw.choice([1, 5, 40, 150])
    columns: dict[str, pa.Array] = {}
    kinds = (pa.int16(), pa.float32(), pa.string(), pa.date32(), pa.timestamp("us", "Europe/Berlin"), pa.bool_())
    for k in range(draw.randint(0, 4)):
        kind = draw.choice(kinds)
        values = pa.array([draw.choice([None, draw.randint(0, 50)]) for _ in range(n)], pa.int64())
        if kind == pa.string():
            columns[f"c{k}"] = draw.choice([values.cast(kind), values.cast(kind).dictionary_encode()])
        elif pa.types.is_temporal(kind):
            memory = pa.int32() if kind.bit_width == 32 else pa.int64()
            columns[f"c{k}"] = values.cast(memory).view(kind)
        else:
            columns[f"c{k}"] = values.cast(kind)
    columns["label"] = pa.array([draw.choice(["a", "b"]) for _ in range(n)])
    return pa.table(columns)


def _mutated(draw: Draw, data: bytes) -> bytes:
    torn = bytearray(data)
    for _ in range(draw.choice([0, 0, 1, 1, 2, 8, 64])):
        at = draw.randrange(len(torn) + 1) if draw.random() < 0.6 else max(0, len(torn) - draw.randint(1, 600))
        change = draw.randrange(5)
        if change == 0 and torn:
            torn[at % len(torn)] ^= 1 << draw.randrange(8)
        elif change == 1 and torn:
            torn[at % len(torn)] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, 10, 34, 44])
        elif change == 2:
            del torn[at : at + draw.randint(1, 50)]
        elif change == 3:
            torn[at:at] = draw.randbytes(draw.randint(1, 20))
        else:
            piece = torn[at : at + draw.randint(1, 100)]
            torn[at:at] = piece
    return bytes(torn)


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _parquet(draw: Draw, folder: Path) -> Path:
    sink = io.BytesIO()
    pq.write_table(
        _table(draw),
        sink,
        compression=draw.choice(["none", "snappy", "gzip", "zstd", "brotli"]),
        use_dictionary=draw.choice([True, False]),
        write_page_checksum=draw.random() < 0.1,
        version=draw.choice(["1.0", "2.6"]),
        data_page_version=draw.choice(["1.0", "2.0"]),
    )
    return _written(folder, "rows.parquet", _mutated(draw, sink.getvalue()))


def _lines(draw: Draw) -> bytes:
    delimiter = draw.choice([",", ";", "\t", "|"])
    cells = ["", "NA", "1", "1,5", "2.5", '"a\nb"', "x", '"', "é", "2024-01-01", "01", "-", "1e999", "true"]
    lines = [delimiter.join([*(draw.choice(["a", "b", "", "é"]) for _ in range(2)), "label"])]
    for _ in range(draw.choice([0, 3, 200])):
        label = draw.choice(["p", "q"] if draw.random() < 0.99 else cells)
        lines.append(delimiter.join([*(draw.choice(cells) for _ in range(2)), label]))
    text = draw.choice(["\n", "\r\n", "\r"]).join(lines)
    return text.encode(draw.choice(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))


def _text(draw: Draw, folder: Path) -> Path:
    return _written(folder, draw.choice(["rows.csv", "rows.tsv"]), _mutated(draw, _lines(draw)))


def _zipped(draw: Draw, folder: Path) -> Path:
    packed = gzip.compress(_mutated(draw, _lines(draw)))
    return _written(folder, "rows.csv.gz", _mutated(draw, packed))


def _frame(draw: Draw, _: Path) -> pd.DataFrame:
    n = draw.choice([0, 1, 12, 130])
    columns: dict[object, object] = {}
    for _ in range(draw.randint(1, 4)):
        makers = draw.sample(CELLS, draw.choice([1, 1, 2, 3]))
        values = pd.Series([draw.choice(makers)(draw) for _ in range(n)], dtype=object)
        if draw.random() < 0.4:
            try:
                values = values.astype(draw.choice(DTYPES)) if draw.random() < 0.5 else values.infer_objects()
            except Exception:  # a cast that pandas refuses is no input of ours
                continue
        columns[draw.choice(["a", "b", 3, "", "a.b", "is_synthetic", "\x00", "é"])] = values
    frame = pd.DataFrame(columns)
    frame["label"] = [draw.choice([0, 1]) if draw.random() < 0.995 else draw.choice(CELLS)(draw) for _ in range(n)][
        : len(frame)
    ]
    return frame


def _arrow(draw: Draw, _: Path) -> pa.Table:
    table = _table(draw)
    if draw.random() < 0.4:
        nested = draw.choice(
            [pa.array([[1]] * len(table)), pa.nulls(len(table), pa.binary_view()), pa.nulls(len(table))]
        )
        table = table.append_column(draw.choice(["n", "label", "c0"]), nested)
    return table.replace_schema_metadata({b"pandas": draw.choice([b"", b"{}", b'{"columns": [1]}', b"\xff"])})


def main() -> int:
    """Run from the command line; 1 where something bare came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tally = run(seconds=60 * asked.minutes, seed=asked.seed)
    print(
        f"{tally.tried:,} inputs: {tally.read:,} read, refused {dict(tally.refused)}, bare exceptions {len(tally.bare)}"
    )
    for line in tally.bare[:50]:
        print(f"seed {asked.seed}, {line}")
    return 1 if tally.bare else 0


if __name__ == "__main__":
    sys.exit(main())
