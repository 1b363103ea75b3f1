"""The shape of encoded rows."""

from __future__ import annotations

import subprocess
import sys

from synthgen.data.layout import ImageLayout, TableLayout


def test_blocks_follow_the_numbers() -> None:
    layout = TableLayout(3, (2, 4, 1))
    assert layout.width == 10
    assert layout.starts == (3, 5, 9)


def test_without_blocks_or_numbers() -> None:
    assert (TableLayout(2, ()).width, TableLayout(2, ()).starts) == (2, ())
    assert (TableLayout(0, (3,)).width, TableLayout(0, (3,)).starts) == (3, (0,))


def test_layouts_are_values() -> None:
    assert TableLayout(1, (2,)) == TableLayout(1, (2,))
    assert ImageLayout(3, 32) != ImageLayout(1, 32)


def test_the_trainer_can_import_it_without_arrow_or_pandas() -> None:
    code = "import sys, synthgen.data.layout; print([m for m in ('pandas', 'pyarrow', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
