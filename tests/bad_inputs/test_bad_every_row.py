"""The design's table of bad inputs, whole: every row has a test here, and the test's name says what it gets.

``pytest tests/bad_inputs --collect-only -q`` shows them. Rows 86 to 90 are of images, 95 of the Prefect flow.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ELSEWHERE = {*range(86, 91), 95}
LAST = 96


def rows(folder: Path) -> dict[int, list[str]]:
    """Row number -> names of its tests."""
    found: dict[int, list[str]] = {}
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and (match := re.match(r"test_r(\d\d)_", node.name)):
                found.setdefault(int(match[1]), []).append(f"{path.name}::{node.name}")
    return found


def test_every_row_of_the_table_has_a_test() -> None:
    found = rows(Path(__file__).parent)
    assert sorted({*range(1, LAST + 1)} - ELSEWHERE - found.keys()) == []
    assert sorted(found.keys() - {*range(1, LAST + 1)}) == []


def test_a_row_without_a_test_is_seen(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_r07_x(): ...\ndef helper_r08_y(): ...\ndef test_r07_z(): ...\n")
    assert rows(tmp_path) == {7: ["test_one.py::test_r07_x", "test_one.py::test_r07_z"]}
