"""The page: whole for every verdict, inert for every text, closed to the network, small, and the same every time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_kit import (
    STATUSES,
    categories,
    histogram,
    hostile_facts,
    make_facts,
    make_verdict,
)

from synthgen.quality.stats import Estimate
from synthgen.quality.verdict import MEAN, Verdict
from synthgen.report.build import CSP, render
from synthgen.report.facts import ClassColumns, ClassCount, ReportFacts, facts_from_json, facts_to_json

VOID = {"meta", "link", "line", "path", "circle", "rect"}
HOSTILE = {
    "script": "</style></title><script>alert(1)</script>",
    "quotes": "\"' onmouseover='alert(1)' x=\"`",
    "template": "{{ 7 * 7 }}{% raw %}{# x #}${7*7}",
    "entities": "&lt;b&gt; &amp; &#60;i&#62;",
    "rtl": "\u202eevil\u2066 שלום عالم \u200f",
    "controls": "a\x00b\x1b[31m\nc\u2028d\ud800e",
    "long": "<b>" + "W" * 297,
    "url": "https://example.org/x.js //example.org javascript:alert(1) url(http://example.org)",
}


@dataclass
class Page(HTMLParser):
    """A document as browsers see it: elements in order with their attributes, text, and whether tags are balanced."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    places: list[tuple[str, ...]] = field(default_factory=list)
    style: str = ""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.open_tags, self.text, self.places = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> names an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] == "style":
            self.style += data
        elif data.strip():
            self.text.append(data)
            self.places.append(tuple(self.open_tags))

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def structure(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(sorted(attrs))) for tag, attrs in self.elements]


def assert_closed(html: str, page: Page) -> None:
    """No script, no handler, nothing that is fetched; the policy comes before anything that it rules."""
    tags = [tag for tag, _ in page.elements]
    assert not {"script", "iframe", "object", "embed", "img", "base", "form", "audio", "video", "use"} & set(tags)
    policies = [attrs for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert [policy["content"] for policy in policies] == [CSP]
    assert CSP.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert html.index("Content-Security-Policy") < html.index("<style>")
    for tag, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on")], tag
        for name in ("href", "src", "srcset", "action", "data", "xlink:href", "poster", "background"):
            value = attrs.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, name, value)
        assert not re.search(r"url|expression|[<>@\\]", attrs.get("style") or ""), attrs
    assert not re.search(r"url\(|@import|https?:|//", page.style)


@pytest.mark.parametrize("status", STATUSES)
def test_every_verdict_makes_a_whole_page(status: str) -> None:
    # red with a status missing from views.SYMBOLS, or with one unclosed tag in a template
    verdict = make_verdict(status)
    html = render(make_facts(verdict))
    page = Page(html)
    assert page.open_tags == []
    assert_closed(html, page)
    assert status in page.words
    assert " ".join(verdict.sentence.split()) in page.words
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    assert {target for target in targets if target} == {f"#{name}" for name in ids}


def test_a_verdict_without_figures_makes_a_whole_page() -> None:
    # red when forest() or learners() asks an empty list for its first arm
    verdict = Verdict("INCONCLUSIVE", "It cannot be told: class a has 2 training rows.", check="cv")
    bare = replace(
        make_facts(verdict), classes=(), generators=(), notes=(), left_out=(), counts=(ClassCount("a", 0, 0),)
    )
    page = Page(render(bare))
    assert page.open_tags == []
    assert [tag for tag, _ in page.elements if tag == "svg"] == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_text_from_outside_stays_text(text: str) -> None:
    # red with autoescape=False, with |safe on any of them, and without finalize=_inert
    html = render(hostile_facts(text))
    page, harmless = Page(html), Page(render(hostile_facts("x" * min(len(text), 10))))
    assert page.structure() == harmless.structure()
    assert_closed(html, page)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    seen = re.sub(r"[\x00-\x1f\u2028\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\ufffd", text)
    assert " ".join(seen[:25].split()) in page.words
    html.encode("utf-8")


def test_text_from_outside_is_set_apart_where_its_direction_could_spread() -> None:
    # red without <bdi> around a class name
    page = Page(render(hostile_facts("שלום")))
    places = [tags for tags, data in zip(page.places, page.text, strict=True) if "שלום" in data]
    assert len(places) > 30
    assert [tags for tags in places if not {"bdi", "title", "pre"} & set(tags)] == []


