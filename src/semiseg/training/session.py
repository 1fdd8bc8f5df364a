"""The parts of a training that `train` puts together."""

from __future__ import annotations

import csv
import dataclasses
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import Progress
from torch.utils.data import DataLoader

from semiseg.augment.focus import Focus
from semiseg.augment.photometric import STRONG
from semiseg.checks.examine import examine
from semiseg.config.methods import MethodSettings, default_settings
from semiseg.config.plan import RATES
from semiseg.core.errors import ConfigError, RunError, SettingError, nearest
from semiseg.core.rng import Key
from semiseg.core.types import Batch
from semiseg.data.dataset import Dataset
from semiseg.data.formats.masks import Classes
from semiseg.data.splits import Split
from semiseg.inference.scenes import Scene, Scenes
from semiseg.methods import build_method
from semiseg.methods.base import Method
from semiseg.model.network import Network
from semiseg.model.release import load_release
from semiseg.training import class_balance as imbalance
from semiseg.training.batches import StepSampler, TrainingBatches
from semiseg.training.callbacks import LOG_EVERY, Looks, Watch
from semiseg.training.checkpoint import Checkpoints, SafeCheckpointIO, ignore_signals
from semiseg.training.devices import Place, quiet, trainer_settings
from semiseg.training.diagnostics import Diagnostics
from semiseg.training.metrics_table import Table
from semiseg.training.module import TrainingModule
from semiseg.training.run_folder import CHECKPOINTS

