"""Who may import whom, read from the source: imports inside functions and for type checkers are imports too.

0 base; 1 data, planning; 2 encode | gan; 3 quality | shards; 4 engines; 5 the run; 6 the edges.
Lower never sees higher; rooms with a bar between them are strangers. A new module has to be given its place here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("errors", "memory", "seeding"),
    ("data",),
    ("planning",),
    ("encode", "gan"),
    ("quality", "shards"),
    ("engines",),
    (
        *(
            "config",
            "run",
            "rebalance",
            "arms",
            "job",
            "judge",
            "needs",
            "forecast",
            "publication",
            "pipeline",
            "sampler",
        ),
        *("explore", "image_parts", "report"),
    ),
    ("orchestration", "console", "cli", "__init__", "__main__", "flows"),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
STRANGERS = ({"encode", "gan"}, {"quality", "shards"})
GAN_SEES = ("synthgen.errors", "synthgen.seeding", "synthgen.data.layout", "synthgen.gan")
GAN_HAS_NOT_HEARD_OF = ("pandas", "pyarrow", "sklearn", "pydantic", "yaml")
# library -> the only modules that may import it (a name with a dot at its end stands for all modules under it)
ONLY_IN = {
    "prefect": ("orchestration.", "flows."),
    "ctgan": ("engines.ctgan",),
    "imblearn": ("engines.classic", "sampler"),
    "PIL": ("data.pixels",),
}
TORCH_ON_TOP = ("gan.", "engines.adversarial")
NEVER = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal")
CALLS_NEVER = (
    *("torch.load", "pd.read_pickle", "pandas.read_pickle", "joblib.load", "joblib.dump", "CTGAN.load", "tarfile.open"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system"),
)
_NAMED = re.compile(r"(synthgen(?:\.\w+)+)(?::\w+)?")


@dataclass(frozen=True)
class Seen:
    """One import: of what, and when it happens."""

    target: str
    at_load: bool


def imports_of(tree: ast.Module, module: str) -> Iterator[Seen]:
    """Yield what a module imports anywhere, registry strings like "synthgen.room.module:Class" included."""

    def walk(node: ast.AST, at_load: bool) -> Iterator[Seen]:
        for child in ast.iter_child_nodes(node):
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            if isinstance(child, ast.Import):
                yield from (Seen(alias.name, at_load) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    package = f"synthgen.{module}".split(".")[: -child.level]
                    base = ".".join([*package, base]).rstrip(".")
                yield Seen(base, at_load)
                yield from (Seen(f"{base}.{alias.name}", at_load) for alias in child.names)
            elif isinstance(child, ast.Constant) and (named := _NAMED.fullmatch(str(child.value))):
                yield Seen(named[1], False)
            yield from walk(child, at_load and not later and not typing)

    yield from walk(tree, True)


def room_of(target: str) -> str | None:
    """Return the room of a dotted name under synthgen or flows; None for what is neither, or the bare package."""
    head, *rest = target.split(".")
    if head == "flows":
        return "flows"
    return rest[0] if head == "synthgen" and rest else None


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(place) if place.endswith(".") else module == place for place in places)


def complaints(module: str, source: str) -> list[str]:
    """Return what is wrong in the ``source`` of ``module`` (its dotted name under synthgen, or flows.x)."""
    tree = ast.parse(source)
    room = module.split(".")[0]
    if room not in RANK:
        return [f"{module} has no layer: add it to LAYERS"]
    found: set[str] = set()
    for seen in imports_of(tree, module):
        library = seen.target.split(".")[0]
        found.update(_foreign(module, library, seen.at_load))
        other = room_of(seen.target)
        if library == "synthgen" and other not in {*RANK, "__version__", None}:
            found.add(f"{module} imports {seen.target}, which has no layer")
        elif other in RANK and other != room and (RANK[other] > RANK[room] or {room, other} in STRANGERS):
            found.add(f"{module} imports {other}")
        elif room == "gan" and not _seen_by_gan(seen.target):
            found.add(f"{module} imports {'.'.join(seen.target.split('.')[:3])}")
    found.update(f"{module} calls {name}" for name in _calls(tree))
    return sorted(found)


def _seen_by_gan(target: str) -> bool:
    """Of synthgen, base and data.layout alone; a package on the way to them is no import of its own."""
    inside = target.startswith("synthgen.")
    return not inside or any(f"{target}.".startswith(f"{k}.") or k.startswith(f"{target}.") for k in GAN_SEES)


def _foreign(module: str, library: str, at_load: bool) -> Iterator[str]:
    if library in ONLY_IN and not within(module, ONLY_IN[library]):
        yield f"{module} imports {library}"
    if library == "torch" and at_load and not within(module, TORCH_ON_TOP):
        yield f"{module} imports torch when it loads"
    if library in NEVER:
        yield f"{module} imports {library}"
    if module.startswith("gan") and library in GAN_HAS_NOT_HEARD_OF:
        yield f"{module} imports {library}"


def _calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in CALLS_NEVER or name.endswith(".extractall"):
            yield name
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                yield f"{name}(allow_pickle)"
            if keyword.arg == "shell" and ast.unparse(keyword.value) != "False":
                yield f"{name}(shell)"


def modules() -> dict[str, Path]:
    """Return every module of the product by its dotted name."""
    paths = {
        ".".join(path.relative_to(ROOT / "synthgen").with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((ROOT / "synthgen").rglob("*.py"))
    }
    flows = {f"flows.{path.stem}": path for path in sorted((ROOT / "flows").glob("*.py"))}
    return paths | flows


@pytest.mark.parametrize("module", modules())
def test_a_module_keeps_to_its_layer(module: str) -> None:
    assert complaints(module, modules()[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("data.read", "from synthgen.encode import base", "data.read imports encode"),
        ("data.read", "def f():\n    from synthgen.planning import make_plan", "data.read imports planning"),
        ("data.read", "if TYPE_CHECKING:\n    from synthgen import engines", "data.read imports engines"),
        ("data.read", "from ..quality import gate", "data.read imports quality"),
        ("errors", "import synthgen.seeding as s, synthgen.data", "errors imports data"),
        ("encode.tabular", "from synthgen.gan.config import PRESETS", "encode.tabular imports gan"),
        ("gan.trainer", "from synthgen.encode.base import Codec", "gan.trainer imports encode"),
        ("gan.trainer", "from synthgen.data.dataset import x", "gan.trainer imports synthgen.data.dataset"),
        ("gan.trainer", "import pandas as pd", "gan.trainer imports pandas"),
        ("quality.gate", "from synthgen.shards import reader", "quality.gate imports shards"),
        ("shards.reader", "def f():\n    import synthgen.quality.gate", "shards.reader imports quality"),
        ("quality.gate", "from synthgen.engines import make_engine", "quality.gate imports engines"),
        ("quality.gate", 'NAME = "synthgen.engines.auto:Auto"', "quality.gate imports engines"),
        ("engines.auto", "from synthgen.rebalance import rebalance", "engines.auto imports rebalance"),
        ("pipeline", "def f():\n    import synthgen.cli", "pipeline imports cli"),
        ("pipeline", "import prefect.flows", "pipeline imports prefect"),
        ("cli", "def f():\n    from prefect import flow", "cli imports prefect"),
        ("engines.auto", "def f():\n    from ctgan import CTGAN", "engines.auto imports ctgan"),
        ("engines.auto", "from imblearn.over_sampling import SMOTE", "engines.auto imports imblearn"),
        ("data.images", "from PIL import Image", "data.images imports PIL"),
        ("pipeline", "import torch", "pipeline imports torch when it loads"),
        ("pipeline", "class A:\n    import torch.nn", "pipeline imports torch when it loads"),
        ("gan.files", "import pickle", "gan.files imports pickle"),
        ("gan.files", "def f(p):\n    return torch.load(p)", "gan.files calls torch.load"),
        ("encode.state", "np.load(p, allow_pickle=True)", "encode.state calls np.load(allow_pickle)"),
        ("config", "yaml.load(text)", "config calls yaml.load"),
        ("cabinet.drawer", "", "cabinet.drawer has no layer: add it to LAYERS"),
        ("pipeline", "import synthgen.cabinet", "pipeline imports synthgen.cabinet, which has no layer"),
    ],
)
def test_every_rule_finds_what_breaks_it(module: str, source: str, complaint: str) -> None:
    assert complaints(module, source) == [complaint]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("seeding", "if TYPE_CHECKING:\n    import torch\ndef f():\n    import torch"),
        (
            "gan.trainer",
            "import torch\nfrom synthgen.data import layout\nfrom synthgen.gan.base import Progress",
        ),
        ("engines.adversarial", "import torch\nfrom synthgen import gan\nfrom synthgen.gan.trainer import train"),
        ("engines.classic", "def f():\n    from imblearn.over_sampling import SMOTE"),
        ("engines.tournament", "from synthgen.quality.stats import Estimate"),
        ("engines.__init__", 'ENGINES = {"auto": "synthgen.engines.auto:Auto"}'),
        ("planning", "from synthgen.data.schema import Label"),
        ("run", "import synthgen\nfrom synthgen import __version__"),
        ("flows.balance", "from prefect import flow\nfrom synthgen.orchestration.flows import balance_flow"),
        ("encode.state", "np.load(p, allow_pickle=False)"),
    ],
)
def test_what_is_allowed_is_let_pass(module: str, source: str) -> None:
    assert complaints(module, source) == []


def test_modules_are_found() -> None:
    found = modules()
    assert {"errors", "data", "data.schema", "planning", "__main__"} <= set(found)
    assert len(found) > 20


def test_no_file_is_a_cupboard() -> None:
    """Files stay under about 400 lines, as CONTRIBUTING says: past that, a room gets another file."""
    long = {name: n for name, path in modules().items() if (n := len(path.read_text("utf-8").splitlines())) > 400}
    assert long == {}
