"""How to make a run again: the command, or the call, from its configuration. May import config."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import PurePath

from synthgen.config import BalanceConfig
from synthgen.data.dataset import text_of

_LEFT_OUT = frozenset({"data", "out", "work", "jobs", "label", "seed"})
_ONLY_SET = frozenset({"engine_options", "fine_tune"})


def settings(config: BalanceConfig) -> dict[str, object]:
    """Return what the configuration says other than by default; of a path only its last part, never where it lies."""
    plain: dict[str, object] = config.model_dump()
    chosen = {
        name: plain[name]
        for name, field in BalanceConfig.model_fields.items()
        if name not in _LEFT_OUT and getattr(config, name) != field.get_default(call_default_factory=True)
    }
    if config.holdout_data:
        chosen["holdout_data"] = PurePath(config.holdout_data).name
    return chosen


def command_line(config: BalanceConfig, *, source: str, label: str) -> str:
    """Return the command that makes the run again from the file ``source``."""
    parts = ["synthgen", "balance", source, "--label", label]
    for name, value in settings(config).items():
        option = f"--{name.replace('_', '-')}"
        if name in _ONLY_SET:
            inner = value if isinstance(value, Mapping) else {"": value}
            for key, each in inner.items():
                parts += ["--set", f"{name}{'.' if key else ''}{key}={json.dumps(each, ensure_ascii=False)}"]
        elif isinstance(value, bool):
            parts += [option] * value
        elif isinstance(value, Mapping):
            parts += [option, ",".join(f"{text_of(key)}={each}" for key, each in value.items())]
        elif isinstance(value, tuple):
            parts += [text for each in value for text in (option, str(each))]
        else:
            parts += [option, f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)]
    return shlex.join([*parts, "--seed", str(config.seed)])


def python_call(config: BalanceConfig, *, label: str) -> str:
    """Return the call that makes the run again from a table in memory."""
    options = {"label": label, **settings(config), "seed": config.seed}
    return f"synthgen.balance(table, {', '.join(f'{name}={value!r}' for name, value in options.items())})"
