"""The registry: names, lazy imports, errors that list what exists, saved folders."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.engines import ENGINES, engine_info, load_engine, make_engine, save_engine
from synthgen.engines.base import Engine, FitContext
from synthgen.engines.classic import Oversample
from synthgen.engines.contract import mixed_table
from synthgen.engines.image_catalog import make_image_engine
from synthgen.errors import ConfigError, EngineError


def test_every_name_makes_an_engine_of_that_name() -> None:
    for name in ENGINES:
        engine = make_engine(name)
        assert isinstance(engine, Engine)
        assert engine.info.name == engine_info(name).name == name


def test_the_promised_engines_exist() -> None:
    presets = {"gan", "wgan", "wgan-gp", "cgan", "cwgan", "cwgan-gp", "dcgan", "cdcgan", "style"}
    others = {
        "auto",
        "ctgan",
        "taught",
        "delta",
        "delta-filter",
        "copula",
        "copula-filter",
        "smote",
        "smote-filter",
        "oversample",
    }
    assert set(ENGINES) == presets | others
    assert next(iter(ENGINES)) == "auto"


def test_networks_are_for_both_and_some_for_images_alone() -> None:
    both = {name for name in ENGINES if engine_info(name).modalities == ("table", "image")}
    alone = {name for name in ENGINES if engine_info(name).modalities == ("image",)}
    assert both >= {"gan", "wgan", "wgan-gp", "cgan", "cwgan", "cwgan-gp"}
    assert alone == {"dcgan", "cdcgan", "style"}


def test_the_control_is_made_by_name_but_not_offered() -> None:
    assert "independent" not in ENGINES
    assert make_engine("independent").info.name == "independent"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("cwgan-gp", 20),
        ("ctgan", 20),
        ("taught", 5),
        ("copula", 5),
        ("delta", 2),
        ("smote", 2),
        ("smote-filter", 2),
        ("oversample", 1),
    ],
)
def test_fewest_rows_of_each_rung(name: str, rows: int) -> None:
    assert engine_info(name).min_rows == rows


def test_facts_of_presets() -> None:
    assert engine_info("cwgan-gp").conditional
    assert not engine_info("wgan-gp").conditional
    assert engine_info("oversample").origin == "repeated"
    assert engine_info("delta").origin == "synthetic"
    assert engine_info("cgan").trains
    assert not engine_info("smote").trains


def test_unknown_name_lists_what_exists() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown engine 'cwgangp' \(did you mean 'cwgan-gp'\?\); engines are: auto, "
    ) as error:
        make_engine("cwgangp")
    assert all(name in str(error.value) for name in ENGINES)
    with pytest.raises(ConfigError, match="unknown engine"):
        engine_info("tvae")


def test_unknown_option_names_the_engine() -> None:
    with pytest.raises(ConfigError, match=r"'delta' does not take these options \(spread\)"):
        make_engine("delta", spread=2)
    with pytest.raises(ConfigError, match="unknown training setting 'step'"):
        make_engine("cwgan-gp", step=5)
    with pytest.raises(ConfigError, match="overdraw"):
        make_engine("delta-filter", overdraw=0.5)


def test_class_of_ones_own() -> None:
    assert make_engine("synthgen.engines.classic:Oversample").info.name == "oversample"
    with pytest.raises(ConfigError, match=r"no\.such:Thing.*cannot be imported"):
        make_engine("no.such:Thing")
    with pytest.raises(ConfigError, match="is not an engine"):
        make_engine("collections:OrderedDict")


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys, synthgen.engines as e; [e.engine_info(n) for n in e.ENGINES]; "
        "print(sorted({'torch', 'sklearn', 'imblearn', 'pandas', 'scipy', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_network_free_engines_import_no_torch() -> None:
    code = (
        "import sys; from synthgen.engines import make_engine; from synthgen.engines.contract import mixed_table; "
        "t = mixed_table({'a': 90, 'b': 20}); "
        "[make_engine(n).fit(t, seed=0).sample('b', 3, seed=0) for n in ('delta-filter', 'copula', 'oversample')]; "
        "print(sorted({'torch', 'imblearn'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_saved_folder_without_its_file(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"holds no engine\.json"):
        load_engine(tmp_path)


def test_saved_folder_of_another_format(tmp_path: Path) -> None:
    (tmp_path / "engine.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(EngineError, match="format 99"):
        load_engine(tmp_path)
    (tmp_path / "engine.json").write_text("{")
    with pytest.raises(EngineError, match="cannot be read"):
        load_engine(tmp_path)


def test_a_folder_does_not_choose_what_is_imported(tmp_path: Path) -> None:
    meta = {"format": 1, "engine": "x", "class": "antigravity:Evil", "state": {}}
    (tmp_path / "engine.json").write_text(json.dumps(meta))
    with pytest.raises(EngineError, match="not part of synthgen"):
        load_engine(tmp_path)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["delta", "copula-filter", "oversample", "smote", "ctgan"])
def test_damaged_folder_is_an_engine_error(tmp_path: Path, name: str) -> None:
    train = mixed_table({"a": 60, "b": 20})
    options = {"epochs": 1} if name == "ctgan" else {}
    save_engine(make_engine(name, **options).fit(train, seed=0), tmp_path)
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(EngineError):
            load_engine(tmp_path)
        path.write_bytes(kept)
    load_engine(tmp_path)


def test_what_is_wanted_by_default() -> None:
    context = FitContext()
    assert context.wanted({"a": 10, "b": 4, "c": 0}) == {"b": 6}
    assert context.wanted({"a": 10, "b": 0}) == {"a": 10}
    assert FitContext(want={"a": 3, "b": 0}).wanted({"a": 10, "b": 4}) == {"a": 3}


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("cwgan-gp", {"name": "x"}, "engine 'cwgan-gp' does not take the option 'name'"),
        ("oversample", {"name": "x"}, "engine 'oversample' does not take"),
        ("ctgan", {"name": "x"}, "engine 'ctgan' does not take"),
        ("auto", {"name": "x"}, "engine 'auto' does not take the option 'name'"),
        ("cwgan-gp", {"preset": "gan"}, "does not take the option 'preset'"),
        ("delta", {"inner": "copula"}, "does not take the option 'inner'"),
        ("cwgan-gp", {"fine_tune": "a"}, "fine_tune must be a whole number from 1 on, got 'a'"),
        ("cwgan-gp", {"fine_tune": math.nan}, "fine_tune must be a whole number from 1 on, got nan"),
        ("cwgan-gp", {"fine_tune": math.inf}, "fine_tune must be a whole number"),
        ("ctgan", {"epochs": math.inf}, "epochs must be a whole number"),
        ("ctgan", {"epochs": "a"}, "epochs must be a whole number"),
        ("auto", {"budget": 3}, "budget is a Budget"),
        ("auto", {"options": 3}, "options must map"),
        ("auto", {"options": {"delta": 3}}, "options must map"),
        ("auto", {"options": {"cwgan-gp": {"steps": None}}}, "steps must be an integer"),
        ("auto", {"options": {"delta": {"colour": "red"}}}, "engine 'delta' does not take these options"),
        ("auto", {"tuned": 1}, "tuned is true or false"),
        ("auto", {"amounts": ("a",)}, "amounts must be numbers between 0 and 1"),
        ("auto", {"amounts": (math.nan,)}, "amounts must be numbers between 0 and 1"),
        ("auto", {"amounts": 1}, "amounts must be numbers between 0 and 1"),
        ("auto", {"candidates": "delta"}, "candidates must be a list"),
        ("auto", {"candidates": (3,)}, "candidates must be a list"),
    ],
)
def test_an_option_that_cannot_be_is_refused_where_the_engine_is_made(
    name: str, options: dict[str, object], told: str
) -> None:
    """Red when a builder's own options are a caller's too, or a value is first looked at in fit."""
    if name == "ctgan":
        pytest.importorskip("ctgan")
    with pytest.raises(ConfigError, match=told) as error:
        make_engine(name, **options)
    assert "\n" not in str(error.value)
    if name == "cwgan-gp":
        with pytest.raises(ConfigError, match=told):
            make_image_engine(name, **options)


def test_an_image_engine_keeps_its_generator() -> None:
    with pytest.raises(ConfigError, match="does not take the option 'generator'"):
        make_image_engine("cwgan-gp", generator="cgan")


class Picky(Oversample):
    """An engine whose constructor speaks Python's way."""

    def __init__(self, *, name: str = "own") -> None:
        super().__init__()
        if name != "own":
            raise ValueError(f"no such name: {name}")


def test_a_class_of_ones_own_has_options_of_any_name_and_its_errors_are_told() -> None:
    own = f"{__name__}:Picky"
    assert isinstance(make_engine(own, name="own"), Picky)
    with pytest.raises(ConfigError, match=r"Picky' could not be made with name \(ValueError: no such name: x\)"):
        make_engine(own, name="x")


@pytest.mark.parametrize("n", [None, math.nan, math.inf, -1, 1.5, True, "3"])
@pytest.mark.parametrize("name", ["delta", "oversample"])
def test_a_number_of_rows_that_is_none(name: str, n: object) -> None:
    engine = make_engine(name).fit(mixed_table({"a": 60, "b": 20}), seed=0)
    with pytest.raises(ConfigError, match="the number of rows to sample must be a whole number from 0 on"):
        engine.sample("b", n, seed=0)  # type: ignore[arg-type]
