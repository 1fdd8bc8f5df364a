"""The training of the second network of a run, which labels images together with the first one.

Its encoder is frozen, and only its decoder learns from the labeled images. On a CPU the features of
the encoder are cached, see `training.feature_cache`, so that a step costs little.
"""

from __future__ import annotations

import logging
from pathlib import Path

from semiseg.config.encoder_training import TrainedPart
from semiseg.config.feature_views import WINDOW_OF_SECOND, views_of_second
from semiseg.config.network import NetworkConfig
from semiseg.config.plan import rates
from semiseg.config.settings import decided
from semiseg.config.sizing import crop_multiple, crop_of
from semiseg.config.train import FREE, MOVABLE, TrainConfig
from semiseg.core.text import percent
from semiseg.evaluation.choice import cross_fit
from semiseg.model.encoders import plain_vit_patch
from semiseg.model.metadata import WeightsRecord
from semiseg.model.network import Network
from semiseg.training import run_folder
from semiseg.training.data import TrainingData
from semiseg.training.feature_planning import plan_features
from semiseg.training.module import TrainingModule
from semiseg.training.stage import Stage, second_folder, with_method
from semiseg.training.start_weights import confirm_weights
from semiseg.training.val_counts import read_counts

_PART: TrainedPart = "head"

logger = logging.getLogger(__name__)


def second_config(config: TrainConfig, device: str) -> TrainConfig | None:
    """The settings of the training of the second network; None for a run without one.

    What belongs to its encoder follows the rules of the plan; the rest is as in the run.

    Args:
        config: the settings, with decided sizes.
        device: `cpu`, `cuda` or `mps`.

    Raises:
        ConfigError: there is no such encoder.
    """
    second = config.settings.second_network
    if second is None:
        return None
    patch = plain_vit_patch(second.encoder)
    rate, encoder_rate = rates(config.optimizer.optimizer, patch, _PART)
    views = views_of_second(second.scale, device)
    size = second.size(decided(config.views.size))
    return with_method(config, "supervised").replaced(
        encoder=second.encoder,
        weights=second.weights,
        weights_sha256=None,
        start_from=None,
        decoder="deeplabv3plus" if patch is None else "detail",
        heads=NetworkConfig.heads,
        output_stride=None,
        atrous_rates=None,
        encoder_training=_PART,
        lora_rank=NetworkConfig.lora_rank,
        gradient_checkpointing=False,
        drop_path=0.0,
        feature_views=views,
        unlabeled_feature_views=views,
        feature_window=WINDOW_OF_SECOND if views else 0,
        lr=rate,
        encoder_lr=encoder_rate,
        layer_decay=1.0,
        size=size,
        crop=crop_of(size, crop_multiple(patch)),
        steps=second.steps(decided(config.schedule.steps)),
        validations=1,
        out=second_folder(config.out),
    )


def second_stages(config: TrainConfig, device: str, unlabeled: bool) -> tuple[Stage, ...]:
    """The training of the second network as a stage that comes before all others.

    Args:
        config: the settings, as planned.
        device: `cpu`, `cuda` or `mps`.
        unlabeled: whether there are unlabeled images to label.

    Returns:
        One stage, or none for a run without a second network.

    Raises:
        ConfigError: there is no such encoder.
    """
    own = second_config(config, device) if unlabeled else None
    total = len(config.settings.shares_of_stages)
    return () if own is None else (Stage(0, total, own, config, labeled_only=True),)


def load_second(stage: Stage) -> WeightsRecord:
    """Load the weights of the second encoder, to see that they are there before a training begins.

    Args:
        stage: the training of the second network.

    Raises:
        ConfigError: the weights cannot be used.
        HubError: the hub does not give the weights.
    """
    network, reading = stage.config.network, stage.config.data.reading
    return Network(
        2,
        network.encoder,
        weights=network.weights,
        channels=reading.channels,
        colors=reading.color_channels,
    ).weights_record


def settle(stage: Stage, data: TrainingData, module: TrainingModule, begun: bool) -> Stage:
    """The stage of the second network with the hash of its weights and the views that fit.

    Args:
        stage: the stage, before its first step.
        data: the labeled images.
        module: what is trained.
        begun: the settings are those that the stage began with; its views stay.

    Raises:
        ConfigError: the weights are not those that the stage began with.
    """
    config = confirm_weights(stage.config, module.method.student.weights_record)
    if not begun:
        config = plan_features(config, NetworkConfig(), data, module.method.student)
    return stage._replace(config=config)


def has_say(stage: Stage, second: Path, data: TrainingData) -> bool:
    """Whether the second network labels images too: it is not worse than the model of a stage.

    Worse means by more than one standard error on `val`, see `evaluation.choice`.

    Args:
        stage: the stage that learns the labels; the model of the one before labels the images.
        second: the run folder of the second network.
        data: the images.

    Raises:
        RunError: a file of the two models cannot be read.
    """
    images, classes = [sample.name for sample in data.split.val], len(data.folder.classes)
    own, other = (read_counts(run, images, classes) for run in (stage.before(), second))
    choice = cross_fit(own.in_stage(1).joined(other.in_stage(2)), images)[0]
    comparison = choice.first_stage
    if comparison is None:
        raise ValueError("two models were compared as one")
    logger.info(
        "mIoU on val: the second network %s, the model of stage %d %s (standard error of the "
        "difference %s). %s",
        percent(comparison.last_miou),
        stage.number - 1,
        percent(comparison.miou),
        percent(comparison.standard_error),
        "The second network is worse by more than that and gets no say in the labels"
        if choice.is_first_stage
        else "The labels are of the mean of both",
    )
    return not choice.is_first_stage


def as_begun(stage: Stage) -> Stage:
    """The stage of the second network with the settings that it began with.

    Raises:
        RunError: its `config.yaml` cannot be read.
    """
    now = stage.config.values()
    begun = run_folder.read_config(stage.config.out)
    return stage._replace(config=begun.replaced(**{name: now[name] for name in FREE | MOVABLE}))
