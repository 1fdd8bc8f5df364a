"""The options of `train`, `plan` and `compare` besides the settings of their runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from semiseg.config.methods import DEFAULT_METHOD, FALLBACK_METHOD, METHODS, ONLINE_METHOD
from semiseg.config.settings import AUTO, Settings


@dataclass(frozen=True)
class TrainData(Settings):
    """The data folder of a training, which `--config` may name instead."""

    data: Path | None = None
    """The data folder, with `train/images`, `train/masks`, `val/` and `unlabeled/`."""


@dataclass(frozen=True, kw_only=True)
class MethodChoice(Settings):
    """How a training learns."""

    method: str = field(
        default=AUTO,
        metadata={
            "help": f"The method: {', '.join(f'`{name}`' for name in METHODS)}. With `auto`, it is "
            f"`{DEFAULT_METHOD}`; `{ONLINE_METHOD}` for a pool; or `{FALLBACK_METHOD}` where "
            "unlabeled images are too few or too different to help. "
            "`--method NAME --help` lists its settings."
        },
    )


@dataclass(frozen=True, kw_only=True)
class Output(Settings):
    """What a command prints."""

    quiet: bool = False
    """Print warnings, errors and the result only."""


@dataclass(frozen=True, kw_only=True)
class JsonOutput(Output):
    """What a command prints that has a JSON form."""

    json: bool = False
    """Print the result as JSON."""


@dataclass(frozen=True, kw_only=True)
class Sources(Output):
    """Where the settings of a training come from. A flag wins over a file, a file over a recipe."""

    config: Path | None = None
    """A YAML file with settings, such as the `config.yaml` of a run."""
    recipe: str | None = None
    """A named set of settings that repeats an experiment. Those of the CSS paper are for GPUs:
    `voc-classic`, `voc-blender`, `cityscapes`, `ade20k`, `cocostuff10k`. Our own are for a CPU:
    `camvid-cpu`, `peanut-cpu`. Other flags win over the recipe."""
    print_config: bool = False
    """Print all settings as YAML for `--config`, and stop."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Output):
    """What `compare` does besides a comparison."""

    dry_run: bool = False
    """Show the runs with their steps and their expected time, and stop. semiseg measures a few
    steps of each method first, and remembers their speed for an hour. Nothing is trained."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Sources):
    """What `train` does with a run folder that exists."""

    dry_run: bool = False
    """Build everything, take one small step and estimate the time and memory. Nothing is written.
    """
    overwrite: bool = False
    """Replace an existing run folder."""
    resume: bool = False
    """Continue a training that was stopped, from its newest checkpoint and with its settings. On a
    CPU the result equals that of an uninterrupted training, bit by bit. Without a checkpoint, the
    training starts from the beginning."""
