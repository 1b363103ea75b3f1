"""The public surface: short, sorted, resolvable, and free to import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import metadata

import pytest

import synthgen

HEAVY = ("torch", "prefect", "pandas", "pyarrow", "ctgan", "sklearn", "imblearn", "numpy", "pydantic", "matplotlib")


def loaded_by(code: str) -> set[str]:
    probe = f"import sys; {code}; print(*sorted(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_names_are_sorted_and_listed_once() -> None:
    assert list(synthgen.__all__) == sorted(set(synthgen.__all__))
    assert set(synthgen.__all__) <= set(dir(synthgen))
    assert all(not name.startswith("_") for name in synthgen.__all__)


@pytest.mark.parametrize("name", synthgen.__all__)
def test_a_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(synthgen, name)
    assert value is getattr(synthgen, name)
    assert value.__name__ == name
    assert value.__module__.startswith("synthgen.")
    assert inspect.getdoc(value)


def test_names_that_type_checkers_see_are_those_that_resolve() -> None:
    source = inspect.getsource(synthgen)
    declared = re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)
    assert sorted(name for _, name in declared) == synthgen.__all__
    assert {name: module for module, name in declared} == synthgen._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'synthgen' has no attribute 'Blancer'"):
        _ = synthgen.Blancer


def test_star_import_gives_the_public_names() -> None:
    space: dict[str, object] = {}
    exec("from synthgen import *", space)
    assert set(synthgen.__all__) <= set(space)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import synthgen; synthgen.__version__, dir(synthgen), synthgen.SynthgenError") == set()


@pytest.mark.parametrize("name", ["load", "TabularDataset", "make_plan", "read_shards", "Manifest", "BalanceConfig"])
def test_names_for_tables_load_no_training_library(name: str) -> None:
    assert not loaded_by(f"import synthgen; synthgen.{name}") & {"torch", "prefect", "ctgan", "matplotlib"}


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", synthgen.__version__)
    try:
        installed = metadata.version("synthgen")
    except metadata.PackageNotFoundError:
        return  # run from the sources
    assert installed == synthgen.__version__