def test_same_facts_same_bytes_in_any_process() -> None:
    # red when the template walks a set of strings, or writes the time
    html = render(make_facts())
    assert html == render(make_facts())
    code = (
        "import hashlib, report_kit; from synthgen.report.build import render; "
        "print(hashlib.sha256(render(report_kit.make_facts()).encode()).hexdigest())"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": paths, "TZ": "Asia/Tokyo"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(html.encode()).hexdigest()


@pytest.mark.parametrize("text", [None, *HOSTILE.values()], ids=["plain", *HOSTILE.keys()])
def test_facts_read_back_from_json_give_the_same_page(text: str | None) -> None:
    # red when the verdict, or the choice of auto, is left out of the JSON
    facts = make_facts() if text is None else hostile_facts(text.replace("\ud800", ""))  # no file can hold that letter
    written = json.dumps(facts_to_json(facts), allow_nan=False)
    assert render(facts_from_json(json.loads(written))) == render(facts)


def test_sixty_columns_of_the_worst_text_stay_under_two_megabytes() -> None:
    # red without the limits on the length of names
    worst = '"' * 3000
    columns = tuple(
        histogram(worst, kind="continuous") if k % 3 == 0 else categories(worst, ('"' * 32,) * 6) for k in range(60)
    )
    facts = replace(
        hostile_facts(worst),
        counts=tuple(ClassCount(worst, 10, 20) for _ in range(1000)),
        classes=tuple(ClassColumns(worst, 10, 20, "synthetic", columns) for _ in range(8)),
        generators=hostile_facts(worst).generators * 300,
        notes=(worst,) * 500,
    )
    assert len(render(facts).encode()) < 2_000_000


def test_an_ordinary_report_of_sixty_columns_is_small() -> None:
    columns = tuple(histogram(f"c{k}") if k % 2 else categories(f"c{k}") for k in range(60))
    facts = replace(make_facts(), classes=tuple(ClassColumns(f"{k}", 9, 9, "synthetic", columns) for k in range(2)))
    assert len(render(facts).encode()) < 300_000


def text_of(estimate: Estimate, *, change: bool) -> str:
    """Write an estimate by other means than the report's own."""

    def one(x: float) -> str:
        written = f"{x:+.3f}" if change else f"{x:.3f}"
        return written.replace("0.", ".", 1)

    if math.isnan(estimate.low):
        return one(estimate.value)
    return f"{one(estimate.value)} [{one(estimate.low)}, {one(estimate.high)}]"


def plain_minus(words: str) -> str:
    return words.replace("−", "-")


@pytest.mark.parametrize("status", ["PASS", "NO LIFT", "FAIL", "INCONCLUSIVE"])
def test_the_figures_are_the_verdicts(status: str) -> None:
    # red when low and high change places, when over_free shows better_than_nothing, or a row another arm's figures
    verdict = make_verdict(status)
    words = plain_minus(Page(render(make_facts(verdict))).words)
    assert f"synthetic this run {text_of(verdict.better_than_nothing, change=True)}" in words
    assert f"most often delta this run - best free {text_of(verdict.better_than_free, change=True)}" in words
    assert verdict.control is not None
    assert f"independent control {text_of(verdict.control.better_than_nothing, change=True)}" in words
    arms = {arm.name: arm for arm in verdict.arms}
    three = [arms[name] for name in ("none", "synthetic", "delta")]
    for member, name in (("mean", "mean of the panel"), ("boosted", "boosted trees")):
        cells = " ".join(text_of(arm.figures[member]["average_precision"], change=False) for arm in three)
        assert f"{name} {cells}" in words
    every = " ".join(text_of(arm.figures[MEAN]["roc_auc"], change=False) for arm in verdict.arms)
    assert f"ROC AUC {every}" in words
    for rail in verdict.rails:
        assert f"{rail.name} {text_of(rail.change, change=True)}" in words


def marks(html: str) -> list[dict[str, float]]:
    """Return where each row of the forest plot draws its bar and its mark, in per cent."""
    rows = []
    for svg in re.findall(r'<svg class="ci".*?</svg></svg>', html):
        found = {"at": float(re.search(r'class="at" x="([\d.]+)%', svg)[1])}  # type: ignore[index]
        for name in ("zero", "useful"):
            found[name] = float(re.search(rf'class="{name}" x1="([\d.]+)%', svg)[1])  # type: ignore[index]
        if bar := re.search(r'class="bar" x1="([\d.]+)%" x2="([\d.]+)%', svg):
            found |= {"low": float(bar[1]), "high": float(bar[2])}
        rows.append(found)
    return rows


def test_the_forest_plot_draws_what_it_says() -> None:
    # red when Scale.at drops its lower end, or a bar is drawn from the value and not from its bounds
    verdict = make_verdict("PASS")
    drawn = marks(render(make_facts(verdict)))
    assert len(drawn) == len(verdict.arms)  # one for each arm but "none", and the one over the best free arm
    assert verdict.control is not None
    free = verdict.arms[2].better_than_nothing
    shown = {
        0: verdict.better_than_nothing,
        1: free,
        -2: verdict.control.better_than_nothing,
        -1: verdict.better_than_free,
    }
    for row, estimate in shown.items():
        place = drawn[row]
        unit = (place["useful"] - place["zero"]) / verdict.useful_effect
        for name, value in (("at", estimate.value), ("low", estimate.low), ("high", estimate.high)):
            assert place[name] == pytest.approx(place["zero"] + unit * value, abs=0.2)


def test_where_nothing_is_the_best_free_no_gain_is_shown_twice() -> None:
    # red when "none" is shown as the arm that the run is compared with
    words = Page(render(make_facts(replace(make_verdict("NO LIFT"), best_free="none")))).words
    assert "Doing nothing is the best that is free" in words
    assert "best free" not in words
    assert "delta free" in words  # the free arm with the highest figure is still beside before and after


def test_only_a_pass_is_green() -> None:
    # red when .s-inconclusive takes the colour of .s-pass
    html = render(make_facts())
    colours = dict(re.findall(r"\.s-([a-z-]+) \.badge\{background:(#[0-9a-f]{6})", html))
    assert set(colours) == {"pass", "fail", "no-lift", "inconclusive"}
    green = [
        status
        for status, colour in colours.items()
        if int(colour[3:5], 16) > 1.15 * max(int(colour[1:3], 16), int(colour[5:7], 16))
    ]
    assert green == ["pass"]
    for status in STATUSES:
        page = Page(render(make_facts(make_verdict(status))))
        section = next(attrs for _, attrs in page.elements if attrs.get("id") == "verdict")
        assert section["class"] == f"s-{status.lower().replace(' ', '-')}"


def test_everything_that_opens_or_scrolls_is_reached_by_keyboard() -> None:
    # red without tabindex on a wide table's frame
    page = Page(render(make_facts()))
    for tag, attrs in page.elements:
        if attrs.get("class") == "scroll" or tag == "pre":
            assert attrs.get("tabindex") == "0"
            assert attrs.get("aria-label")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("details") == tags.count("summary") > 3
    assert "focus-visible" in page.style


def test_it_fits_dark_rooms_and_phones() -> None:
    style = Page(render(make_facts())).style
    assert "prefers-color-scheme:dark" in style
    assert "@media (max-width:" in style


def test_the_first_screen_comes_first() -> None:
    # red when the counts come before the verdict
    words = Page(render(make_facts())).words
    order = ["PASS", "Gain in average precision", "on real rows that nothing", "Rows", "Columns", "Make it again"]
    places = [words.index(text, words.index("Provenance")) for text in order]
    assert places == sorted(places)


def test_many_classes_end_in_one_row_that_holds_the_rest() -> None:
    # red when the rest is left out of the sum
    facts: ReportFacts = replace(make_facts(), counts=tuple(ClassCount(f"c{k}", 1000 - k, k) for k in range(1000)))
    words = Page(render(facts)).words
    assert "c98 902 98 1,000" in words
    assert "c99 " not in words
    assert "901 smaller classes 406,351 494,649 901,000" in words


def test_curves_and_the_choice_are_shown_with_their_figures() -> None:
    words = plain_minus(Page(render(make_facts())).words)
    assert "auto : cwgan-gp chosen" in words
    assert "earth mover last 0.2697" in words
    assert "cwgan-gp 100 % 3 .431 .880 +.014 ± .006" in words
