"""Verdicts and facts for the report's tests: plausible, hostile and large ones."""

from __future__ import annotations

import math
from dataclasses import replace

from synthgen.engines.choose import Choice, Score
from synthgen.quality.novelty import Copies
from synthgen.quality.stats import Estimate
from synthgen.quality.verdict import ArmFigures, Control, Rail, Role, Status, Verdict
from synthgen.report.facts import ClassColumns, ClassCount, Curve, Generator, Provenance, ReportFacts
from synthgen.report.overlays import Bars, Level, Overlay

STATUSES: tuple[Status, ...] = ("PASS", "NO LIFT", "FAIL", "INCONCLUSIVE", "NOT CHECKED")
MEMBERS = ("mean", "logistic", "forest", "boosted", "average")
ARMS: tuple[tuple[str, Role, float], ...] = (
    ("none", "none", 0.4123),
    ("synthetic", "candidate", 0.4467),
    ("class weights", "free", 0.4189),
    ("oversample", "free", 0.4051),
    ("smote", "free", 0.3977),
    ("delta", "free", 0.4302),
    ("copula", "free", 0.4254),
    ("independent", "control", 0.3899),
)
SENTENCES = {
    "PASS": "Better than doing nothing (+.034 average precision, 90 % interval +.012 to +.057) and than the best that "
    "is free, delta: +.017 average precision, 90 % interval +.003 to +.031.",
    "NO LIFT": "No lift, delta does as well: the gain over that is −.002 average precision, 90 % interval −.012 to "
    "+.008, less than the .010 that would be worth it.",
    "FAIL": "Worse than doing nothing: −.034 average precision, 90 % interval −.060 to −.009.",
    "INCONCLUSIVE": "It cannot be told whether this helps (+.010 average precision, 90 % interval −.021 to +.041): "
    "+.004 over class weights. This check has 37 rows of class fraud: it can only show gains above .062.",
    "NOT CHECKED": "Not checked: no rows were set aside (--holdout 0)",
}
_GAINS = {"PASS": 0.0344, "NO LIFT": 0.0011, "FAIL": -0.0344, "INCONCLUSIVE": 0.0101}


def make_verdict(status: Status = "PASS") -> Verdict:
    """Return a verdict with figures of its own in every place."""
    if status == "NOT CHECKED":
        return Verdict(status, SENTENCES[status])
    gain = _GAINS[status]
    arms = tuple(
        _arm(name, role, 0.4123 + gain if role == "candidate" else value, k)
        for k, (name, role, value) in enumerate(ARMS)
    )
    return Verdict(
        status,
        SENTENCES[status],
        check="cv",
        better_than_nothing=Estimate(gain, gain - 0.0223, gain + 0.0226),
        better_than_free=Estimate(gain - 0.0179, gain - 0.0311, gain + 0.0141),
        best_free="delta",
        resolution=0.0132,
        rare_rows=300,
        cells=10,
        draws=1,
        rebalanced=("fraud",),
        rails=(
            Rail("average precision", Estimate(gain, gain - 0.0223, gain + 0.0226), -0.02, False, False),
            Rail("the Brier score", Estimate(0.0061, -0.0011, 0.0127), 0.005, True, False),
            Rail("the recall of fraud", Estimate(-0.0713, -0.0987, -0.0519), -0.05, True, status == "FAIL"),
        ),
        copies=Copies(
            3000, Estimate(0.004, 0.003, 0.006), Estimate(0.011, 0.009, 0.014), Estimate(-0.007, -0.01, -0.004)
        ),
        control=Control("independent", "FAIL", Estimate(-0.0224, -0.0401, -0.0047), Estimate(-0.0403, -0.06, -0.02)),
        arms=arms,
        notes=("the intervals hold rows and draws, but not how another training of the generator would differ",),
    )


def _arm(name: str, role: Role, value: float, k: int) -> ArmFigures:
    figures = {}
    for m, member in enumerate(MEMBERS):
        base = value + 0.011 * m + 0.0007 * k
        base = value if member == "mean" else base
        figures[member] = {
            "average_precision": Estimate(base, base - 0.0312, base + 0.0298),
            "roc_auc": Estimate(base + 0.4, base + 0.37, base + 0.42),
            "balanced_accuracy": Estimate(base + 0.3, math.nan, math.nan),
            "recall:fraud": Estimate(base + 0.2, base + 0.15, base + 0.25),
            "brier": Estimate(0.0213, 0.0199, 0.0231),
        }
    gain = value - ARMS[0][2]
    return ArmFigures(name, role, name == "class weights", figures, Estimate(gain, gain - 0.021, gain + 0.019))


