"""The command lines that repeat a run or a comparison."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semiseg.config.compare import LISTS, CompareConfig
from semiseg.config.settings import AUTO, flag
from semiseg.config.train import FREE, NetworkConfig, TrainConfig


def repeat_run(settings: Mapping[str, Any]) -> str:
    """`semiseg train` with all settings of a run that are not the defaults.

    Args:
        settings: the contents of its `config.yaml`.
    """
    config = TrainConfig.from_values(settings)
    given = {name: value for name, value in config.given().items() if name not in FREE}
    if config.method != TrainConfig.method:
        given = {"method": config.method, **given}
    words = ["semiseg", "train", str(settings["data"]), *_flags(given), "--out", "OTHER"]
    return shlex.join(words)


def go_on(
    settings: Mapping[str, Any],
    run: Path,
    data: Path | None = None,
    kept: Iterable[str] = ("dataset", "classes", "value_range", "size"),
) -> str:
    """`semiseg train` from the weights of a run, with what says how its images are read.

    Args:
        settings: the contents of its `config.yaml`.
        run: its folder.
        data: what to train on, if not the data of the run.
        kept: the settings to take over.
    """
    defaults = NetworkConfig().values()
    built = [name for name in ("encoder", "decoder") if settings.get(name) != defaults[name]]
    flags = _flags({name: settings.get(name) for name in (*kept, *built)})
    place = str(settings["data"] if data is None else data)
    return shlex.join(
        ["semiseg", "train", place, *flags, "--start-from", str(run), "--out", "OTHER"]
    )


def repeat_comparison(config: CompareConfig) -> str:
    """`semiseg compare` for the runs of a comparison."""
    grid = config.grid
    flags: dict[str, object] = {name: list(getattr(grid, name)) for name in LISTS}
    flags |= {**config.changes(), "steps": grid.steps}
    data = str(config.shared.data.data)
    return shlex.join(["semiseg", "compare", data, *_flags(flags), "--out", "OTHER"])


def _flags(settings: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in settings.items():
        if value is not None and value != AUTO:
            words += [f"--{_dashed(name)}", _spelled(value)]
    return words


def _dashed(name: str) -> str:
    """`class_weights` as `class-weights`; the method before a dot keeps its own name."""
    method, dot, setting = name.rpartition(".")
    return f"{method}{dot}{flag(setting).removeprefix('--')}"


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
