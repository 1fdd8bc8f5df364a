"""The training data as a map from the number of a step to its two batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from semiseg.augment.focus import Focus
from semiseg.augment.geometric import draw_view, view_image, view_mask, view_valid
from semiseg.augment.photometric import LABELED, STRONG, change
from semiseg.core.rng import Key
from semiseg.core.types import Batch, Labeled, Sample, Unlabeled
from semiseg.data.formats.masks import Classes
from semiseg.data.pixel_cache import PixelCache
from semiseg.data.sample_order import SampleOrder


class TrainingBatches(Dataset[Batch]):
    """Batch number `index` as a function of `index` alone, whoever asks, and when.

    A training can so be resumed at any step, with any number of loader processes.

    Args:
        labeled: labeled samples, not empty.
        unlabeled: unlabeled samples; empty if the method uses none.
        classes: how to read the masks.
        size: short side at working size, in pixels.
        crop: side of the crop, in pixels.
        batch: images a batch, labeled and unlabeled each.
        key: the key of all draws.
        value_range: the values that are black and white, see `read_image`.
        focus: where crops of labeled images are centered, if not anywhere.
        scale: range of the random factor on the working size.
        photometry: which of `STRONG` the unlabeled images are changed by.
        rank: the process that asks, from 0.
        world: how many processes share each batch; it is a multiple of them.
    """

    def __init__(
        self,
        labeled: Sequence[Sample],
        unlabeled: Sequence[Sample],
        classes: Classes,
        size: int,
        crop: int,
        batch: int,
        key: Key,
        value_range: tuple[float, float] | None = None,
        focus: Focus | None = None,
        scale: tuple[float, float] = (0.75, 1.5),
        photometry: str = "mild",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.focus, self.scale, self.strong = focus, scale, STRONG[photometry]
        self.rank, self.world = rank, world
        self.size, self.crop, self.batch = size, crop, batch
        self.decoded = PixelCache(math.ceil(size * scale[1]), classes, value_range)
        self.keys = {"labeled": key.child("labeled"), "unlabeled": key.child("unlabeled")}
        self.labeled = SampleOrder(labeled, self.keys["labeled"].child("order"))
        self.unlabeled = (
            SampleOrder(unlabeled, self.keys["unlabeled"].child("order")) if unlabeled else None
        )

    def __getitem__(self, index: int) -> Batch:
        """This process's part of the batch of micro step `index`; images uint8, `(B, 3, H, W)`."""
        part = self.batch // self.world
        first = index * self.batch + self.rank * part
        positions = range(first, first + part)
        labeled = Labeled(*map(torch.stack, zip(*map(self._labeled, positions), strict=True)))
        if self.unlabeled is None:
            return Batch(labeled, None, index)
        views = zip(*(self._unlabeled(self.unlabeled, p) for p in positions), strict=True)
        return Batch(labeled, Unlabeled(*map(torch.stack, views)), index)

    def files(self, index: int) -> list[Path]:
        """The images of the whole batch of micro step `index`, of all processes."""
        positions = range(index * self.batch, (index + 1) * self.batch)
        orders = [order for order in (self.labeled, self.unlabeled) if order is not None]
        return [order[position].image for order in orders for position in positions]

    def _labeled(self, position: int) -> tuple[Tensor, Tensor]:
        sample = self.labeled[position]
        key = self.keys["labeled"].child(position)
        if sample.mask is None:
            raise TypeError(f"{sample.name} has no mask")
        image = self.decoded.image(sample.image)
        source = image.shape[1], image.shape[0]
        mask = self.decoded.mask(sample.mask, source)
        place = None if self.focus is None else self.focus.draw(key.child("focus"), mask)
        view = draw_view(key.child("view"), source, self.size, self.crop, self.scale, place)
        changed = change(view_image(image, view), LABELED, key.child("photometry"))
        return changed, torch.from_numpy(view_mask(mask, view)).long()

    def _unlabeled(self, samples: SampleOrder, position: int) -> tuple[Tensor, Tensor, Tensor]:
        key = self.keys["unlabeled"].child(position)
        image = self.decoded.image(samples[position].image)
        source = image.shape[1], image.shape[0]
        view = draw_view(key.child("view"), source, self.size, self.crop, self.scale)
        weak = view_image(image, view)
        strong = change(weak, self.strong, key.child("photometry"))
        return weak, strong, torch.from_numpy(view_valid(view))


class StepSampler(Sampler[int]):
    """The numbers of the micro steps, from `start` to `total - 1`."""

    def __init__(self, start: int, total: int) -> None:
        self.start, self.total = start, total

    def __iter__(self) -> Iterator[int]:
        """The numbers in their order."""
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        """How many there are in the whole training; Lightning counts those before `start`."""
        return self.total
