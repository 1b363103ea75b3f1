"""The plan: imbalanced-learn's counts, caps, rungs of the ladder, trainings; data that survives JSON."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.utils import check_sampling_strategy

from synthgen.errors import ConfigError, DataError, TooFewRows
from synthgen.planning import (
    MAX_ROWS,
    WORDS,
    BalancePlan,
    ClassPlan,
    FitUnit,
    Limits,
    Rung,
    make_plan,
    match_label,
    with_units,
)

UNCAPPED = Limits(max_ratio=None)
SETTINGS = settings(max_examples=60, deadline=None, database=None, derandomize=True)
COUNTS = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 60), min_size=2).map(
    lambda found: dict(sorted(found.items()))
)


def labels_of(counts: dict[str, int]) -> np.ndarray:
    return np.repeat(list(counts), list(counts.values()))


def theirs(strategy: object, counts: dict[str, int]) -> dict[str, int]:
    found = check_sampling_strategy(strategy, labels_of(counts), "over-sampling")
    return {str(label): int(add) for label, add in found.items() if add}


@pytest.mark.parametrize("word", [word for word in WORDS if word != "tuned"])
@given(counts=COUNTS)
@SETTINGS
def test_words_mean_what_they_mean_to_imbalanced_learn(word: str, counts: dict[str, int]) -> None:
    plan = make_plan(counts, word, limits=UNCAPPED)
    assert plan.adds() == theirs(word, counts)
    for label, made in plan.classes.items():
        assert made == ClassPlan(counts[label], counts[label] + made.add, made.add)
    assert plan.total == sum(theirs(word, counts).values())
    assert not plan.tuned


@given(counts=COUNTS, data=st.data())
@SETTINGS
def test_a_mapping_means_what_it_means_to_imbalanced_learn(counts: dict[str, int], data: st.DataObject) -> None:
    named = data.draw(st.lists(st.sampled_from(list(counts)), min_size=1, unique=True))
    wanted = {label: counts[label] + data.draw(st.integers(0, 50)) for label in named}
    plan = make_plan(counts, wanted, limits=UNCAPPED)
    assert plan.adds() == theirs(wanted, counts)
    text = ",".join(f"{label}={count}" for label, count in wanted.items())
    assert make_plan(counts, text, limits=UNCAPPED) == plan


@given(few=st.integers(1, 60), many=st.integers(1, 200), percent=st.integers(1, 100))
@SETTINGS
def test_a_ratio_is_of_the_largest_class(few: int, many: int, percent: int) -> None:
    few, many = sorted((few, many))
    counts, goal = {"few": few, "many": many}, math.floor(Fraction(percent, 100) * many)
    if few == many:
        assert make_plan(counts, percent / 100, limits=UNCAPPED).adds() == {}
    elif few > goal:
        with pytest.raises(ConfigError, match="would delete rows"):
            make_plan(counts, percent / 100, limits=UNCAPPED)
        with pytest.raises(ValueError, match="remove samples"):
            theirs(percent / 100, counts)
    else:
        plan = make_plan(counts, percent / 100, limits=UNCAPPED)
        assert plan.classes["few"].want == goal
        assert plan.classes["many"].add == 0
        if goal > few + 1:  # theirs loses a row where 0.29 * 100 is 28.999...
            assert 0 <= plan.total - theirs(percent / 100, counts)["few"] <= 1


def test_a_ratio_leaves_larger_classes_alone() -> None:
    plan = make_plan({"a": 100, "b": 70, "c": 5}, 0.5, limits=UNCAPPED)
    assert plan.adds() == {"c": 45}


def test_exact_ratios_lose_no_row_to_rounding() -> None:
    assert make_plan({"a": 100, "b": 3}, 0.29, limits=UNCAPPED).classes["b"].want == 29


def test_tuned_is_an_even_balance_as_an_upper_bound() -> None:
    plan = make_plan({"a": 50, "b": 10}, "tuned")
    assert plan.tuned
    assert plan.adds() == {"b": 40}


@pytest.mark.parametrize(
    ("text", "adds"),
    [
        ("0.5", {"b": 40, "c": 48}),
        ("b=20", {"b": 10}),
        (" b = 20 , c=7", {"b": 10, "c": 5}),
        ("minority", {"c": 98}),
        ("a=100", {}),
    ],
)
def test_strategies_as_text(text: str, adds: dict[str, int]) -> None:
    assert make_plan({"a": 100, "b": 10, "c": 2}, text, limits=UNCAPPED).adds() == adds


def test_labels_with_equals_signs_can_be_named() -> None:
    assert make_plan({"x=1": 10, "x=2": 5}, "x=2=7").adds() == {"x=2": 2}


def test_the_cap_bites_with_a_note() -> None:
    plan = make_plan({"a": 1_000, "b": 20, "c": 500}, limits=Limits(max_ratio=2.5))
    assert plan.adds() == {"b": 50, "c": 500}
    assert plan.notes == ("class 'b' gets 50 rows, not the 980 asked for: --max-ratio 2.5",)
    plan = make_plan({0.0: 1_000, 1.0: 20}, limits=Limits(max_ratio=2.5))
    assert plan.notes == ("class 1 gets 50 rows, not the 980 asked for: --max-ratio 2.5",)


def test_a_tuned_plan_s_notes_tell_bounds() -> None:
    plan = with_units(make_plan({"a": 1_000, "b": 20, "c": 3}, "tuned"), LADDER)
    assert len(plan.notes) > 2
    assert all(re.search(r"(gets|its) up to \d", note) for note in plan.notes)


def test_the_cap_is_ten_by_default_and_none_is_none() -> None:
    counts = {"a": 1_000, "b": 20}
    assert make_plan(counts).adds() == {"b": 200}
    assert make_plan(counts, limits=UNCAPPED).adds() == {"b": 980}
    assert make_plan(counts, limits=Limits(max_ratio=math.inf)).adds() == {"b": 980}
    assert make_plan(counts, limits=UNCAPPED).notes == ()


def test_a_count_beyond_the_cap_is_an_error_not_a_smaller_count() -> None:
    with pytest.raises(ConfigError, match=r"480 rows for class 'b' are more than 10 times its 20 real rows; raise"):
        make_plan({"a": 1_000, "b": 20}, {"b": 500})


@pytest.mark.parametrize("ratio", [0, -1, float("nan")])
def test_the_cap_must_be_above_nothing(ratio: float) -> None:
    with pytest.raises(ConfigError, match="--max-ratio must be above 0"):
        make_plan({"a": 2, "b": 1}, limits=Limits(max_ratio=ratio))


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ({"z": 50}, "class 'z' does not occur; classes are: a, b"),
        ("z=50", "class 'z' does not occur; classes are: a, b"),
        ({"b": 9}, "class 'b' has 10 real rows and rows are never removed.*got 9"),
        ("b=9", "class 'b' has 10 real rows"),
        ({"b": -1}, "never removed"),
        ({"b": 10.5}, "whole number.*got 10.5"),
        ({"b": float("nan")}, "whole number"),
        ({"b": float("inf")}, "whole number"),
        ({"b": "20"}, "whole number"),
        ({"b": True}, "whole number"),
        ({True: 20}, "class True does not occur.*quote labels like no"),
        (0.05, "ratio 0.05 would delete rows"),
        ("0.05", "would delete rows"),
        (0.0, r"ratio must lie in \(0, 1\], got 0"),
        (1.5, "ratio must lie in"),
        ("nan", "ratio must lie in"),
        (float("inf"), "ratio must lie in"),
        ({"b": 10**12}, "rows for class 'b' are more than"),
        (f"b={10**12}", "rows for class 'b' are more than"),
        ("majority", "'majority' is not known; use auto, minority"),
        ("b=", "write label=count"),
        ("b=ten", "write label=count"),
        ("b=²", "write label=count"),
        ("b=20,", "write label=count"),
        ("b=" + "9" * 5_000, "write label=count"),
        ("b=20,b=30", "names class 'b' twice"),
    ],
)
def test_what_a_strategy_may_not_be(strategy: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        make_plan({"a": 100, "b": 10}, strategy)
    assert "\n" not in str(caught.value)


def test_a_count_is_no_truth_value() -> None:
    with pytest.raises(ConfigError, match="whole number"):
        make_plan({"a": 5, "b": 1}, {"b": True})


def test_more_rows_than_one_run_may_make_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"comes to 1,000,000,000,100 rows, more than the 100,000,000"):
        make_plan({"a": 100, "b": 10}, {"b": 10**12}, limits=UNCAPPED)
    assert make_plan({"a": 100, "b": 10}, {"b": MAX_ROWS - 100}, limits=UNCAPPED).classes["b"].want == MAX_ROWS - 100


@pytest.mark.parametrize("counts", [{}, {"a": 5}, {"a": 5, "b": 0}])
def test_two_classes_are_needed(counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="class only"):
        make_plan(counts)


def test_a_balanced_table_gets_a_plan_that_adds_nothing() -> None:
    for strategy in ("auto", "tuned", 0.5, 1.0, "all"):
        plan = with_units(make_plan({"a": 7, "b": 7}, strategy), LADDER)
        assert plan.adds() == {}
        assert plan.total == 0
        assert plan.units == ()


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        ([0, 1], "1", 1),
        ([0, 1], 1, 1),
        ([0, 1], 1.0, 1),
        ([0.0, 1.0], "1", 1.0),
        ([0.0, 1.0], "1.0", 1.0),
        ([0.0, 1.0], 1, 1.0),
        ([False, True], "true", True),
        ([False, True], "True", True),
        ([False, True], "TRUE", True),
        ([False, True], True, True),
        (["False", "True"], "True", "True"),
        (["1", "01"], "01", "01"),
        (["1", "01"], 1, "1"),
        (["no", "yes"], "no", "no"),
    ],
)
def test_labels_are_found_as_users_write_them(labels: list[object], text: object, label: object) -> None:
    found = match_label(text, dict.fromkeys(labels, 1))
    assert found == label
    assert type(found) is type(label)


@pytest.mark.parametrize(
    ("labels", "text"), [([0, 1], True), ([False, True], 1), ([0, 1], "01"), (["012"], 10), (["no"], False)]
)
def test_labels_that_only_look_alike_are_not_taken(labels: list[object], text: object) -> None:
    with pytest.raises(ConfigError, match="does not occur"):
        match_label(text, labels)


def test_long_lists_of_classes_are_cut() -> None:
    with pytest.raises(ConfigError, match=r"classes are: c0, .*c19, \.\.\.$"):
        match_label("z", [f"c{k}" for k in range(1_000)])


GAN = Rung("cwgan-gp", 50, True)
SMOTE = Rung("smote", 3, False)
REPEAT = Rung("oversample", 1, True)
LADDER = (GAN, SMOTE, REPEAT)
MANY = make_plan({"a": 1_000, "b": 200, "c": 60, "d": 20, "e": 1}, limits=UNCAPPED)


def test_a_conditional_engine_is_one_training_and_small_classes_climb_down() -> None:
    plan = with_units(MANY, LADDER)
    assert plan.units == (
        FitUnit("cwgan-gp", "cwgan-gp", ("b", "c")),
        FitUnit("smote-c000", "smote", ("d",), alone=True),
        FitUnit("oversample", "oversample", ("e",)),
    )
    assert plan.notes == (
        "class 'd' has 20 rows, cwgan-gp needs 50: its 980 rows come from smote",
        "class 'e' has 1 rows, cwgan-gp needs 50: its 999 rows come from oversample",
    )
    assert plan.classes == MANY.classes
    assert [plan.unit_of(label).engine for label in "bcde"] == ["cwgan-gp", "cwgan-gp", "smote", "oversample"]


def test_an_unconditional_engine_is_one_training_per_class() -> None:
    plan = with_units(MANY, (Rung("wgan-gp", 50, False), SMOTE, REPEAT))
    assert plan.units[:2] == (
        FitUnit("wgan-gp-c000", "wgan-gp", ("b",), alone=True),
        FitUnit("wgan-gp-c001", "wgan-gp", ("c",), alone=True),
    )
    assert len({unit.name for unit in plan.units}) == len(plan.units)


def test_a_fine_tune_starts_from_the_trunk_and_makes_the_rows() -> None:
    plan = with_units(MANY, LADDER, fine_tune=True)
    assert plan.units[:3] == (
        FitUnit("cwgan-gp", "cwgan-gp", ("b", "c")),
        FitUnit("cwgan-gp-c000", "cwgan-gp", ("b",), alone=True, base="cwgan-gp"),
        FitUnit("cwgan-gp-c001", "cwgan-gp", ("c",), alone=True, base="cwgan-gp"),
    )
    assert plan.unit_of("c").name == "cwgan-gp-c001"
    assert plan.unit_of("e").base is None


def test_the_name_of_a_training_can_be_that_of_a_folder() -> None:
    rungs = [Rung("pkg.mod:My/Engine", 50, conditional) for conditional in (True, False)]
    shared, apart = (with_units(MANY, (rung, SMOTE, REPEAT), fine_tune=True).units for rung in rungs)
    assert [unit.name for unit in shared[:2]] == ["pkg-mod-My-Engine", "pkg-mod-My-Engine-c000"]
    assert shared[1].base == shared[0].name
    assert apart[0].name == "pkg-mod-My-Engine-c000"
    assert shared[0].engine == apart[0].engine == "pkg.mod:My/Engine"


def test_small_classes_can_be_skipped() -> None:
    plan = with_units(MANY, LADDER, small_class="skip")
    assert plan.adds() == {"b": 800, "c": 940}
    assert plan.classes["d"] == ClassPlan(20, 20, 0)
    assert plan.notes[0] == "class 'd' has 20 rows, cwgan-gp needs 50: nothing added"
    assert [unit.name for unit in plan.units] == ["cwgan-gp"]


def test_small_classes_can_be_an_error() -> None:
    with pytest.raises(TooFewRows, match="class 'd' has 20 rows, cwgan-gp needs 50; add rows, or use --small-class"):
        with_units(MANY, LADDER, small_class="error")
    assert with_units(MANY, (REPEAT,), small_class="error").adds() == MANY.adds()


def test_a_ladder_without_the_last_rung_still_ends_in_repeats() -> None:
    assert with_units(MANY, (GAN,)).unit_of("e").engine == "oversample"


def test_classes_that_get_nothing_need_no_rung() -> None:
    plan = with_units(make_plan({"a": 100, "b": 60, "c": 2}, {"b": 90}), LADDER, small_class="error")
    assert [unit.labels for unit in plan.units] == [("b",)]


def test_notes_of_the_cap_stay_before_those_of_the_ladder() -> None:
    plan = with_units(make_plan({"a": 1_000, "b": 20}), LADDER)
    assert ["max-ratio" in note for note in plan.notes] == [True, False]


@given(counts=COUNTS, parts=st.integers(2, 5))
@SETTINGS
def test_a_scaled_plan_keeps_the_shares(counts: dict[str, int], parts: int) -> None:
    plan = with_units(make_plan(counts, limits=UNCAPPED), LADDER)
    part = {label: n // parts for label, n in counts.items()}
    scaled = plan.scaled(part)
    for label, n in part.items():
        made = scaled.classes[label]
        assert (made.have, made.want) == (n, n + made.add)
        assert abs(made.add - plan.classes[label].add * n / counts[label]) <= 0.5
    assert plan.scaled(counts).adds() == plan.adds()


def test_a_scaled_plan_knows_classes_without_rows_and_keeps_tuned() -> None:
    plan = make_plan({"a": 10, "b": 5, "gone": 0}, "tuned")
    scaled = plan.scaled({"a": 8, "b": 0, "gone": 0})
    assert scaled.tuned
    assert scaled.adds() == {}
    assert set(scaled.classes) == {"a", "b", "gone"}


@pytest.mark.parametrize("labels", [("a", "b", "c"), (0, 1, 2), (0.0, 1.0, 2.5), (False, True)])
def test_a_plan_round_trips_through_json_with_its_types(labels: tuple[object, ...]) -> None:
    counts = dict(zip(labels, (1_000, 200, 20), strict=False))
    plan = with_units(make_plan(counts, "tuned"), LADDER, fine_tune=True)
    back = BalancePlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert back == plan
    assert [type(label) for label in back.classes] == [type(label) for label in plan.classes]
    assert [type(label) for unit in back.units for label in unit.labels] == [
        type(label) for unit in plan.units for label in unit.labels
    ]


def test_a_scaled_plan_remembers_the_shares_of_all_rows() -> None:
    plan = make_plan({"a": 1000, "b": 50, "c": 250}, "tuned")
    scaled = plan.scaled({"a": 100, "b": 50, "c": 100})
    assert plan.shares is None
    assert scaled.shares == {"a": 1, "b": 0.05, "c": 0.25}
    assert scaled.scaled({"a": 50, "b": 25, "c": 50}).shares == scaled.shares
