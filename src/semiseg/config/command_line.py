"""The command lines that repeat a training, or continue from its model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from semiseg.config.bands import READING_SETTINGS
from semiseg.config.compare import CompareConfig
from semiseg.config.grid import LISTS
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import AUTO, Value, flag
from semiseg.config.train import FREE, TrainConfig
from semiseg.core import shell

KEPT = (
    *("dataset", "images", "masks", "unlabeled", "group", "classes"),
    *READING_SETTINGS,
    *("exif", "size"),
)
"""The settings of the data and of their scale, which a further training needs too."""
OTHER = "OTHER"
"""The placeholder for the folder of the new run."""


def train_command(config: TrainConfig) -> str:
    """`semiseg train` with all settings that differ from their defaults and change the result."""
    settings = {name: value for name, value in config.given().items() if name not in FREE}
    if config.method != TrainConfig.method:
        settings = {"method": config.method, **settings}
    words = ["semiseg", "train", str(config.data.data), *flag_words(settings), "--out", OTHER]
    return shell.join(words)


def continue_command(
    run: Path,
    data: Path,
    config: TrainConfig | None,
    keep: Collection[str] = KEPT,
) -> str:
    """`semiseg train` that starts from the model of a run.

    Args:
        run: the run folder.
        data: the data folder of the new training.
        config: the settings of the run, or None if they cannot be read.
        keep: the settings to repeat. An encoder or a decoder that is not the default is repeated
            too.
    """
    settings: dict[str, Value] = {}
    if config is not None:
        values, network = config.values(), NetworkConfig().values()
        names = [*keep, *(n for n in ("encoder", "decoder") if values[n] != network[n])]
        settings = {name: values[name] for name in names}
    words = [*flag_words(settings), "--start-from", str(run), "--out", OTHER]
    return shell.join(["semiseg", "train", str(data), *words])


def compare_command(config: CompareConfig) -> str:
    """`semiseg compare` for the runs of a comparison."""
    grid = config.grid
    lists = {name: ",".join(map(str, getattr(grid, name))) for name in LISTS}
    length = {"steps": grid.steps} if grid.time is None else {}
    words = flag_words({**lists, **config.changes(), **length})
    data = str(config.shared.data.data)
    return shell.join(["semiseg", "compare", data, *words, "--out", OTHER])


def flag_words(settings: Mapping[str, Value]) -> list[str]:
    """Flags with their values; settings without a value and those with `auto` are left out.

    A setting of one method in a comparison has the method before a dot, such as `css.anchors`.

    Example:
        >>> flag_words({"encoder_lr": 0.1, "scale": [0.5, 1.5], "diagnostics": False})
        ['--encoder-lr', '0.1', '--scale', '0.5,1.5', '--no-diagnostics']
    """
    words = []
    for name, value in settings.items():
        if value is None or value == AUTO:
            continue
        method, dot, setting = name.rpartition(".")
        setting = flag(setting).removeprefix("--")
        option = f"{method}{dot}{setting}"
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--{method}{dot}no-{setting}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            # A value that begins with a minus would look like a flag.
            words += [f"--{option}={text}"] if text.startswith("-") else [f"--{option}", text]
    return words