def histogram(column: str = "amount", *, kind: str = "continuous") -> Overlay:
    """Return a column of numbers."""
    real = tuple((k + 1) * (20 - k) / 1540 for k in range(20))
    added = tuple((k + 2) * (19.5 - k) / 1545 for k in range(20))
    return Overlay(column, kind, 0.031, 0.029, Bars(("0", "100", "200"), 0.5, real, added))


def categories(column: str = "country", names: tuple[str, ...] = ("France", "Spain", "Italy")) -> Overlay:
    """Return a column of categories."""
    levels = tuple(Level(name, 0.5 / (k + 1), 0.45 / (k + 1)) for k, name in enumerate(names))
    return Overlay(column, "categorical", 0.0, 0.0, levels=(*levels, Level("4 others", 0.08, 0.11)))


def make_generator() -> Generator:
    """Return a generator that auto chose, with training curves."""
    steps = tuple(float(k) for k in range(50, 1250, 50))
    curves = (
        Curve("earth_mover", steps, tuple(1.4 * math.exp(-step / 400) + 0.2 for step in steps)),
        Curve("critic_loss", steps, tuple(-0.9 * math.exp(-step / 500) + 0.03 * math.sin(step) for step in steps)),
        Curve("generator_loss", steps, tuple(0.3 + 0.1 * math.cos(step / 90) for step in steps)),
    )
    scores = (
        Score("delta", 1.0, 3, 0.412, 0.871, 2.5, 0.0, 0.0, "the default"),
        Score("cwgan-gp", 1.0, 3, 0.431, 0.88, 1.0, 0.0143, 0.0061, "cwgan-gp gains +0.014 ± 0.006 over delta: taken"),
        Score("smote", 1.0, 2, None, None, None, None, None, "left the race after split 2"),
    )
    choice = Choice("cwgan-gp", 1.0, "cwgan-gp gains +0.014 ± 0.006 over delta: taken", scores)
    return Generator("auto", "auto", ("fraud",), "one network for all classes", choice, curves)


def make_facts(verdict: Verdict | None = None) -> ReportFacts:
    """Return the facts of an ordinary run."""
    return ReportFacts(
        name="payments.parquet",
        label="is_fraud",
        n_rows=10_000,
        n_columns=9,
        verdict=verdict or make_verdict(),
        counts=(ClassCount("ok", 9_700, 0), ClassCount("fraud", 300, 3_000)),
        provenance=Provenance(
            run_id="0123456789ab",
            run_key="0123456789ab" + "c" * 52,
            fingerprint="f" * 64,
            seed=7,
            ship="all",
            command="synthgen balance payments.parquet --label is_fraud --seed 7",
            versions={"synthgen": "0.1.0", "torch": "2.13.0"},
            settings={"engine": "auto"},
        ),
        classes=(ClassColumns("fraud", 300, 3_000, "synthetic", (histogram(), categories())),),
        generators=(make_generator(),),
        notes=("class fraud gets 3000 rows, not the 9400 of an even balance: --max-ratio 10",),
        left_out=("1 id-like or constant column is not shown",),
    )


def hostile_facts(text: str) -> ReportFacts:
    """Return facts with ``text`` wherever data or a user's words can be."""
    facts, verdict = make_facts(), make_verdict()
    arms = tuple(replace(arm, name=text) if arm.role == "free" else arm for arm in verdict.arms)
    verdict = replace(
        verdict,
        sentence=f"Better than {text}.",
        best_free=text,
        rails=(replace(verdict.rails[0], name=f"the recall of {text}"),),
        arms=arms,
        notes=(text,),
    )
    generator = replace(
        make_generator(),
        unit=text,
        engine=text,
        labels=(text,),
        summary=text,
        choice=Choice(text, 0.5, text, (Score(text, 0.5, 1, 0.1, 0.2, 1.0, 0.0, 0.0, text),)),
        curves=(Curve(text, (1.0, 2.0), (0.5, 0.25)),),
    )
    columns = (histogram(text, kind=text), categories(text, (text,)), Overlay(text, text, 1.0, 1.0))
    return replace(
        facts,
        name=text,
        label=text,
        verdict=verdict,
        counts=(ClassCount(text, 9, 1), *facts.counts),
        classes=(ClassColumns(text, 9, 1, "repeated", columns),),
        generators=(generator,),
        notes=(text,),
        left_out=(text,),
        provenance=replace(facts.provenance, command=text, settings={"metric": text}, versions={text: text}),
    )
