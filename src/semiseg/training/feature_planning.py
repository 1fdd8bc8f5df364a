"""How many views of a training have cached features: what the network and the disk allow."""

from __future__ import annotations

import logging

from semiseg.config.feature_views import FeatureViews, fit_feature_views
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import AUTO, decided
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError
from semiseg.model.network import Network
from semiseg.training.data import TrainingData
from semiseg.training.feature_cache import (
    GB,
    describe,
    entry_bytes,
    frozen_features,
    probe_image,
)
from semiseg.training.feature_store import room_for_features

logger = logging.getLogger(__name__)


def plan_features(
    config: TrainConfig, request: NetworkConfig, data: TrainingData, student: Network
) -> TrainConfig:
    """Reduce the views with cached features to what the network and the disk allow.

    Args:
        config: the settings, as planned.
        request: the settings of the network before the plan. What is not `auto` there stays.
        data: the images.
        student: the network that learns, with its frozen parts.

    Returns:
        The settings with the views that fit; a line of the log says what has changed.

    Raises:
        ConfigError: the views that the user asked for cannot be cached.
    """
    network = config.network
    views = FeatureViews(decided(network.feature_views), decided(network.unlabeled_feature_views))
    if not views.labeled:
        return config
    probe = probe_image(decided(config.views.crop), student.spec.channels)
    features = frozen_features(student, probe)
    fitting = None
    if not features:
        problem = (
            f"With --encoder-training {network.encoder_training}, the encoder {network.encoder} "
            "has no frozen part that can be computed once."
        )
        remedy = "Use --encoder-training head or last-N, or leave --feature-views out."
    else:
        size = entry_bytes(sum(f.numel() for f in features))
        labeled, unlabeled = len(data.split.labeled), len(data.unlabeled)
        room = room_for_features(round(network.feature_disk * GB))
        strong = config.settings.strong_views
        needed = views.entries(labeled, unlabeled, strong) * size
        problem = (
            f"The cached features of {describe(views, unlabeled)} take {needed / GB:.3g} GB, but "
            f"the cache may take {room / GB:.3g} GB (--feature-disk, at most half of the free "
            "disk)."
        )
        remedy = "Raise --feature-disk, free some disk, or use fewer with --feature-views."
        fitting = fit_feature_views(views, request, labeled, unlabeled, room // size, strong)
    if fitting == views:
        return config
    if fitting is not None:
        logger.info("%s So semiseg caches %s.", problem, describe(fitting, len(data.unlabeled)))
    elif (request.feature_views, request.unlabeled_feature_views) == (AUTO, AUTO):
        logger.info("%s So each step computes the features.", problem)
        fitting = FeatureViews()
    else:
        raise ConfigError(f"{problem} {remedy}")
    return config.replaced(feature_views=fitting.labeled, unlabeled_feature_views=fitting.unlabeled)
