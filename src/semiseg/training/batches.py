"""The training data as a map from the number of a micro step to its batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from semiseg.augment.focus import Focus
from semiseg.augment.geometric import draw_view, resize_nearest, view_image, view_mask, view_valid
from semiseg.augment.photometric import LABELED, change
from semiseg.augment.strong_views import strong_view
from semiseg.config.feature_views import FeatureViews
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.core.types import IGNORE_INDEX, Batch, Inputs, Labeled, Sample, Unlabeled
from semiseg.data.formats.masks import Classes
from semiseg.data.pixel_cache import PixelCache
from semiseg.data.sample_order import SampleOrder
from semiseg.training.labeling.store import Labels
from semiseg.training.pool_images import DrawnImage, PoolDraws, PoolImages


class TrainingImages(NamedTuple):
    """The images of a training.

    Attributes:
        labeled: labeled samples, not empty.
        unlabeled: unlabeled samples, or those of a pool; empty if the method uses none.
        classes: how masks are read.
        reading: how images are read, see `read_image`.
        labels: the stored labels of the unlabeled images; None if the method uses none, and with
            a pool.
        draws: the unlabeled images that the whole training draws; None if that is not known.
    """

    labeled: Sequence[Sample]
    unlabeled: Sequence[Sample] | PoolImages
    classes: Classes
    reading: Reading = AS_STORED
    labels: Labels | None = None
    draws: int | None = None


class Views(NamedTuple):
    """How images become training crops.

    Attributes:
        size: the short side at working size, in pixels.
        crop: the side of the crop, in pixels.
        scale: the range of the random factor on the working size.
        photometry: the color changes of unlabeled images, see `strong_view`.
        focus: where crops of labeled images are centered; None for anywhere.
        fixed: the number of fixed views of each image, whose features are cached. They depend on
            the name of the image, so that trainings with other seeds and methods share them.
        strong: the number of strong views of an unlabeled image.
    """

    size: int
    crop: int
    scale: tuple[float, float] = (0.75, 1.5)
    photometry: str = "mild"
    focus: Focus | None = None
    fixed: FeatureViews = FeatureViews()
    strong: int = 1


class TrainingBatches(Dataset[Batch]):
    """The batches of a training: batch number `index` depends on `index` alone.

    So a training can be resumed at any step, with any number of loader processes.

    Args:
        images: the images.
        views: how they become crops.
        batch: the number of images in a batch, labeled and unlabeled each.
        key: the key of all draws.
        rank: the number of this process, from 0.
        world: the number of processes that share each batch; the batch is a multiple of it.
    """

    def __init__(
        self,
        images: TrainingImages,
        views: Views,
        batch: int,
        key: Key,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.views, self.batch, self.labels = views, batch, images.labels
        self.rank, self.world = rank, world
        longest = math.ceil(views.size * views.scale[1])
        self.decoded = PixelCache(longest, images.classes, images.reading)
        self.colors = images.reading.color_channels
        self.keys = {"labeled": key.child("labeled"), "unlabeled": key.child("unlabeled")}
        self.labeled = SampleOrder(images.labeled, self.keys["labeled"].child("order"))
        self.unlabeled = self._order(images) if images.unlabeled else None

    def _order(self, images: TrainingImages) -> SampleOrder | PoolDraws:
        """The order of the unlabeled images."""
        key, unlabeled = self.keys["unlabeled"].child("order"), images.unlabeled
        if not isinstance(unlabeled, PoolImages):
            return SampleOrder(unlabeled, key)
        repeats = images.draws is None or images.draws > len(unlabeled)
        return PoolDraws(unlabeled, key, self.decoded, keep=repeats)

    def __getitem__(self, index: int) -> Batch:
        """This process's part of the batch of micro step `index`; images are uint8."""
        positions = self._positions(index)
        images, masks = zip(*map(self._labeled, positions), strict=True)
        labeled = Labeled(torch.stack(images), torch.stack(masks))
        if self.unlabeled is None:
            return Batch(labeled, None, index)
        drawn = [self._draw(self.unlabeled, p) for p in positions]
        views = map(self._unlabeled, drawn, positions)
        weak, valid, *others = map(torch.stack, zip(*views, strict=True))
        strong, stored = others[: self.views.strong], others[self.views.strong :]
        more = tuple(map(Inputs, strong[1:]))
        unlabeled = Unlabeled(weak, strong[0], valid, more_strong=more)
        if stored:
            unlabeled = unlabeled._replace(label=stored[0], confidence=stored[1])
        return Batch(
            labeled, unlabeled, index, tuple(why for one in drawn for why in one.unreadable)
        )

    def files(self, index: int) -> list[str]:
        """The images of the whole batch of micro step `index`, of all processes, in words."""
        positions = range(index * self.batch, (index + 1) * self.batch)
        orders = [order for order in (self.labeled, self.unlabeled) if order is not None]
        return [order.where(position) for order in orders for position in positions]

    def window_keys(self, index: int) -> list[Key]:
        """For each labeled image of this process's part of a batch, the key of its window."""
        return [self.keys["labeled"].child(p, "window") for p in self._positions(index)]

    def _positions(self, index: int) -> range:
        """The positions of this process's images of a batch, in the order of all images."""
        part = self.batch // self.world
        first = index * self.batch + self.rank * part
        return range(first, first + part)

    def _view_key(self, kind: str, name: str, position: int, fixed: int) -> Key:
        """The key of the view at a position: a new one, or one of the fixed views."""
        key = self.keys[kind].child(position)
        if not fixed:
            return key
        view = int(key.child("fixed view").numpy().integers(fixed))
        return Key.of("fixed view", kind, name, view)

    def _labeled(self, position: int) -> tuple[Tensor, Tensor]:
        views, sample = self.views, self.labeled[position]
        key = self._view_key("labeled", sample.name, position, views.fixed.labeled)
        image = self.decoded.image(sample.image)
        source = image.shape[1], image.shape[0]
        mask = self.decoded.labels(sample, source)
        center = None if views.focus is None else views.focus.draw(key.child("focus"), mask)
        view = draw_view(key.child("view"), source, views.size, views.crop, views.scale, center)
        pixels = view_image(image, view)
        changed = change(pixels, LABELED, key.child("photometry"), self.colors)
        return changed, torch.from_numpy(view_mask(mask, view)).long()

    def _draw(self, order: SampleOrder | PoolDraws, position: int) -> DrawnImage:
        """The unlabeled image at a position, decoded."""
        if isinstance(order, PoolDraws):
            return order[position]
        sample = order[position]
        return DrawnImage(sample.name, self.decoded.image(sample.image), sample)

    def _unlabeled(self, drawn: DrawnImage, position: int) -> tuple[Tensor, ...]:
        """The weak view, what is valid, the strong views; and label and confidence if stored."""
        views, image = self.views, drawn.pixels
        key = self._view_key("unlabeled", drawn.name, position, views.fixed.unlabeled)
        source = image.shape[1], image.shape[0]
        view = draw_view(key.child("view"), source, views.size, views.crop, views.scale)
        weak = view_image(image, view)
        photometry = key.child("photometry")
        # The first view has the draws of a training with a single one.
        keys = [photometry, *(photometry.child("view", i) for i in range(1, views.strong))]
        strong = [strong_view(weak, views.photometry, one, self.colors) for one in keys]
        valid = torch.from_numpy(view_valid(view))
        if self.labels is None or drawn.sample is None:
            return weak, valid, *strong
        stored = self.labels.read(drawn.sample)
        label = np.where(stored.agreement, stored.label, np.uint8(IGNORE_INDEX))
        label = view_mask(resize_nearest(label, source), view)
        confidence = view_mask(resize_nearest(stored.confidence, source), view, padding=0)
        stored_maps = torch.from_numpy(label).long(), torch.from_numpy(confidence)
        return weak, valid, *strong, *stored_maps


class StepSampler(Sampler[int]):
    """The numbers of the micro steps, from `start` to `total - 1`, in order."""

    def __init__(self, start: int, total: int) -> None:
        self.start, self.total = start, total

    def __iter__(self) -> Iterator[int]:
        """The numbers in their order."""
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        """The micro steps of the whole training; Lightning counts those before `start` too."""
        return self.total
