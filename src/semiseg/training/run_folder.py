"""The run folder: what a training leaves behind.

```
RUN/
  config.yaml        every setting, as planned; `semiseg train --config` repeats the run
  plan.yaml          the important settings, each with its reason; see `semiseg.config.plan`
  split/             labeled.txt, unlabeled.txt, val.txt: the names of the images; classes.json;
                     pool.json: which pool the other unlabeled images come from; unreadable.txt:
                     the images without masks that could not be read, and take no part
  labels/            the labels that a teacher gave the unlabeled images; see `training.labeling`
  stages/            the earlier stages of the training, each a run folder, and the second network;
                     see `training.stage`
  checkpoints/       the two newest checkpoints, to resume from
  metrics.csv        losses and scores by step; see `training.loggers`
  diagnostics/       the quality of the pseudo-labels; see `training.diagnostics`
  scores.json        the scores, with hashes of the images' names and versions
  confusion.csv      the pixels of val by true class (rows) and class that the released model
                     predicts (columns)
  report.html        a page that shows all of this; see `reporting`
  model.safetensors  the released model, with model.json beside it
```
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from semiseg._version import __version__
from semiseg.config.label_list import absolute_labels
from semiseg.config.plan import Plan
from semiseg.config.settings import flag
from semiseg.config.train import FREE, MOVABLE, TrainConfig
from semiseg.core.addresses import without_secrets
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import read_json, read_text, read_yaml, write_text
from semiseg.core.run_names import CONFIG as CONFIG
from semiseg.core.run_names import LEFT_OUT
from semiseg.core.run_names import SCORES as SCORES
from semiseg.core.scores import Scores, read_scores
from semiseg.core.types import Sample
from semiseg.data.formats.masks import Classes
from semiseg.data.splits import Split
from semiseg.model.weights import is_path
from semiseg.training.checkpoint import newest_intact
from semiseg.training.pool_record import check_pool, content_or_none, write_pool
from semiseg.training.stage import run_of_stage

logger = logging.getLogger(__name__)

PLAN = "plan.yaml"
CONFUSION = "confusion.csv"
CHECKPOINTS = "checkpoints"

_CLASSES = "classes.json"
_HEADER = "# semiseg "  # and the version that wrote the file


def check_writable(out: Path, overwrite: bool) -> None:
    """Make sure that a run folder may be written, before hours are spent on its contents.

    Raises:
        RunError: the folder holds something else, or cannot be created or written.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / CONFIG).is_file():
            raise RunError(
                f"{out} exists, but is not a run folder (it has no {CONFIG}). semiseg does not "
                "replace it. Choose another --out."
            )
        if not overwrite:
            raise RunError(
                f"{out} already holds a run. Go on with it (--resume), replace it "
                "(--overwrite), or choose another --out."
            )
    nearest = next(p for p in (out, *out.absolute().parents) if p.exists())
    try:
        if not nearest.is_dir():
            raise NotADirectoryError(f"{nearest} is a file")
        probe = nearest / ".semiseg-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(
            f"{out} cannot be written ({error}). Choose an --out that you may write to."
        ) from error


def check_whole(out: Path) -> None:
    """Refuse a folder that is a stage of a run, which cannot be trained alone.

    Raises:
        ConfigError: it is one.
    """
    if (run := run_of_stage(out)) is not None:
        raise ConfigError(
            f"{out} is a stage of the run {run}, and only the whole run can be trained or resumed. "
            f"Give --out {run}."
        )


def exists(out: Path) -> bool:
    """Whether the folder holds a run."""
    return (out / CONFIG).is_file()


def finished(out: Path) -> Scores | None:
    """The scores of a finished run, or None.

    Raises:
        RunError: `scores.json` cannot be read.
    """
    return read_scores(out / SCORES) if (out / SCORES).is_file() else None


def read_config(out: Path) -> TrainConfig:
    """The settings of a run.

    Raises:
        RunError: `config.yaml` cannot be read, or another version of semiseg wrote it.
    """
    file = out / CONFIG
    try:
        text = read_text(file)
        content = read_yaml(file)
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Start the run again.") from error
    version = text.partition("\n")[0].removeprefix(_HEADER).strip()
    if version != __version__:
        raise RunError(
            f"{out} was written by semiseg {version}, whose settings differ from those of "
            f"{__version__}. Resume it with that version, or start a new run with another --out."
        )
    try:
        if not isinstance(content, Mapping):
            raise ConfigError("It does not hold settings by name.")
        return TrainConfig.from_values(content, source=str(file))
    except ConfigError as error:
        raise RunError(
            f"{file} is damaged. {error} Restore the file, or start a new run with another --out."
        ) from error


