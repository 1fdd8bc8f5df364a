"""The batches of a training, and its validation images."""

from __future__ import annotations

from torch.utils.data import DataLoader

from semiseg.config.feature_views import FeatureViews
from semiseg.config.settings import decided, unless_auto
from semiseg.config.train import TrainConfig
from semiseg.core.rng import Key
from semiseg.core.types import Batch
from semiseg.inference.scenes import Scene, Scenes
from semiseg.training.batches import StepSampler, TrainingBatches, TrainingImages, Views
from semiseg.training.checkpoint import ignore_signals
from semiseg.training.class_balance import make_focus
from semiseg.training.data import TrainingData
from semiseg.training.place import Place


def training_loader(
    config: TrainConfig, data: TrainingData, place: Place, start: int = 0
) -> DataLoader[Batch]:
    """The loader of this process's micro batches, in their order.

    Args:
        config: the settings, as planned.
        data: the images.
        place: the rank of this process.
        start: the step that the training continues from.
    """
    views, schedule = config.views, config.schedule
    batches = TrainingBatches(
        TrainingImages(
            data.split.labeled,
            data.unlabeled,
            data.folder.classes,
            config.data.reading,
            data.labels,
            schedule.drawn_images,
        ),
        Views(
            decided(views.size),
            decided(views.crop),
            views.scale,
            decided(views.photometry),
            make_focus(config.balance.rare_crops, data.pixels),
            FeatureViews(
                unless_auto(config.network.feature_views, 0),
                unless_auto(config.network.unlabeled_feature_views, 0),
            ),
            config.settings.strong_views,
        ),
        decided(schedule.batch),
        Key.of(schedule.seed, "data"),
        place.rank,
        place.world,
    )
    total = decided(schedule.steps) * schedule.accumulate
    return DataLoader(
        batches,
        batch_size=None,
        sampler=StepSampler(start * schedule.accumulate, total),
        num_workers=decided(config.machine.workers),
        worker_init_fn=ignore_signals,
    )


def validation_loader(
    config: TrainConfig, data: TrainingData, place: Place, count: int | None = None
) -> DataLoader[Scene]:
    """The loader of this process's validation images, one at a time.

    Args:
        config: the settings, as planned.
        data: the images.
        place: the rank of this process.
        count: use only so many images; all of them by default.
    """
    scenes = Scenes(
        data.split.val[:count][place.rank :: place.world],
        data.folder.classes,
        decided(config.views.size),
        config.data.reading,
    )
    return DataLoader(
        scenes,
        batch_size=None,
        num_workers=decided(config.machine.workers),
        worker_init_fn=ignore_signals,
    )
