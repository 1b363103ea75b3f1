"""Configuration: what is known, what is in range, who wins, and the traps that YAML sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from synthgen.config import BalanceConfig, make_config, merged
from synthgen.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without pyproject.toml and an environment without SYNTHGEN_*."""
    monkeypatch.chdir(tmp_path)
    for name in BalanceConfig.model_fields:
        monkeypatch.delenv(f"SYNTHGEN_{name.upper()}", raising=False)


def from_file(text: str, name: str = "balance.yaml") -> BalanceConfig:
    Path(name).write_text(text, encoding="utf-8")
    return merged({}, file=Path(name))


def refused(text: str, name: str = "balance.yaml") -> str:
    with pytest.raises(ConfigError) as caught:
        from_file(text, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_the_contract_s() -> None:
    config = make_config({})
    assert (config.engine, config.strategy, config.max_ratio, config.seed) == ("auto", "auto", 10.0, 0)
    assert (config.holdout, config.check, config.ship, config.gate) == (None, None, None, "reject-fail")
    assert (config.metric, config.small_class, config.on_fail) == ("average_precision", "ladder", "keep-old")
    assert all(field.description for field in BalanceConfig.model_fields.values())


def test_a_config_is_a_frozen_value() -> None:
    config = make_config({"label": "y"})
    with pytest.raises(ValidationError):
        config.label = "z"
    assert config == make_config({"label": "y"})


def test_an_unknown_key_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown key 'lable'; known keys are: bad_images, categorical, check, .*label, .*work$"
    ):
        make_config({"lable": "y"})
    assert "unknown key 'lable'" in refused("lable: x")
    assert "unknown key '1'" in refused("1: x")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 2**64),
        ("seed", 1.5),
        ("seed", True),
        ("steps", 0),
        ("steps", 10**12),
        ("max_minutes", 0),
        ("max_minutes", float("inf")),
        ("max_ratio", 0),
        ("max_ratio", -1),
        ("max_ratio", float("nan")),
        ("max_ratio", float("inf")),
        ("holdout", 1),
        ("holdout", -0.1),
        ("threads", 0),
        ("jobs", 0),
        ("check", "both"),
        ("ship", "some"),
        ("device", "banana"),
        ("provenance_column", ""),
        ("gate", "strict"),
        ("format", "tfrecord"),
        ("on_fail", "shout"),
        ("small_class", "drop"),
        ("engine", None),
        ("label", 1),
        ("drop", 5),
        ("strategy", True),
        ("strategy", [1]),
        ("strategy", {"a": 1.5}),
        ("engine_options", "lr=1"),
        ("engine_options", {"lr": [1]}),
    ],
)
def test_a_value_out_of_range_names_its_key_and_what_was_got(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config({key: value})
    text = str(caught.value)
    assert text.startswith(f"{key.replace('_', '-')}: ")
    assert "got " in text
    assert "\n" not in text


def test_a_choice_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(ConfigError, match="gate: input should be 'report-only', 'reject-fail' or 'require-pass', got"):
        make_config({"gate": "strict"})


@pytest.mark.parametrize("value", [0, 2**63 - 1, "7", np.int64(7)])
def test_a_seed_may_be_any_whole_number_from_nothing_up(value: object) -> None:
    assert make_config({"seed": value}).seed == int(value)


@pytest.mark.parametrize(
    "values",
    [
        {"group": "a", "time": "b"},
        {"holdout_data": "h.parquet", "check": "cv"},
        {"holdout": 0, "check": "cv"},
        {"holdout": 0, "ship": "train"},
        {"time": "when", "check": "cv"},
        {"steps": 10, "max_minutes": 1},
    ],
    ids=str,
)
def test_what_does_not_go_together_is_told(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"cannot|not both|leave"):
        make_config(values)
    for name in values:
        make_config({key: value for key, value in values.items() if key != name})


@pytest.mark.parametrize(
    ("given", "strategy"),
    [("0.5", "0.5"), (0.5, 0.5), (1, 1.0), ("fraud=5", "fraud=5"), ({"fraud": 5}, {"fraud": 5}), ({1: 5}, {1: 5})],
    ids=str,
)
def test_a_strategy_may_be_a_word_a_ratio_or_counts(given: object, strategy: object) -> None:
    assert make_config({"strategy": given}).strategy == strategy


def test_lists_may_be_written_with_commas() -> None:
    assert make_config({"drop": "a, b"}).drop == ("a", "b")
    assert make_config({"drop": ["a, b"]}).drop == ("a, b",)


def test_the_run_key_leaves_places_and_processes_out() -> None:
    base = make_config({"data": "a.csv", "label": "y"})
    assert not {"data", "out", "jobs", "work"} & set(base.key_fields())
    elsewhere = make_config({"data": "b.csv", "label": "y", "out": "q", "jobs": 7, "work": "w"})
    assert elsewhere.key_fields() == base.key_fields()
    assert json.loads(json.dumps(base.key_fields())) == base.key_fields()


@pytest.mark.parametrize(
    "values",
    [
        {"label": "z"},
        {"engine": "smote"},
        {"strategy": 0.5},
        {"max_ratio": 3},
        {"seed": 1},
        {"threads": 2},
        {"drop": ["a"]},
        {"holdout": 0.3},
        {"engine_options": {"lr": 0.1}},
        {"provenance_column": "origin"},
    ],
    ids=str,
)
def test_the_run_key_holds_whatever_decides_the_rows(values: dict[str, object]) -> None:
    assert make_config(values).key_fields() != make_config({}).key_fields()


def test_options_win_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.yaml").write_text("label: file\nengine: file\nmetric: file\n", encoding="utf-8")
    monkeypatch.setenv("SYNTHGEN_LABEL", "env")
    monkeypatch.setenv("SYNTHGEN_ENGINE", "env")
    config = merged({"label": "cli", "engine": None}, file=Path("c.yaml"))
    assert (config.label, config.engine, config.metric, config.seed) == ("cli", "env", "file", 0)
    config = merged({"label": "cli"}, file=Path("c.yaml"), sets=("label=set", "seed=3"))
    assert (config.label, config.seed) == ("set", 3)


def test_the_environment_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "SEED": "7",
        "MAX_RATIO": "2.5",
        "FINE_TUNE": "true",
        "DROP": "a,b",
        "LABEL": "1",
        "STRATEGY": '{"fraud": 5}',
        "ENGINE_OPTIONS": '{"lr": 0.1}',
    }
    for name, text in given.items():
        monkeypatch.setenv(f"SYNTHGEN_{name}", text)
    config = merged({})
    assert (config.seed, config.max_ratio, config.fine_tune, config.drop) == (7, 2.5, True, ("a", "b"))
    assert (config.label, config.strategy, config.engine_options) == ("1", {"fraud": 5}, {"lr": 0.1})
    monkeypatch.setenv("SYNTHGEN_SEED", "x")
    with pytest.raises(ConfigError, match=r"seed: .* got 'x'"):
        merged({})


