"""Cached features: what the frozen part of a network gives for fixed views is computed once.

The first step that sees a view computes its features, in single precision, in eval mode and alone,
so that they do not depend on the batch. They are stored in half precision, see `feature_store`.
Every step uses the stored numbers, the first one too: a training has the same bits whether the
cache was empty or full.
"""

from __future__ import annotations

import hashlib
import logging
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.config.feature_views import FeatureViews
from semiseg.config.network import NetworkConfig
from semiseg.core.errors import RunError
from semiseg.core.files import features_folder, short_hash
from semiseg.core.rng import Key
from semiseg.core.types import Batch
from semiseg.inference.scenes import to_input
from semiseg.model.distributed import agree
from semiseg.model.network import Network
from semiseg.training.batches import TrainingBatches
from semiseg.training.feature_store import CHECKSUM_BYTES, FeatureStore
from semiseg.training.feature_window import cut_windows

logger = logging.getLogger(__name__)

GB = 10**9
_HALF_BYTES = 2


class FeatureCache:
    """Attaches cached features to the batches of a training, if their views are fixed.

    Args:
        batches: the batches.
        settings: the settings of the network, as planned.
    """

    def __init__(self, batches: TrainingBatches, settings: NetworkConfig) -> None:
        self.batches, self.settings = batches, settings
        self._network: Network | None = None
        self._store: FeatureStore | None = None
        self._shapes: list[torch.Size] = []
        self._unit = 1  # where a part of a view may begin

    def open(self, network: Network) -> None:
        """Find the files for a network whose weights are loaded and on their device.

        Raises:
            RunError: there is no folder for a cache.
        """
        # The processes of a training may have measured the disk at different moments.
        views = self.batches.views._replace(fixed=agree(self.batches.views.fixed))
        self.batches.views = views
        if not views.fixed.labeled:
            if self.settings.feature_window:
                logger.info("no features are cached, so each step decodes whole views")
            return
        features = frozen_features(network, probe_image(views.crop, network.spec.channels))
        self._network, self._shapes = network, [f.shape[1:] for f in features]
        self._unit = network.stride
        group = short_hash(
            _fingerprint(network),
            _flat(features).numpy().tobytes(),
            f"{views.size} {views.crop} {views.scale} {views.photometry} "
            f"{self.batches.decoded.reading} {_machine(_device(network))}",
        )
        folder = features_folder()
        if folder is None:
            raise RunError(
                "There is no folder in which features could be cached. Name one with the "
                "environment variable SEMISEG_CACHE."
            )
        count = sum(shape.numel() for shape in self._shapes)
        self._store = FeatureStore(folder, group, count, round(self.settings.feature_disk * GB))
        images = len(self.batches.labeled.samples)
        others = len(self.batches.unlabeled) if self.batches.unlabeled is not None else 0
        size = views.fixed.entries(images, others, views.strong) * entry_bytes(count)
        logger.info(
            "cached features: %s, up to %.2f GB in %s, of which %.2f GB are there "
            "(--feature-views 0 computes them in each step)",
            describe(views.fixed, others),
            size / GB,
            self._store.folder,
            self._store.size() / GB,
        )

    def close(self) -> None:
        """Let other trainings remove the files."""
        if self._store is not None:
            self._store.close()

    def attach(self, batch: Batch) -> Batch:
        """Add the stored features, float16, to a batch of uint8 images on the CPU."""
        if not self._shapes:
            return batch
        labeled = batch.labeled._replace(features=self._features(batch.labeled.image))
        unlabeled = batch.unlabeled
        if unlabeled is None and self.settings.feature_window:
            keys = self.batches.window_keys(batch.number)
            labeled = cut_windows(labeled, self.settings.feature_window, self._unit, keys)
        if unlabeled is not None:
            unlabeled = unlabeled._replace(
                weak_features=self._features(unlabeled.weak),
                strong_features=self._features(unlabeled.strong),
                more_strong=tuple(
                    view._replace(features=self._features(view.image))
                    for view in unlabeled.more_strong
                ),
            )
        return batch._replace(labeled=labeled, unlabeled=unlabeled)

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The features of `(B, N, H, W)` images; maps are channels-last in memory."""
        entries = [self._entry(image) for image in images]
        result, first = [], 0
        for shape in self._shapes:
            last = first + shape.numel()
            numbers = torch.from_numpy(np.stack([entry[first:last] for entry in entries]))
            if len(shape) == 3:
                depth, height, width = shape
                result.append(numbers.view(-1, height, width, depth).permute(0, 3, 1, 2))
            else:
                result.append(numbers.view(-1, *shape))
            first = last
        return tuple(result)

    def _entry(self, image: Tensor) -> NDArray[np.float16]:
        """The stored numbers of one image."""
        if self._store is None or self._network is None:
            raise RuntimeError("the cache is not open")
        pixels = image.contiguous().numpy()
        name = hashlib.blake2b(pixels.data, digest_size=16).hexdigest()
        stored = self._store.load(name)
        if stored is not None:
            return stored
        numbers = _flat(frozen_features(self._network, image)).numpy()
        if not np.isfinite(numbers).all():
            raise RunError(
                "The frozen features of an image are beyond the range of half precision, so they "
                "cannot be cached. Start again with --feature-views 0."
            )
        self._store.save(name, numbers)
        return numbers


class ProbeFeatures(FeatureCache):
    """The features of the probe for each image, to measure steps: nothing is stored.

    Attributes:
        seconds: the seconds that the features of one image take; None if the network has none.
    """

    def open(self, network: Network) -> None:
        """Compute the features of the probe twice, and time the second time."""
        self.seconds: float | None = None
        probe = probe_image(self.batches.views.crop, network.spec.channels)
        features = frozen_features(network, probe)
        if features and self.batches.views.fixed.labeled:
            started = time.monotonic()
            self._numbers = _flat(frozen_features(network, probe)).numpy()
            self.seconds = time.monotonic() - started
            self._shapes = [f.shape[1:] for f in features]
            self._unit = network.stride

    def _entry(self, image: Tensor) -> NDArray[np.float16]:
        """The numbers of the probe."""
        return self._numbers


def frozen_features(network: Network, image: Tensor) -> tuple[Tensor, ...]:
    """What the frozen part of a network gives for one image.

    Args:
        network: the network, in any mode.
        image: `(N, H, W)` uint8.

    Returns:
        The features of a batch of this image alone, in single precision; empty if the network
        cannot be split.
    """
    device = _device(network)
    # Not `network.train()` afterwards: some parts may stay in eval mode while others learn.
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            return network.frozen_features(to_input(image[None].to(device)))
    finally:
        for module, mode in modes:
            module.training = mode


def probe_image(crop: int, channels: int) -> Tensor:
    """`(N, crop, crop)` uint8, an image of noise that is always the same."""
    size = (channels, crop, crop)
    pixels = Key.of("probe").numpy().integers(256, size=size, dtype=np.uint8)
    return torch.from_numpy(pixels)


def entry_bytes(count: int) -> int:
    """The bytes of a file with so many numbers."""
    return count * _HALF_BYTES + CHECKSUM_BYTES


def describe(views: FeatureViews, unlabeled: int) -> str:
    """The numbers of views in words."""
    text = f"{views.labeled} views of each labeled image"
    return f"{text} and {views.unlabeled} of each unlabeled one" if unlabeled else text


def _flat(features: tuple[Tensor, ...]) -> Tensor:
    """The features of one image as stored: float16 on the CPU, maps in the order `(h, w, D)`."""
    parts = [f[0].permute(1, 2, 0) if f.dim() == 4 else f[0] for f in features]
    return torch.cat([part.flatten() for part in parts]).half().cpu()


def _fingerprint(network: Network) -> str:
    """A hash of the encoder's frozen parameters; the probe's features depend on all the rest."""
    state = hashlib.sha256()
    for name, parameter in network.encoder.named_parameters():
        if not parameter.requires_grad:
            state.update(name.encode())
            state.update(parameter.detach().cpu().contiguous().numpy().data)
    return state.hexdigest()


def _machine(device: torch.device) -> str:
    """What decides about the last bits of a result."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"
    return f"{torch.__version__} {device.type} {name}"


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device
