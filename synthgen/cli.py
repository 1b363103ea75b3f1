"""The command line: one function a command, no logic. Imports nothing heavy until a command runs."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

from synthgen.console.ending import Untold, bug, fail, leave, show_traceback, usage
from synthgen.errors import DISK, SynthgenError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Balance rare classes with generated rows, and prove on untouched real rows whether it helped.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Data = Annotated[
    Path,
    typer.Argument(help="Parquet, CSV or TSV; or images: class folders, .tar, .npz.", metavar="DATA", readable=False),
]
Label = Annotated[
    Optional[str],  # noqa: UP045  typer reads the annotation
    typer.Option(help="The label column; default: the only one named label, target, class or y."),
]


OutOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Destination folder; default: DATA's stem + '-balanced' beside DATA.", readable=False),
]
Engine = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="auto, a GAN preset such as cwgan-gp, delta, copula, smote, oversample; see 'synthgen engines'."),
]
Strategy = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="auto (every class up to the largest), minority, a ratio like 0.5, label=count,..., or tuned."),
]
MaxRatio = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="At most this many synthetic rows per real row of a class.  [default: 10]"),
]
Holdout = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Share set aside where --check is holdout or --ship is train; 0: no check.  [default: 0.2]"),
]
HoldoutData = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Your own untouched rows for the check.", readable=False),
]
Check = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="holdout or cv; default: cv below 1,000 rows of the rarest class.", metavar="holdout|cv"),
]
Ship = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Publish every row, or leave the holdout out and publish it beside.", metavar="all|train"),
]
OnFail = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="What a FAIL publishes: keep-old publishes nothing.", metavar="keep-old"),
]
Group = Annotated[Optional[str], typer.Option(help="Keep this column's groups on one side of the split.")]  # noqa: UP045
Time = Annotated[Optional[str], typer.Option(help="Set the latest rows by this column aside.")]  # noqa: UP045
Drop = Annotated[Optional[list[str]], typer.Option(help="Leave a column out (repeatable).")]  # noqa: UP045
Categorical = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="Treat a column as categories (repeatable)."),
]
DropUnlabelled = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--drop-unlabelled", help="Leave rows without a label out."),
]
Inf = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Infinite numbers are an error, or missing values.", metavar="error|nan"),
]
Steps = Annotated[Optional[int], typer.Option(help="Training budget in generator steps.")]  # noqa: UP045
MaxMinutes = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Budget of each training, in minutes; a run may have several."),
]
Device = Annotated[Optional[str], typer.Option(help="auto, cpu or cuda.")]  # noqa: UP045
Threads = Annotated[Optional[int], typer.Option(help="Threads per training.  [default: 1]")]  # noqa: UP045
Jobs = Annotated[Optional[int], typer.Option(help="Processes side by side; default: the cores.")]  # noqa: UP045
Estimator = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Your own model joins the check.", metavar="pkg.mod:make"),
]
Metric = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="The gate's figure: average_precision, roc_auc, balanced_accuracy, recall@fpr=.01, ..."),
]
GateOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="What the verdict may stop.", metavar="report-only|reject-fail|require-pass"),
]
Size = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Side of images in pixels; default: the smallest side, at most 32, on a GPU 64."),
]
Flips = Annotated[Optional[bool], typer.Option("--flips", help="Images: mirroring keeps the label.")]  # noqa: UP045
BadImages = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Images that cannot be read are an error, or left out, 1 % at most.", metavar="error|skip"),
]
Format = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Default: parquet; of images webdataset.", metavar="parquet|webdataset|imagefolder"),
]
SmallClass = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="A class too small for the engine.", metavar="ladder|skip|error"),
]
Provenance = Annotated[Optional[str], typer.Option(help="Add a column that names each row's origin.")]  # noqa: UP045
Seed = Annotated[Optional[int], typer.Option(help="Seed of everything random.  [default: 0]")]  # noqa: UP045
ConfigFile = Annotated[Optional[Path], typer.Option("--config", help="YAML or TOML file of options.", readable=False)]  # noqa: UP045
Sets = Annotated[Optional[list[str]], typer.Option("--set", help="KEY.PATH=VALUE (repeatable).")]  # noqa: UP045


@app.command()
def balance(
    data: Data,
    label: Label = None,
    out: OutOption = None,
    engine: Engine = None,
    strategy: Strategy = None,
    max_ratio: MaxRatio = None,
    holdout: Holdout = None,
    holdout_data: HoldoutData = None,
    check: Check = None,
    ship: Ship = None,
    on_fail: OnFail = None,
    group: Group = None,
    time: Time = None,
    drop: Drop = None,
    categorical: Categorical = None,
    drop_unlabelled: DropUnlabelled = None,
    inf: Inf = None,
    size: Size = None,
    flips: Flips = None,
    bad_images: BadImages = None,
    steps: Steps = None,
    max_minutes: MaxMinutes = None,
    device: Device = None,
    threads: Threads = None,
    jobs: Jobs = None,
    estimator: Estimator = None,
    metric: Metric = None,
    gate: GateOption = None,
    format: Format = None,
    small_class: SmallClass = None,
    provenance_column: Provenance = None,
    seed: Seed = None,
    config: ConfigFile = None,
    set_: Sets = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add rows to the rarer classes of DATA, publish them as shards, and say whether they help."""
    from synthgen.console import commands

    commands.balance(locals())