console = Console(stderr=True)

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def check(settings: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        ConfigError: a number is out of its range, or the method has no such setting.
    """
    for name in ("steps", "batch", "accumulate", "looks", "devices", "num_nodes"):
        if settings[name] is not None and settings[name] < 1:
            raise ConfigError(f"--{name} {settings[name]} is too small; at least 1 is needed.")
    if settings["range"] is not None and not settings["range"][0] < settings["range"][1]:
        raise ConfigError(f"--range {settings['range']}: the first value must be the smaller one.")
    if settings["photometry"] not in STRONG:
        told = nearest(settings["photometry"], STRONG)
        raise ConfigError(f"There is no --photometry '{settings['photometry']}'. {told}")
    if not 0 < settings["scale"][0] <= settings["scale"][1]:
        raise ConfigError(f"--scale {settings['scale']}: two factors above 0, the smaller first.")
    for name in ("lr", "encoder_lr", "weight_decay", "workers"):
        if settings[name] is not None and settings[name] < 0:
            raise ConfigError(f"--{name.replace('_', '-')} {settings[name]} is below 0.")
    if not 0 <= settings["lr_warmup"] < 1:
        raise ConfigError(
            f"--lr-warmup {settings['lr_warmup']} is no share of the steps, from 0 to below 1."
        )
    if settings["precision"] not in PRECISIONS:
        told = nearest(settings["precision"], PRECISIONS)
        raise ConfigError(f"There is no precision '{settings['precision']}'. {told}")
    if (
        settings["init"] is not None
        and Path(settings["init"]).resolve() == settings["out"].resolve()
    ):
        raise ConfigError("--init and --out name the same folder; choose another --out.")
    if settings["optimizer"] not in RATES:
        told = nearest(settings["optimizer"], RATES)
        raise ConfigError(f"There is no optimizer '{settings['optimizer']}'. {told}")
    if settings["batch"] == 1:
        raise ConfigError(
            "--batch 1 cannot be used: batch norm needs two images. Use --batch 2; if memory is "
            "short, a smaller --crop."
        )
    imbalance.check(settings)
    method = settings["method"]
    known = method_settings(method)
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The method {method} has no setting '{name}'. {nearest(name, known)}"
                if known
                else f"The method {method} has no settings, but '{name}' was given."
            )
    build_settings(method, options)


def check_kinds(
    function: Callable[..., Any], settings: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Refuse settings of a run's `config.yaml` that are of another kind than the parameters.

    Raises:
        ConfigError: there is no such method.
        RunError: one is of another kind.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(function, skip={"options"})
    try:
        parser.parse_object(dict(settings))
        build_settings(str(settings["method"]), options)
    except (ArgumentError, SettingError) as error:
        raise RunError(
            f"{settings['out']}/config.yaml is damaged ({' '.join(str(error).split())}). Restore "
            "it, or start a new run with another --out."
        ) from error


def method_settings(method: str) -> dict[str, Any]:
    """A method's settings with their defaults."""
    return {**default_settings(method).values()}


def build_settings(method: str, options: Mapping[str, Any]) -> MethodSettings:
    """A method's settings with the options among them; others are left out."""
    defaults = default_settings(method)
    own = {name: value for name, value in options.items() if name in defaults.values()}
    return dataclasses.replace(defaults, **own)


def say(sentences: Iterable[str]) -> None:
    """Tell the user what was inferred, derived and passed over."""
    for sentence in sentences:
        console.print(f"· {sentence}", markup=False, highlight=False, soft_wrap=True)


def checked_folder(
    root: Path,
    classes_file: Path | None,
    value_range: tuple[float, float] | None,
    dataset: str | None = None,
) -> Dataset:
    """Read a data folder, and refuse one in which `semiseg check` finds an error.

    Raises:
        DataError: the folder cannot be trained on; the text names the files.
    """
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("reading the images and masks", total=None)
        data = examine(
            root,
            classes_file,
            value_range,
            lambda done, total: bar.update(task, completed=done, total=total),
            dataset,
        )
    data.raise_errors()
    return data


def build_student(classes: int, s: SimpleNamespace, resumed: bool) -> Network:
    """The student, its random weights drawn from the seed."""
    Key.of(s.seed, "weights").seed_globals()
    shape = {k: vars(s)[k] for k in ("heads", "output_stride", "atrous_rates")}
    replaced = resumed or s.init is not None  # by the checkpoint's or the run's weights
    student = Network(classes, s.encoder, s.decoder, "none" if replaced else s.weights, **shape)
    student.spec["crop"] = s.crop  # as wide as it learns to look
    if not replaced:
        say([student.weights_source])
    return student


def build_module(method: Method, names: tuple[str, ...], s: SimpleNamespace) -> TrainingModule:
    """The Lightning module."""
    module = TrainingModule(
        method,
        names,
        s.steps,
        Key.of(s.seed),
        s.optimizer,
        s.lr,
        s.encoder_lr,
        s.weight_decay,
        s.lr_warmup,
    )
    return module.to(memory_format=torch.channels_last)


def assemble(
    s: SimpleNamespace,
    options: Mapping[str, Any],
    folder: Dataset,
    split: Split,
    resumed: bool = False,
) -> tuple[TrainingModule, Focus | None]:
    """Student, method and losses as a module, and how crops look for rare classes."""
    names = folder.classes.names
    student = build_student(len(names), s, resumed)
    method = build_method(s.method, student, build_settings(s.method, options))
    module = build_module(method, names, s)
    pixels = imbalance.count_pixels(split.labeled, folder.pixels, len(names))
    imbalance.set_loss(module.method, s, pixels)
    return module, imbalance.make_focus(s, pixels)


def start_from(method: Method, run: Path, names: tuple[str, ...], s: SimpleNamespace) -> None:
    """Take the weights of a finished run, and say what is not as it was there.

    Raises:
        RunError: the folder holds no model that can be read.
        ConfigError: the run has another encoder or decoder.
    """
    release = load_release(run)
    added = method.start_from(release, names)
    told = f"starting from {run}" + (f"; new classes: {', '.join(added)}" if added else "")
    if release.size != s.size:
        told += (
            f"; it was trained at size {release.size}, this run is at {s.size} (--size "
            f"{release.size} keeps it)"
        )
    before, now = ((0, 65535) if r is None else tuple(r) for r in (release.value_range, s.range))
    if before != now:
        told += (
            f"; its images of 16 bits were read by the range {before[0]:g},{before[1]:g}, those of "
            f"this run are by {now[0]:g},{now[1]:g} (--range {before[0]:g},{before[1]:g} keeps it)"
        )
    say([told])


def training_loader(
    split: Split,
    classes: Classes,
    s: SimpleNamespace,
    place: Place,
    start: int,
    focus: Focus | None,
) -> DataLoader[Batch]:
    """The loader of the micro batches of the training from step `start` on, in their order."""
    uses_unlabeled = default_settings(s.method).uses_unlabeled
    if uses_unlabeled and not split.unlabeled:
        say([f"there are no unlabeled images: {s.method} learns from the labeled ones alone"])
    unlabeled = split.unlabeled if uses_unlabeled else ()
    batches = TrainingBatches(
        split.labeled,
        unlabeled,
        classes,
        s.size,
        s.crop,
        s.batch,
        Key.of(s.seed, "data"),
        s.range,
        focus,
        s.scale,
        s.photometry,
        place.rank,
        place.world,
    )
    return DataLoader(
        batches,
        batch_size=None,
        sampler=StepSampler(start * s.accumulate, s.steps * s.accumulate),
        num_workers=s.workers,
        worker_init_fn=ignore_signals,
    )


def validation_loader(
    split: Split, classes: Classes, s: SimpleNamespace, place: Place
) -> DataLoader[Scene]:
    """The loader of this process's part of the validation images, one at a time."""
    scenes = Scenes(split.val[place.rank :: place.world], classes, s.size, s.range)
    return DataLoader(scenes, batch_size=None, num_workers=s.workers, worker_init_fn=ignore_signals)


def diagnostics(split: Split, classes: Classes, s: SimpleNamespace) -> Diagnostics | None:
    """The looks at the pseudo-labels; None if they are not wanted or nothing is unlabeled."""
    if not (s.diagnostics and default_settings(s.method).uses_unlabeled and split.unlabeled):
        return None
    return Diagnostics(split, classes, s.size, s.range, s.out, Key.of(s.seed, "diagnostics"))


def fit(
    module: TrainingModule,
    training: DataLoader[Batch],
    validation: DataLoader[Scene],
    place: Place,
    watched: Diagnostics | None,
    s: SimpleNamespace,
    checkpoint: Path | None,
    start: int,
) -> None:
    """Train, look at `val` now and then and after the last step, and save checkpoints.

    Args:
        module: what to train.
        training: the micro batches from step `start` on.
        validation: this process's images to look at.
        place: which process this is.
        watched: looks at the pseudo-labels, or None.
        s: the settings of `train`.
        checkpoint: to go on from, or None.
        start: the checkpoint's step, or 0.

    Raises:
        SemisegError: an image could not be read on the way, a checkpoint not written.
        Interrupted: the user stopped the training.
    """
    checkpoints = Checkpoints(s.out / CHECKPOINTS, s.looks, s.steps, s.data)
    with warnings.catch_warnings():
        # Lightning's advice on workers, logging intervals and folders is not for our users.
        warnings.filterwarnings("ignore", module="lightning")
        table = Table(s.out / "metrics.csv", _logged(s.out / "metrics.csv", start))
        board = TensorBoardLogger(s.out, name="", version="tensorboard", purge_step=start)
        trainer = L.Trainer(
            **trainer_settings(s.accelerator, s.devices, s.num_nodes),
            sync_batchnorm=place.kind == "cuda" and place.world > 1,
            precision=s.precision,
            max_steps=s.steps,
            max_epochs=-1,
            accumulate_grad_batches=s.accumulate,
            log_every_n_steps=LOG_EVERY,
            logger=[table, board],
            callbacks=[Watch(console), Looks(validation, s.looks, console, watched), checkpoints],
            plugins=[SafeCheckpointIO()],
            **quiet(),
        )
        with checkpoints.listening():
            trainer.fit(module, training, ckpt_path=checkpoint)


def _logged(file: Path, start: int) -> list[dict[str, float]]:
    """The rows of a metrics file up to the step that a training goes on from."""
    if not start or not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found: list[dict[str, float]] = []
    for row in rows:
        try:
            values = {k: int(v) if v.isdigit() else float(v) for k, v in row.items() if v}
            step = int(values["step"])
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # a line that was cut off
        # A look counts the steps that are behind it, a training row those before its own.
        last = start if any(k.startswith(("val/", "pseudo/")) for k in values) else start - 1
        if step <= last and None not in row.values():
            found.append(values)
    return found
