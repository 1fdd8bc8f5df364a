"""The parts of a training that `train` puts together."""

from __future__ import annotations

import inspect
import logging
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console
from torch.utils.data import DataLoader

from semiseg.data.masks import Classes
from semiseg.data.splits import Split
from semiseg.draws import Key
from semiseg.engine.batches import StepSampler, TrainingBatches
from semiseg.engine.callbacks import LOG_EVERY, Watch
from semiseg.engine.module import RATES, OptimizerName, TrainingModule
from semiseg.errors import ConfigError, SemisegError, nearest
from semiseg.evaluate.inference import Scene, Scenes
from semiseg.methods.base import Method
from semiseg.model.network import Network
from semiseg.plan import Plan
from semiseg.types import Batch

console = Console(stderr=True)

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def check(settings: Mapping[str, Any], learner: type[Method], options: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        ConfigError: a number is out of its range, or the method has no such setting.
    """
    for name in ("steps", "batch", "accumulate", "looks"):
        if settings[name] < 1:
            raise ConfigError(f"--{name} {settings[name]} is too small; at least 1 is needed.")
    if settings["batch"] < 2:
        raise ConfigError(
            "--batch 1 cannot be used: batch norm needs two images. Use --batch 2; if memory is "
            "short, a smaller --crop."
        )
    known = method_settings(learner)
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The method {learner.name} has no setting '{name}'. {nearest(name, known)}"
                if known
                else f"The method {learner.name} has no settings, but '{name}' was given."
            )


def method_settings(learner: type[Method]) -> list[str]:
    """The names of a method's settings: its constructor's parameters after the student."""
    return [name for name in inspect.signature(learner).parameters if name != "student"]


def set_device(accelerator: str, threads: int | None) -> tuple[str, int]:
    """Choose the device's kind and the number of CPU threads.

    Returns:
        `cpu`, `cuda` or `mps`, and the threads.

    Raises:
        ConfigError: there is no such accelerator here.
    """
    if threads is not None:
        if threads < 1:
            raise ConfigError(f"--threads {threads} is too small; at least 1 is needed.")
        torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = L.Trainer(
                accelerator=accelerator, devices=1, logger=False, **_quiet(), max_steps=1
            )
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(
            f"--accelerator {accelerator} cannot be used here ({error}). 'auto' takes the best "
            "device there is, 'cpu' always works."
        ) from error
    return trainer.strategy.root_device.type, torch.get_num_threads()


def say(sentences: Iterable[str]) -> None:
    """Tell the user what was inferred, derived and passed over."""
    for sentence in sentences:
        console.print(f"· {sentence}", highlight=False, soft_wrap=True)


def build_student(classes: int, seed: int, encoder: str, decoder: str, weights: str) -> Network:
    """The student, its random weights drawn from the seed."""
    Key.of(seed, "weights").seed_globals()
    student = Network(classes, encoder, decoder, weights)
    say([student.weights_source])
    return student


def build_method(learner: type[Method], student: Network, options: Mapping[str, Any]) -> Method:
    """The method around the student."""
    return learner(student, **options)


def build_module(
    method: Method,
    names: tuple[str, ...],
    *,
    steps: int,
    seed: int,
    optimizer: OptimizerName,
    lr: float | None,
    encoder_lr: float | None,
    weight_decay: float,
    lr_warmup: float,
) -> TrainingModule:
    """The Lightning module, with the optimiser's default rates where none are given."""
    if optimizer not in RATES:
        raise ConfigError(f"There is no optimizer '{optimizer}'. {nearest(optimizer, RATES)}")
    rest, inner = RATES[optimizer]
    module = TrainingModule(
        method,
        names,
        steps,
        Key.of(seed),
        optimizer,
        rest if lr is None else lr,
        inner if encoder_lr is None else encoder_lr,
        weight_decay,
        lr_warmup,
    )
    return module.to(memory_format=torch.channels_last)


def training_loader(
    split: Split,
    classes: Classes,
    plan: Plan,
    batch: int,
    total: int,
    seed: int,
    learner: type[Method],
) -> DataLoader[Batch]:
    """The loader of all micro batches of the training, in their order."""
    if learner.uses_unlabeled and not split.unlabeled:
        say([f"there are no unlabelled images: {learner.name} learns from the labelled ones alone"])
    unlabeled = split.unlabeled if learner.uses_unlabeled else ()
    batches = TrainingBatches(
        split.labeled, unlabeled, classes, plan.size, plan.crop, batch, Key.of(seed, "data")
    )
    return DataLoader(
        batches, batch_size=None, sampler=StepSampler(total), num_workers=plan.workers
    )


def validation_loader(split: Split, classes: Classes, plan: Plan) -> DataLoader[Scene]:
    """The loader of the validation images, one at a time."""
    scenes = Scenes(split.val, classes, plan.size)
    return DataLoader(scenes, batch_size=None, num_workers=plan.workers)


def fit(
    module: TrainingModule,
    training: DataLoader[Batch],
    validation: DataLoader[Scene],
    *,
    out: Path,
    looks: int,
    accumulate: int,
    accelerator: str,
    precision: Precision,
) -> float:
    """Train, look at `val` now and then and after the last step.

    Returns:
        Seconds of the training, its validations included.

    Raises:
        SemisegError: an image could not be read on the way.
    """
    every = max(1, module.steps // looks)
    with warnings.catch_warnings():
        # Lightning's advice on workers and logging intervals is not for our users.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = L.Trainer(
            accelerator=accelerator,
            devices=1,
            precision=precision,
            max_steps=module.steps,
            max_epochs=-1,
            accumulate_grad_batches=accumulate,
            val_check_interval=every * accumulate,
            check_val_every_n_epoch=None,
            log_every_n_steps=LOG_EVERY,
            logger=[
                CSVLogger(out, name="", version=""),
                TensorBoardLogger(out, name="", version="tensorboard"),
            ],
            callbacks=[
                Watch(console),
                ModelCheckpoint(
                    out / "checkpoints",
                    filename="{step}",
                    every_n_train_steps=every,
                    save_top_k=1,
                    monitor="step",
                    mode="max",
                ),
            ],
            **{**_quiet(), "enable_checkpointing": True},
        )
        start = time.monotonic()
        try:
            trainer.fit(module, training, validation)
            if not module.looks or module.looks[-1]["step"] != module.steps:
                trainer.validate(module, validation, verbose=False)
        except SemisegError as error:
            raise type(error)(_first_told(error)) from None
    return time.monotonic() - start


def _first_told(error: SemisegError) -> str:
    """The message itself: a loader process wraps it into its traceback."""
    return str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()


def _quiet() -> dict[str, Any]:
    """Trainer settings that leave the words to us."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    return {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
    }
