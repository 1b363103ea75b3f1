"""The room's walls: what it may import, and what may never appear in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import synthgen.gan

FILES = sorted(Path(synthgen.gan.__file__).parent.glob("*.py"))
ALLOWED = ("synthgen.gan", "synthgen.errors", "synthgen.seeding", "synthgen.data.layout")
OUTSIDE = {"torch", "numpy", "safetensors"}
BUILT_IN = {
    *(
        "__future__",
        "abc",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "functools",
        "hashlib",
        "itertools",
        "json",
    ),
    *("logging", "math", "os", "pathlib", "re", "time", "typing"),
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_tensors_and_the_base_only(path):
    for name in imported(path):
        if name.startswith("synthgen"):
            assert name.startswith(ALLOWED), f"{path.name} imports {name}"
        else:
            assert name.split(".")[0] in OUTSIDE | BUILT_IN, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_unpickled_printed_or_normalised_by_batch(path):
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not calls & {"torch.load", "torch.save", "print", "eval", "exec", "torch.manual_seed"}
    assert not any("BatchNorm" in call for call in calls)