def test_only_the_command_line_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_LABEL", "env")
    Path("pyproject.toml").write_text('[tool.synthgen]\nengine = "smote"\n', encoding="utf-8")
    assert make_config({}) == BalanceConfig()
    assert make_config({}).label is None


def test_pyproject_is_read_where_no_file_is_given() -> None:
    Path("pyproject.toml").write_text('[tool.synthgen]\nlabel = "p"\nmax-ratio = 3\n', encoding="utf-8")
    config = merged({})
    assert (config.label, config.max_ratio) == ("p", 3.0)
    assert from_file("engine: smote").label is None


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.other]\nlabel = 3\n"])
def test_a_pyproject_without_our_table_is_fine(text: str) -> None:
    Path("pyproject.toml").write_text(text, encoding="utf-8")
    assert merged({}) == BalanceConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.synthgen", "pyproject.toml cannot be read"),
        ("tool = 3", r"\[tool.synthgen\] of pyproject.toml must hold keys and values, got int"),
        ("[tool]\nsynthgen = 'x'", r"\[tool.synthgen\] of pyproject.toml must hold keys and values, got str"),
        ("[tool.synthgen]\nlable = 'x'", "unknown key 'lable'"),
    ],
)
def test_a_broken_pyproject_is_told(text: str, says: str) -> None:
    Path("pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        merged({})


def test_yaml_and_toml_give_the_same() -> None:
    yaml = from_file('label: "no"\nmax-ratio: 2.5\nstrategy:\n  fraud: 5\n  "012": 6\ndrop: [a, b]\nfine_tune: true\n')
    toml = from_file(
        'label = "no"\nmax_ratio = 2.5\ndrop = ["a", "b"]\nfine_tune = true\n[strategy]\nfraud = 5\n"012" = 6\n',
        "c.toml",
    )
    assert yaml == toml
    assert yaml.strategy == {"fraud": 5, "012": 6}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label: no", "line 1: YAML does not read 'no' as it is written; put it in quotes"),
        ("seed: 1\nlabel: Off", "line 2: YAML does not read 'Off'"),
        ("strategy: {no: 5}", "does not read 'no'"),
        ("strategy:\n  no: 5\n  yes: 3", "line 2: YAML does not read 'no'"),
        ("strategy: {012: 5}", "does not read '012'"),
        ("strategy: {1_000: 5}", "does not read '1_000'"),
        ("strategy: {0x1F: 5}", "does not read '0x1F'"),
        ("strategy: {1:30: 5}", "does not read '1:30'"),
        ("label: 2020-01-01", "does not read '2020-01-01'"),
        ("drop: [a, on]", "does not read 'on'"),
        ("label: !!str x", "tag tag:yaml.org,2002:str is not read"),
        ("label: !!python/object/apply:os.getcwd []", "tag tag:yaml.org,2002:python/object/apply:os.getcwd is not"),
        ("label: !mine x", "tag !mine is not read"),
        ("label: &a x\nengine: *a", "anchors and aliases are not read"),
        ("engine_options: &a {x: 1}", "anchors and aliases are not read"),
        ("seed: 1\nseed: 2", "a key occurs twice"),
        ("strategy: {a: 1, a: 2}", "a key occurs twice"),
        ("- a\n- b", "must hold keys and values, got list"),
        ("just text", "must hold keys and values, got str"),
        ("", "must hold keys and values, got NoneType"),
        ("label: [", "balance.yaml cannot be read"),
        ("a: b: c", "balance.yaml cannot be read"),
        ("\tlabel: x", "balance.yaml cannot be read"),
        ("label: x\n---\nlabel: y", "balance.yaml cannot be read"),
        ("label: \x00", "balance.yaml cannot be read"),
        ("[" * 20_000, "groups within groups"),
        ("{a: " * 100, "groups within groups"),
    ],
)
def test_yaml_s_traps_are_one_clear_error(text: str, says: str) -> None:
    assert says in refused(text)


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    lines = [
        "a: &a [x, x]",
        *(f"{new}: &{new} [*{old}, *{old}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
    assert "anchors and aliases" in refused("\n".join(lines))


@pytest.mark.parametrize("value", ["'no'", '"012"', "true", "0.5", "10", "0", ".5", "nope", "x_1", "1.0"])
def test_plain_values_are_no_traps(value: str) -> None:
    assert from_file(f"engine_options: {{a: {value}}}").engine_options


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.yaml", None, "does not exist"),
        ("c.toml", b"label =", "c.toml cannot be read"),
        ("C.TOML", b"label =", "C.TOML cannot be read"),
        ("c.yaml", b"label: \xff\xfe", "c.yaml cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        merged({}, file=Path(name))
    assert "\n" not in str(caught.value)


def test_set_reaches_into_groups() -> None:
    config = merged({}, sets=("engine_options.lr=0.1", "engine-options.deep=true", "strategy.fraud=5", "label=no"))
    assert config.engine_options == {"lr": 0.1, "deep": True}
    assert config.strategy == {"fraud": 5}
    assert config.label == "no"
    assert merged({}, sets=("label=a=b",)).label == "a=b"


def test_set_leaves_the_caller_s_values_alone() -> None:
    given = {"engine_options": {"lr": 1}}
    assert merged(given, sets=("engine_options.lr=2",)).engine_options == {"lr": 2}
    assert given == {"engine_options": {"lr": 1}}


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("label", "--set 'label': write key.path=value"),
        ("=3", "unknown key ''"),
        ("lable=3", "unknown key 'lable'"),
        ("label.x=3", "label: "),
        ("engine_options.a.b=3", "engine-options: "),
        ("seed=-1", "seed: "),
    ],
)
def test_a_set_that_cannot_be_is_told(item: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        merged({}, sets=(item,))
    assert says in str(caught.value)


def test_set_does_not_go_into_a_single_value() -> None:
    with pytest.raises(ConfigError, match=r"--set label\.x: 'label' is a single value, not a group of keys"):
        merged({"label": "y"}, sets=("label.x=3",))
