"""What each command of the line does: options to a config, the pipeline's functions, their results to the terminal.

Loaded when a command runs, never for help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import typer

from synthgen.config import BalanceConfig, merged
from synthgen.console import terminal
from synthgen.errors import ConfigError

Options = Mapping[str, object]

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def config_of(options: Options) -> BalanceConfig:
    """Return the config of a command's options, merged with environment and files."""
    values = {name: value for name, value in options.items() if name in BalanceConfig.model_fields and value != []}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    sets = cast("list[str]", options.get("set_") or [])
    return merged(plain, file=cast("Path | None", options.get("config")), sets=tuple(sets))


def balance(options: Options) -> None:
    """Run the main job; exit 6 after a FAIL, 7 after NO LIFT or INCONCLUSIVE under require-pass."""
    quiet, as_json = bool(options["quiet"]), bool(options["json"])
    with terminal.Reporter(quiet=quiet) as reporter:
        reporter("read", 0.0, "loading")
        from synthgen.pipeline import balance as run

        config = config_of(options)
        result = run(str(config.data), config=config, report=reporter)
    if as_json:
        terminal.show_json(result.to_json())
    else:
        from synthgen.console.summary import show_result

        show_result(result)
    raise typer.Exit(result.verdict.exit_code(config.gate))


def plan(options: Options) -> None:
    """Show what balance would do."""
    from synthgen.console.summary import show_forecast
    from synthgen.forecast import forecast

    config = config_of(options)
    made = forecast(str(config.data), config)
    if options["json"]:
        terminal.show_json(made.to_json())
    else:
        show_forecast(made)


def check(options: Options) -> None:
    """Judge rows that any tool made."""
    from synthgen.console.summary import show_verdict
    from synthgen.judge import judge

    reading = ("label", "drop", "categorical", "drop_unlabelled", "inf", "size", "flips", "bad_images")
    names = (*reading, "estimator", "metric", "gate", "jobs", "seed")
    config = config_of({name: options[name] for name in names})
    with terminal.Reporter(quiet=bool(options["quiet"])) as reporter:
        verdict = judge(
            Path(str(options["real"])), Path(str(options["synthetic"])), Path(str(options["holdout"])), config, reporter
        )
    if options["json"]:
        terminal.show_json(verdict.to_json())
    else:
        show_verdict(verdict)
    raise typer.Exit(verdict.exit_code(config.gate))


def sample(options: Options) -> None:
    """Draw rows from a published model folder to a parquet file."""
    from synthgen.judge import draw

    trusted = tuple(cast("list[str]", options["trust"] or []))
    out = Path(str(options["out"]))
    rows = draw(
        Path(str(options["model"])),
        str(options["label"]),
        int(str(options["n"])),
        seed=int(str(options["seed"] or 0)),
        out=out,
        trusted=trusted,
    )
    again = 0 if rows.repeated is None else int(rows.repeated.sum())
    if options["json"]:
        terminal.show_json({"rows": len(rows), "repeated": again, "out": str(out)})
    else:
        told = f", {again} of them real rows again" if again else ""
        terminal.show_lines([f"{len(rows)} rows written to {out}{told}"])


def report(run: Path, out: Path | None, open_it: bool) -> None:
    """Rebuild a report."""
    from synthgen.judge import rebuild_report

    path = rebuild_report(run, out)
    terminal.show_lines([f"report written to {path}"])
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def verify(folder: Path, *, as_json: bool) -> None:
    """Check published bytes; exit 4 where any differs."""
    from synthgen.shards.reader import verify as run

    found = run(folder)
    if as_json:
        problems = [{"path": p.path, "kind": p.kind, "detail": p.detail} for p in found.problems]
        terminal.show_json(
            {"ok": found.ok, "files": found.n_files, "size_bytes": found.size_bytes, "problems": problems}
        )
    else:
        lines = [f"{problem.kind}: {problem.path} ({problem.detail})" for problem in found.problems]
        lines.append(
            f"{found.n_files} files, {found.size_bytes:,} bytes: {'as published' if found.ok else 'NOT whole'}"
        )
        terminal.show_lines(lines)
    raise typer.Exit(0 if found.ok else 4)


def gc(folder: Path, keep: int, older_than: str | None, *, as_json: bool) -> None:
    """Remove what is no longer named."""
    from synthgen.shards.reader import gc as run

    removed = run(folder, keep=keep, older_than_seconds=_seconds(older_than or "1d"))
    if as_json:
        terminal.show_json(
            {"removed": [{"path": g.path, "size_bytes": g.size_bytes, "reason": g.reason} for g in removed]}
        )
    else:
        lines = [f"removed {g.path} ({g.size_bytes:,} bytes): {g.reason}" for g in removed]
        terminal.show_lines(lines or ["nothing to remove"])


def _seconds(age: str) -> float:
    match = _AGE.fullmatch(age)
    if match is None:
        raise ConfigError(f"--older-than {age!r}: write a number and s, m, h or d, such as 12h or 30d")
    return float(match[1]) * _SECONDS[match[2]]


def engines(*, as_json: bool) -> None:
    """List the engines."""
    from dataclasses import asdict

    from synthgen.engines import ENGINES, engine_info

    infos = [engine_info(name) for name in ENGINES]
    if as_json:
        terminal.show_json({"engines": [asdict(info) for info in infos]})
        return
    rows = [(info.name, ", ".join(info.modalities), str(info.min_rows), info.summary, info.when) for info in infos]
    terminal.show_table("engines", ("name", "for", "min rows", "what it does", "when"), rows, left=5)