def resumed_config(config: TrainConfig) -> TrainConfig:
    """The settings of a run that is to be resumed.

    Args:
        config: the settings of this call. Those that differ from their defaults are meant; those
            of `FREE` and `MOVABLE` may differ from the run's.

    Raises:
        RunError: the run cannot be read, another version wrote it, or a setting contradicts it.
    """
    out = config.out
    config = _with_absolute_files(config)
    run = read_config(out)
    earlier = run.values()
    settings = config.given()
    if config.method not in (run.method, TrainConfig.method):
        settings = {"method": config.method, **settings}
    # The budget was spent on the plan that the run began with.
    skipped = FREE | MOVABLE | {"budget"}
    for name, value in settings.items():
        if name not in skipped and (name not in earlier or value != earlier[name]):
            raise RunError(
                f"{flag(name)} {value} contradicts the run in {out}, which has "
                f"{earlier.get(name)}. Resume without it, or start a new run with another --out."
            )
    changed = {name: settings[name] for name in FREE | MOVABLE if name in settings}
    return run.replaced(**{**changed, "data": config.data.data, "out": out})


def find_checkpoint(out: Path, split: Split, classes: Classes) -> tuple[Path | None, int]:
    """The newest intact checkpoint and its step; None and 0 if there is none yet.

    Raises:
        RunError: the images or the classes have changed since the run began.
    """
    file = out / "split" / _CLASSES
    if content_or_none(file, read_json) != classes.to_dict():
        raise RunError(
            f"The classes are no longer those of {file}: masks or the file that names the classes "
            "have changed since the run began. Restore them, or start a new run."
        )
    check_pool(out, split.pool)
    for name, samples in split.lists().items():
        file = out / "split" / f"{name}.txt"
        if content_or_none(file, read_text) != _listed(samples):
            raise RunError(
                f"The {name} images are no longer those of {file}: images or masks were added or "
                "removed since the run began, or an image can no longer be read. Restore them, or "
                "start a new run."
            )
    return newest_intact(out / CHECKPOINTS) or (None, 0)


def note_pool(config: TrainConfig, split: Split) -> None:
    """Write down where the pool of a resumed run lies now, so that nobody has to name it again.

    Args:
        config: the settings of the run.
        split: the images, which `find_checkpoint` has compared with those of the run.

    Raises:
        OSError: the run folder cannot be written.
    """
    if split.pool is None:
        return
    pool, place = split.pool.pool, _shown_place(config)
    content = read_yaml(config.out / CONFIG)
    if isinstance(content, dict) and content.get("unlabeled") != place:
        text = _yaml({**content, "unlabeled": place})
        write_text(config.out / CONFIG, f"{_HEADER}{__version__}\n{text}")
    if write_pool(config.out, pool):
        logger.info("%s notes that its pool lies in %s now", config.out, pool.address)


def _shown_place(config: TrainConfig) -> str | None:
    """Where the further unlabeled images lie, without what is secret in an address."""
    place = config.data.unlabeled
    return None if place is None else without_secrets(place)


def create(config: TrainConfig, plan: Plan, split: Split, classes: Classes) -> None:
    """Create the folder with the settings, the plan, the lists of images and the classes.

    An old run in it is removed.

    Args:
        config: the settings, as planned.
        plan: the plan.
        split: the images.
        classes: the classes.
    """
    out = config.out
    # No folder of a user has these names: what lies there is left by a killed process.
    fresh = out.with_name(f"{out.name}.semiseg-new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "split").mkdir(parents=True)
    # The run may be read from another working folder.
    settings = _with_absolute_files(config).replaced(data=config.data.data.absolute()).values()
    settings["unlabeled"] = _shown_place(config)
    for name, samples in split.lists().items():
        (fresh / "split" / f"{name}.txt").write_text(_listed(samples), encoding="utf-8")
    write_text(fresh / "split" / _CLASSES, json.dumps(classes.to_dict(), indent=2) + "\n")
    if split.left_out:
        (fresh / LEFT_OUT).write_text(_listed(split.left_out), encoding="utf-8")
    if split.pool is not None:
        write_pool(fresh, split.pool.pool)
    write_text(fresh / PLAN, _yaml(plan.record().to_dict()))
    write_text(fresh / CONFIG, f"{_HEADER}{__version__}\n{_yaml(settings)}")
    # Renamed as a whole: a run folder is complete or missing, whenever the process is killed.
    old = out.with_name(f"{out.name}.semiseg-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.is_dir():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _with_absolute_files(config: TrainConfig) -> TrainConfig:
    """The settings with the absolute paths of the files that they name: weights, and a list."""
    second = config.settings.second_network
    sources = {"weights": config.network.weights}
    if second is not None:
        sources["second_weights"] = second.weights
    paths = {name: str(Path(w).absolute()) for name, w in sources.items() if is_path(w)}
    return config.replaced(**paths, labels=absolute_labels(config.data.labels))


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _listed(samples: Iterable[Sample]) -> str:
    return "".join(f"{s.name}\n" for s in samples)
