"""The rules, branch by branch, on made-up figures, and their words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from synthgen.errors import ConfigError
from synthgen.quality.cost import estimate_seconds
from synthgen.quality.novelty import Copies
from synthgen.quality.rules import Facts, Gate, copied, decide, make_rails, plain, sentence, signed
from synthgen.quality.stats import UNKNOWN, CrossFitted, Estimate
from synthgen.quality.verdict import ArmFigures, Control, GateMode, Rail, Status, Verdict

UP, FLAT, DOWN = Estimate(0.05, 0.02, 0.08), Estimate(0.01, -0.03, 0.05), Estimate(-0.05, -0.08, -0.02)
TINY, NIL = Estimate(0.004, 0.001, 0.007), Estimate(0.0, -0.005, 0.005)
FINE = Rail("ROC AUC", FLAT, -0.01, past=False, proven=False)
PAST = Rail("the Brier score", Estimate(0.008, -0.001, 0.017), 0.005, past=True, proven=False)
PROVEN = Rail("the recall of 1", Estimate(-0.2, -0.3, -0.1), -0.05, past=True, proven=True)
ONE_CLASS = replace(PAST, gating=False)
COPIES = Copies(
    1000, Estimate(0.1, 0.09, 0.11), Estimate(0.0, 0.0, 0.001), Estimate(0.1, 0.09, 0.11), Estimate(0.0, 0.0, 0.001)
)
FEW = replace(COPIES, excess=Estimate(0.001, -0.001, 0.004))
LEAKED = replace(FEW, leaked=Estimate(0.02, 0.012, 0.03))


@pytest.mark.parametrize(
    ("nothing", "free", "rails", "copies", "control", "status"),
    [
        (UP, UP, [FINE], FEW, False, "PASS"),
        (UP, UP, [FINE], None, False, "PASS"),
        (UP, UP, [ONE_CLASS], None, False, "PASS"),
        (FLAT, UP, [], None, False, "PASS"),
        (UP, UP, [PAST], None, False, "INCONCLUSIVE"),
        (UP, UP, [PROVEN], None, False, "FAIL"),
        (UP, UP, [FINE], COPIES, False, "FAIL"),
        (UP, UP, [FINE], LEAKED, False, "FAIL"),
        (UP, UP, [FINE], FEW, True, "INCONCLUSIVE"),
        (DOWN, DOWN, [FINE], None, False, "FAIL"),
        (DOWN, DOWN, [FINE], None, True, "FAIL"),
        (UP, NIL, [FINE], None, False, "NO LIFT"),
        (UP, TINY, [FINE], None, False, "NO LIFT"),
        (FLAT, DOWN, [FINE], None, False, "NO LIFT"),
        (UP, FLAT, [FINE], None, False, "INCONCLUSIVE"),
        (FLAT, FLAT, [FINE], None, False, "INCONCLUSIVE"),
        (FLAT, NIL, [], None, True, "INCONCLUSIVE"),
        (UNKNOWN, UNKNOWN, [], None, False, "INCONCLUSIVE"),
    ],
)
def test_decide(
    nothing: Estimate, free: Estimate, rails: list[Rail], copies: Copies | None, control: bool, status: Status
) -> None:
    """Each row is a branch. Mutants: drop or swap any condition of ``decide``."""
    gate = Gate()
    found = decide(
        nothing=nothing, free=free, rails=rails, copies=copies, control_passes=control, judged=True, gate=gate
    )
    assert found == status


@pytest.mark.parametrize(
    ("free", "status"), [(UP, "INCONCLUSIVE"), (NIL, "INCONCLUSIVE"), (FLAT, "INCONCLUSIVE"), (DOWN, "FAIL")]
)
def test_gains_of_other_classes_than_those_that_get_rows_decide_nothing_but_harm(
    free: Estimate, status: Status
) -> None:
    found = decide(nothing=free, free=free, rails=[FINE], copies=None, control_passes=False, judged=False, gate=Gate())
    assert found == status


def test_the_useful_effect_decides_what_is_worth_it() -> None:
    for effect, status in ((0.01, "NO LIFT"), (0.005, "PASS")):
        gate = Gate(useful_effect=effect)
        found = decide(nothing=TINY, free=TINY, rails=[], copies=None, control_passes=False, judged=True, gate=gate)
        assert found == status


def inference(value: float, error: float) -> CrossFitted:
    return CrossFitted(value, error, 9)


def test_rails_are_past_by_estimate_and_proven_by_holm() -> None:
    """Mutant: no Holm (a single rail at p = .04 beside four others would then be proven), or the wrong direction."""
    rails = make_rails(
        [
            ("lower is worse", inference(-0.1, 0.01), -0.05, True),
            ("higher is worse", inference(0.1, 0.01), 0.005, True),
            ("just past", inference(-0.06, 0.005), -0.05, True),
            ("better", inference(0.1, 0.01), -0.05, True),
            ("lower is better", inference(-0.1, 0.01), 0.005, False),
        ],
        alpha=0.05,
    )
    assert [rail.past for rail in rails] == [True, True, True, False, False]
    assert [rail.proven for rail in rails] == [True, True, False, False, False]
    alone = make_rails([("just past", inference(-0.06, 0.005), -0.05, True)], alpha=0.05)
    assert alone[0].proven
    assert not rails[4].gating


def test_an_unknown_change_proves_nothing() -> None:
    """Mutant: an unknown p-value read as 0."""
    for value, margin in ((-1.0, -0.05), (1.0, 0.005)):
        (rail,) = make_rails([("x", CrossFitted(value, np.nan, 0), margin, True)], alpha=0.05)
        assert rail.past
        assert not rail.proven


def facts(status: Status, **changes: object) -> Facts:
    values: dict[str, object] = {
        "status": status,
        "nothing": UP,
        "free": FLAT,
        "best_free": "class weights",
        "rails": [],
        "copies": None,
        "control_passes": False,
        "rare_rows": 37,
        "rare_label": "fraud",
        "unjudged": [],
        "judged": True,
        "check": "holdout",
        "gate": Gate(),
    }
    return Facts(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (facts("PASS", free=UP), ["Better than doing nothing (+.050", "over class weights", "+.020 to +.080", "90 %"]),
        (facts("PASS", free=UP, best_free=""), ["Better than doing nothing, which is the best that is free"]),
        (facts("NO LIFT", free=NIL), ["Better than nothing", "but class weights do as well", "less than the .010"]),
        (facts("NO LIFT", free=NIL, nothing=FLAT, best_free="smote"), ["No lift, smote does as well"]),
        (facts("NO LIFT", free=NIL, nothing=NIL, best_free=""), ["No better than doing nothing"]),
        (facts("FAIL", nothing=DOWN), ["Worse than doing nothing: -.050 average precision"]),
        (facts("FAIL", rails=[PROVEN]), ["The recall of 1 changes by -.200, past its margin of -.050"]),
        (facts("FAIL", copies=COPIES), ["10.0% of the synthetic rows are exact copies", "0.0% of the real rows"]),
        (facts("FAIL", copies=LEAKED), ["2.0% of the synthetic rows are rows of the holdout"]),
        (facts("FAIL", nothing=DOWN, rails=[PROVEN]), ["Worse than doing nothing", "; the recall of 1"]),
        (
            facts("INCONCLUSIVE"),
            ["Better than nothing", "cannot be told", "37 rows of class fraud", "above .040 average"],
        ),
        (
            facts("INCONCLUSIVE", nothing=FLAT, best_free=""),
            ["It cannot be told whether this helps", "over doing nothing"],
        ),
        (facts("INCONCLUSIVE", check="cv"), ["This check has 37 rows"]),
        (facts("INCONCLUSIVE", free=UP, rails=[PAST]), ["at a price", "the Brier score by +.008 (margin +.005)"]),
        (facts("INCONCLUSIVE", control_passes=True), ["The control", "cannot be trusted"]),
        (facts("NO LIFT", free=NIL, unjudged=["c", "d"]), ["though rows were added: class c, d."]),
        (
            facts("INCONCLUSIVE", free=NIL, unjudged=["c"], judged=False),
            ["no class that rows were added to could be judged", "of different ones", "added: class c."],
        ),
        (facts("INCONCLUSIVE", free=UNKNOWN), ["37 rows of class fraud are too few"]),
    ],
)
def test_sentences_say_what_was_found_with_numbers(given: Facts, words: list[str]) -> None:
    text = sentence(given)
    assert all(word in text for word in words), text
    assert text.endswith(".")
    assert "nan" not in text


def test_numbers_are_short() -> None:
    assert [signed(0.0214), signed(-0.5), signed(1.25), plain(123.4), plain(0.9999), plain(float("nan"))] == [
        "+.021",
        "-.500",
        "+1.250",
        "123",
        "1.000",
        "?",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "accuracy"},
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"useful_effect": -1.0},
        {"useful_effect": float("nan")},
        {"folds": 2},
        {"repeats": 0},
        {"resamples": 399},
        {"max_rows": 99},
        {"learners": ()},
        {"learners": ("svm",)},
    ],
)
def test_a_gate_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Gate(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ("PASS", (0, 0, 0)),
        ("NO LIFT", (0, 0, 7)),
        ("INCONCLUSIVE", (0, 0, 7)),
        ("NOT CHECKED", (0, 0, 7)),
        ("FAIL", (0, 6, 6)),
    ],
)
def test_gate_modes(status: Status, codes: tuple[int, int, int]) -> None:
    modes: tuple[GateMode, ...] = ("report-only", "reject-fail", "require-pass")
    verdict = Verdict(status, "")
    assert tuple(verdict.exit_code(mode) for mode in modes) == codes
    assert tuple(verdict.blocks(mode) for mode in modes) == tuple(code != 0 for code in codes)
    with pytest.raises(ConfigError, match="report-only"):
        verdict.blocks("never")  # type: ignore[arg-type]


def test_verdicts_survive_json() -> None:
    arm = ArmFigures("none", "none", False, {"mean": {"average_precision": UP, "recall:1": FLAT}})
    full = Verdict(
        "FAIL",
        "Worse.",
        check="cv",
        better_than_nothing=DOWN,
        better_than_free=DOWN,
        best_free="smote",
        resolution=0.03,
        rare_rows=37,
        cells=10,
        draws=1,
        rebalanced=("fraud", True, 3),
        rails=(PROVEN, ONE_CLASS),
        copies=COPIES,
        control=Control("independent", "NO LIFT", FLAT, NIL),
        arms=(arm,),
        notes=("a note",),
    )
    assert Verdict.from_json(json.loads(json.dumps(full.to_json(), allow_nan=False))) == full
    bare = Verdict.not_checked("nothing was set aside")
    back = Verdict.from_json(json.loads(json.dumps(bare.to_json(), allow_nan=False)))
    assert (back.status, back.sentence, back.copies, back.arms) == ("NOT CHECKED", bare.sentence, None, ())
    assert full.arm("none") is arm
    assert full.arm("smote") is None


def test_unknown_copies_are_not_in_excess() -> None:
    assert not copied(None, Gate())
    assert not copied(Copies(0), Gate())


def test_the_estimate_of_seconds_grows_with_what_is_asked() -> None:
    """Against measured runs of the whole check (in CPU seconds on the project's two-core machine, other work beside):
    10,000 x 17, 8 arms, cv: 93; 4,800 x 17 train rows, 8 arms, holdout: 73."""

    def seconds(**changes: object) -> float:
        known = {"n_rows": 10_000, "n_features": 17, "n_classes": 2, "n_arms": 8, "check": "cv"}
        return estimate_seconds(**{**known, **changes})  # type: ignore[arg-type]

    assert 46 < seconds() < 186
    assert 36 < seconds(n_rows=4800, check="holdout") < 146
    assert seconds(jobs=2) == pytest.approx(seconds() / 2)
    assert seconds(n_rows=20_000) > 1.5 * seconds()
    assert seconds(n_classes=10) > seconds()
    assert seconds(n_arms=4) == pytest.approx(seconds() / 2)
    assert seconds(n_rows=10**8) == seconds(n_rows=10**9), "rows are capped per class"