@app.command()
def plan(
    data: Data,
    label: Label = None,
    engine: Engine = None,
    strategy: Strategy = None,
    max_ratio: MaxRatio = None,
    holdout: Holdout = None,
    holdout_data: HoldoutData = None,
    check: Check = None,
    ship: Ship = None,
    group: Group = None,
    time: Time = None,
    drop: Drop = None,
    categorical: Categorical = None,
    drop_unlabelled: DropUnlabelled = None,
    inf: Inf = None,
    size: Size = None,
    flips: Flips = None,
    bad_images: BadImages = None,
    steps: Steps = None,
    max_minutes: MaxMinutes = None,
    jobs: Jobs = None,
    small_class: SmallClass = None,
    config: ConfigFile = None,
    set_: Sets = None,
    json: Json = False,
) -> None:
    """Say what 'balance' would add, what the check can see, and the time and memory it takes. Trains nothing."""
    from synthgen.console import commands

    commands.plan(locals())


@app.command()
def check(
    real: Annotated[Path, typer.Argument(help="The real rows that a model would be trained on.", readable=False)],
    synthetic: Annotated[Path, typer.Argument(help="Rows that any tool made of them.", readable=False)],
    holdout: Annotated[Path, typer.Option(help="Real rows that neither was made from.", readable=False)],
    label: Label = None,
    drop: Drop = None,
    categorical: Categorical = None,
    drop_unlabelled: DropUnlabelled = None,
    inf: Inf = None,
    size: Size = None,
    flips: Flips = None,
    bad_images: BadImages = None,
    estimator: Estimator = None,
    metric: Metric = None,
    gate: GateOption = None,
    jobs: Jobs = None,
    seed: Seed = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge SYNTHETIC rows, made by any tool, as additions to REAL ones."""
    from synthgen.console import commands

    commands.check(locals())


@app.command()
def sample(
    model: Annotated[
        Path,
        typer.Argument(help="A published model folder, or OUT/current/model.", metavar="MODEL_DIR", readable=False),
    ],
    label: Annotated[str, typer.Option(help="The class to draw.")],
    n: Annotated[int, typer.Option("-n", help="How many rows.")],
    out: Annotated[Path, typer.Option(help="The parquet file to write.", readable=False)],
    seed: Seed = None,
    trust: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="pkg.mod:Class of an engine of your own that the folder may load (repeatable)."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw more rows from a fitted generator."""
    from synthgen.console import commands

    commands.sample(locals())


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or a published OUT/data/RUN_ID folder.", readable=False)],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where to write it.  [default: RUN_ID-report.html]", readable=False),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Rebuild report.html."""
    from synthgen.console import commands

    commands.report(run, out, open_)


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(help="OUT, or one of its data/RUN_ID folders.", metavar="DIR", readable=False)
    ],
    json: Json = False,
) -> None:
    """Check every published byte against its manifest."""
    from synthgen.console import commands

    commands.verify(folder, as_json=json)


@app.command()
def gc(
    folder: Annotated[Path, typer.Argument(help="OUT.", metavar="DIR", readable=False)],
    keep: Annotated[int, typer.Option(help="Keep the data of this many latest commits.", min=1)],
    older_than: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Remove only what is older, such as 12h or 30d.  [default: 1d]", metavar="AGE"),
    ] = None,
    json: Json = False,
) -> None:
    """Remove published data that no kept commit names, and work that was abandoned."""
    from synthgen.console import commands

    commands.gc(folder, keep, older_than, as_json=json)


@app.command()
def engines(json: Json = False) -> None:
    """List the generators, what each needs, and when to use which."""
    from synthgen.console import commands

    commands.engines(as_json=json)


def _version(asked: bool) -> None:
    if asked:
        from synthgen import __version__

        typer.echo(f"synthgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


_INTERRUPTED = 130
# what a disk, a quota or a limit of the machine says anywhere: no bug, and no fault of the input
_SURROUNDINGS = (*DISK, errno.EACCES, errno.EPERM, errno.EMFILE)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 a bug, else the error's own code; 130 when interrupted."""
    code = 0
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        code = app(standalone_mode=False) or 0
        if code == _INTERRUPTED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
    except SynthgenError as error:
        show_traceback(error)
        fail(str(error), error.exit_code, type(error).__name__)
    except KeyboardInterrupt:
        if hasattr(signal, "pthread_sigmask"):
            # an interrupt inside code that a C library runs (an import of torch's) leaves a mark at which Python ends
            # by SIGINT instead of our exit code; and nothing may interrupt the end
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        fail("interrupted; nothing was published. The same command resumes", _INTERRUPTED, "Interrupted")
    except Untold as error:
        fail(str(error), 4, "PublishError")
    except OSError as error:
        if error.errno not in _SURROUNDINGS:
            bug(error)
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror}; nothing was published, and the same command resumes", 4, "PublishError")
    except MemoryError:
        fail(
            "there was not enough memory; nothing was published. 'synthgen plan' estimates what it takes: "
            "give fewer columns (--drop), fewer --jobs, or more memory",
            5,
            "EngineError",
        )
    except SystemExit as error:  # nothing of ours exits in there, and its code would be read as one of ours
        if isinstance(error.__context__, BrokenPipeError):  # typer's answer to a reader that is gone: not all is told
            leave(1)
        show_traceback(error)
        fail(
            "a class or a function of your own ended the process in mid-run (SYNTHGEN_DEBUG=1 shows where); nothing "
            "was published: let it raise an error instead",
            5,
            "EngineError",
        )
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # a usage error of typer's
            usage(error)
        bug(error)
    leave(code)
