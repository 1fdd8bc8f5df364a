"""The steps of a training: from the newest checkpoint to the last step."""

from __future__ import annotations

import warnings
from contextlib import closing
from pathlib import Path
from typing import cast

import lightning as L

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.rng import Key
from semiseg.training import run_folder
from semiseg.training.batches import TrainingBatches
from semiseg.training.callbacks import LOG_EVERY, ProgressBar, Validations
from semiseg.training.checkpoint import Checkpoints, SafeCheckpointIO, how_to_resume
from semiseg.training.data import TrainingData
from semiseg.training.devices import trainer_settings
from semiseg.training.diagnostics import Diagnostics
from semiseg.training.feature_cache import FeatureCache
from semiseg.training.loaders import training_loader, validation_loader
from semiseg.training.loggers import make_loggers
from semiseg.training.module import TrainingModule
from semiseg.training.place import Place
from semiseg.training.pool_images import PoolImages
from semiseg.training.reliability import Snapshots
from semiseg.training.stage import Stage
from semiseg.training.unreadable_images import UnreadableImages
from semiseg.training.watching import Watch, Watcher


def fit(
    stage: Stage,
    place: Place,
    data: TrainingData,
    module: TrainingModule,
    checkpoint: Path | None,
    start: int,
    watcher: Watcher | None = None,
) -> None:
    """Train, validate at even intervals, and save checkpoints.

    Args:
        stage: the stage that these steps are.
        place: the device, and the rank of this process.
        data: the images.
        module: what is trained.
        checkpoint: the checkpoint to continue from, or None.
        start: the checkpoint's step, or 0.
        watcher: is shown each validation.

    Raises:
        SemisegError: an image could not be read, or a checkpoint not written.
        Interrupted: the user stopped the training.
    """
    config = stage.config
    module.steps_before, module.steps_after = stage.steps_before, stage.steps_after
    validations = decided(config.validation.validations)
    from_pool = isinstance(data.unlabeled, PoolImages)
    checkpoints = Checkpoints(
        config.out / run_folder.CHECKPOINTS,
        validations,
        module.steps,
        how_to_resume(config.data.data, stage.run.out),
        stage.title,
    )
    callbacks = [
        ProgressBar(stage.title),
        Validations(
            validation_loader(config, data, place),
            validations,
            _diagnostics(config, data),
            stage.title,
            None if watcher is None else _watch(watcher, stage, data),
        ),
        *([Snapshots(config.out)] if stage.keeps_snapshots else []),
        *([UnreadableImages(decided(config.schedule.batch))] if from_pool else []),
        checkpoints,
    ]
    with warnings.catch_warnings():
        # Lightning's advice on workers, logging intervals and folders is not for our users.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = L.Trainer(
            **trainer_settings(config.machine),
            sync_batchnorm=place.kind == "cuda" and place.world > 1,
            precision=decided(config.machine.precision),
            max_steps=module.steps,
            max_epochs=-1,
            accumulate_grad_batches=config.schedule.accumulate,
            log_every_n_steps=LOG_EVERY,
            logger=make_loggers(config.run.logger, config.out, start),
            callbacks=callbacks,
            plugins=[SafeCheckpointIO()],
        )
        loader = training_loader(config, data, place, start)
        features = FeatureCache(cast(TrainingBatches, loader.dataset), config.network)
        module.features = features
        with checkpoints.listening(), closing(features):
            trainer.fit(module, loader, ckpt_path=checkpoint)


def _diagnostics(config: TrainConfig, data: TrainingData) -> Diagnostics | None:
    """The measurement of pseudo-labels; None if it is off, or if there are none."""
    if not (config.validation.diagnostics and data.unlabeled):
        return None
    return Diagnostics(
        data.split,
        data.folder.classes,
        decided(config.views.size),
        config.data.reading,
        config.out,
        Key.of(config.schedule.seed, "diagnostics"),
    )


def _watch(watcher: Watcher, stage: Stage, data: TrainingData) -> Watch:
    """What shows a watcher the validations of a stage."""
    config = stage.config
    return Watch(
        watcher,
        stage,
        data.split.val,
        data.folder.classes,
        decided(config.views.size),
        config.data.reading,
    )
