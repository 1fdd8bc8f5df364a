"""The command lines that repeat a training, or continue from its model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from semiseg.config.compare import CompareConfig
from semiseg.config.grid import LISTS
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import AUTO, Value, flag
from semiseg.config.train import FREE, TrainConfig
from semiseg.core import shell

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
    config: TrainConfig | None,
    corrected: Sequence[Path],
    data: Path | None = None,
    classes: Path | None = None,
    out: str = OTHER,
) -> str:
    """`semiseg train` with the settings of a run and from its model, on more masks.

    Args:
        run: the run folder.
        config: its settings, or None if they cannot be read.
        corrected: folders of corrected masks, besides those of the run.
        data: the data folder, if it moved since the training.
        classes: the file of the classes, if the corrected masks hold new ones.
        out: the folder of the new run.
    """
    earlier = () if config is None else config.data.corrected
    folders = [Path(shorten(folder)) for folder in (*earlier, *corrected)]
    config = None if config is None else config.replaced(corrected=())
    return shell.join(
        ["semiseg", *continue_words(run, config, folders, data, classes), "--out", out]
    )


def continue_words(
    run: Path,
    config: TrainConfig | None,
    corrected: Sequence[Path],
    data: Path | None = None,
    classes: Path | None = None,
) -> list[str]:
    """The words of `continue_command` after the name of the program, without the output folder."""
    earlier = () if config is None else config.data.corrected
    folders: list[Value] = [str(folder) for folder in dict.fromkeys((*earlier, *corrected))]
    place = [] if data is None else [str(data)]
    settings = [] if config is None else ["--config", str(run / "config.yaml")]
    words = ["train", *place, *settings, "--start-from", str(run)]
    words += [] if classes is None else ["--classes", str(classes)]
    return words + flag_words({"corrected": folders})


def settings_command(
    run: Path, data: Path, config: TrainConfig | None, keep: Collection[str]
) -> str:
    """`semiseg train` on other data, with a few settings of a run and from its model.

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


def shorten(path: Path) -> str:
    """A path from the working folder on, if it lies below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else path)


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
