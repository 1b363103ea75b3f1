"""The engines there are: facts, where each one's code lives, and its fixed options. Imports no engine.

``synthgen engines`` and planning read this; a new engine is a row here and a file beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from synthgen.engines.base import EngineInfo

NETWORK_ROWS = 20
PRESETS = ("gan", "wgan", "wgan-gp", "cgan", "cwgan", "cwgan-gp")
IMAGE_PRESETS = ("dcgan", "cdcgan", "style")


@dataclass(frozen=True)
class Row:
    """One engine: its facts, its builder as "module:callable", and the options that its name stands for."""

    info: EngineInfo
    builder: str
    options: Mapping[str, object] = field(default_factory=dict)
    public: bool = True


def _info(name: str, min_rows: int, summary: str, when: str, **facts: bool) -> EngineInfo:
    return EngineInfo(
        name=name,
        summary=summary,
        modalities=("table", "image") if facts.get("images") else ("table",),
        origin="repeated" if facts.get("repeats") else "synthetic",
        trains=facts.get("trains", False),
        conditional=facts.get("conditional", True),
        min_rows=min_rows,
        when=when,
    )


_QUANTILE, _CLASSIC, _FILTER = "synthgen.engines.quantile", "synthgen.engines.classic", "synthgen.engines.filter"
_FEW = {"taught": 5, "delta": 2, "copula": 5, "smote": 2}

_BASES = {
    "taught": (
        "a real row of any class, as likely as a panel of learners believes it is of this one, moved as delta does",
        "a rare class and a model that overfits it, single trees above all; costs a few seconds",
    ),
    "delta": (
        "a real row of the class plus the difference of two neighbouring rows of the other classes, in quantile space",
        "few rows of the class and plenty of others; costs under a second",
    ),
    "copula": (
        "a real row of the class, blurred along correlations shrunk to those of the other classes",
        "wider or mixed tables with at least five rows of the class; costs under a second",
    ),
    "smote": (
        "interpolates between a row of the class and one of its five nearest (SMOTE, SMOTENC, SMOTEN)",
        "a familiar baseline, and the fallback where a class is too small for the others",
    ),
}

_OBJECTIVES = {
    "gan": "the plain GAN loss",
    "wgan": "the Wasserstein loss with weight clipping",
    "wgan-gp": "the Wasserstein loss with a gradient penalty",
}


def _network(name: str) -> Row:
    objective, conditional = _OBJECTIVES[name.removeprefix("c")], name.startswith("c")
    summary = f"{'one network for all classes' if conditional else 'one network per class'}, {objective}"
    when = {
        "cwgan-gp": "20 rows of the class or more; starts from real rows and keeps them, encoded; trains a network",
    }.get(name, "to compare with cwgan-gp" if conditional else "to compare: it sees the rows of one class only")
    info = _info(name, NETWORK_ROWS, summary, when, trains=True, conditional=conditional, images=True)
    return Row(info, "synthgen.engines.adversarial:build", {"preset": name})


def _image_network(name: str) -> Row:
    summary, when = {
        "dcgan": ("gan under its name on images", "to compare: it sees the images of one class only"),
        "cdcgan": ("cgan under its name on images", "to compare with cwgan-gp"),
        "style": ("cwgan-gp with a style-based generator", "to compare with cwgan-gp; a step costs more"),
    }[name]
    info = _info(name, NETWORK_ROWS, summary, when, trains=True, conditional=name != "dcgan")
    return Row(replace(info, modalities=("image",)), "synthgen.engines.adversarial:build", {"preset": name})


def _rows() -> dict[str, Row]:
    rows = [
        Row(
            _info(
                "auto",
                5,
                "whichever engine did best on inner splits of the training rows",
                "the default: when you do not want to choose",
                images=True,
            ),
            "synthgen.engines.auto:AutoEngine",
        )
    ]
    rows += [_network(name) for name in reversed(PRESETS)]
    library = _info(
        "ctgan",
        NETWORK_ROWS,
        "the ctgan library's network for all classes, through our schema; the rows it labels otherwise are left out",
        "to compare with what you used before: minutes where cwgan-gp takes seconds; on the CPU",
        trains=True,
    )
    rows.append(Row(library, "synthgen.engines.ctgan:build"))
    rows += [_image_network(name) for name in IMAGE_PRESETS]
    for name, (summary, when) in _BASES.items():
        filtered = _info(
            f"{name}-filter",
            _FEW[name],
            f"{name}, over-generated; what boosted trees on the real rows believe most is kept",
            f"where {name} makes rows that look like another class",
        )
        rows.append(Row(_info(name, _FEW[name], summary, when), f"{_FILTER}:build", {"inner": name}))
        if name == "taught":  # it is chosen by belief already
            continue
        rows.append(Row(filtered, f"{_FILTER}:build", {"inner": name, "overdraw": 3.0}))
    repeats = _info(
        "oversample",
        1,
        "repeats real rows of the class; images each moved a little",
        "the last resort for tiny classes; free",
        repeats=True,
        images=True,
    )
    rows.append(Row(repeats, f"{_CLASSIC}:Oversample"))
    control = _info(
        "independent",
        1,
        "draws each column by itself from the class: the control that must never look good",
        "never; the check uses it as its control",
    )
    rows.append(Row(control, f"{_FILTER}:build", {"inner": "independent"}, public=False))
    return {row.info.name: row for row in rows}


CATALOG: Mapping[str, Row] = _rows()

# what Filtered wraps: raw generators, which the catalogue's names offer only without their copies of real rows
RAW: Mapping[str, str] = {
    "taught": "synthgen.engines.taught:Taught",
    "delta": f"{_QUANTILE}:Delta",
    "copula": f"{_QUANTILE}:Copula",
    "smote": f"{_CLASSIC}:Smote",
    "independent": f"{_CLASSIC}:Independent",
}

LOADABLE = frozenset(
    {
        *RAW.values(),
        "synthgen.engines.auto:AutoEngine",
        "synthgen.engines.adversarial:Adversarial",
        "synthgen.engines.ctgan:Ctgan",
        f"{_CLASSIC}:Oversample",
        f"{_FILTER}:Filtered",
        "synthgen.engines.repeats:Repeats",
        "synthgen.engines.mixed:Mixed",
        "synthgen.engines.auto_images:AutoImages",
    }
)
