"""From a run folder, or facts, to report.html: one file that needs no network, no script and no other file.

May import its own room and run; the templates lie beside it. Same facts, same bytes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from synthgen.report import plots, text, views
from synthgen.report.facts import FACTS, ReportFacts, facts_to_json, gather

if TYPE_CHECKING:
    from jinja2 import Environment

    from synthgen.quality.verdict import Verdict
    from synthgen.run import Run

REPORT = "report.html"
MARK = b" synthgen</title>"  # by which a report is known
MAX_NAME, MAX_TEXT = 60, 400
MAX_UNITS, MAX_CURVES = 12, 8
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def write_report(run: Run, verdict: Verdict) -> Path:
    """Write report.html of a run to its folder, and report.json with what it says; return the page's path."""
    path = run.folder / REPORT
    facts = gather(run, verdict)
    run.write(FACTS, facts_to_json(facts))
    partial = path.with_name(REPORT + ".part")
    partial.write_text(render(facts), encoding="utf-8", newline="\n")
    partial.replace(path)
    return path


def render(facts: ReportFacts) -> str:
    """Return the report of ``facts`` as an HTML document."""
    verdict = facts.verdict
    page = _environment().get_template("report.html.j2")
    return page.render(
        facts=facts,
        verdict=verdict,
        csp=CSP,
        symbol=views.SYMBOLS[verdict.status],
        meaning=views.MEANINGS[verdict.status],
        metric=views.metric_words(verdict),
        how=views.how(verdict),
        forest=views.forest(verdict),
        learners=views.learners(verdict),
        figures=views.figures(verdict),
        copies=views.copies(verdict),
        count_rows=views.count_rows(facts.counts),
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("synthgen.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_inert,
    )
    environment.filters |= {
        "bounds": text.bounds,
        "brief": lambda value: text.clean(value, MAX_TEXT),
        "changes": lambda estimate: text.bounds(estimate, change=True),
        "compact": text.compact,
        "count": text.count,
        "figure": text.figure,
        "outline": plots.steps_path,
        "percent": text.percent,
        "short": lambda value: text.clean(value, MAX_NAME),
        "signed": text.signed,
        "state": views.rail_state,
    }
    environment.globals |= {
        "line": plots.line,
        "most_curves": MAX_CURVES,
        "most_listed": views.MAX_LISTED,
        "most_units": MAX_UNITS,
    }
    return environment


def _inert(value: object) -> object:
    """Whatever a template writes goes through here: text from data loses its control letters before it is escaped."""
    return value if isinstance(value, Markup | int | float) else text.clean(value)
