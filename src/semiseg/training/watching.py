"""What a training shows to somebody who watches it: its place, its scores, and some masks.

A `Watcher` gets a `Progress` when the steps begin, after each validation, and now and then between
them, where only the step and the times are new. It lies in a later
package (`reporting.live`), so the caller of the training names it. It changes no bit of the
training: it draws no random number, and its network is in eval mode.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.reading import Reading
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.formats.masks import Classes
from semiseg.evaluation.metrics import MaskScores
from semiseg.inference.scenes import Scene, Scenes, segmenter
from semiseg.training.module import TrainingModule
from semiseg.training.stage import Stage

WATCHED_IMAGES = 3
"""Validation images whose masks a watcher gets; each costs one forward pass at a validation."""
PERIOD = 10.0
"""The seconds after which a watcher gets a newer step between two validations."""


class WatchedImage(NamedTuple):
    """One validation image with its masks, all at working size.

    Attributes:
        name: of the image.
        picture: RGB.
        truth: `(h, w)` class indices, 255 where ignored.
        labels: `(h, w)` predicted class indices.
    """

    name: str
    picture: Image.Image
    truth: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class Progress(NamedTuple):
    """Where a training stands.

    Attributes:
        stage: the stage that trains.
        step: the steps so far.
        seconds_left: the expected seconds of the rest of the stage; None where no step or no
            validation was timed.
        seconds_to_next: those to the end of the next validation; None where no step was timed.
        network: the best network of the newest validation; empty before the first one.
        scores: its scores; None before the first validation.
        classes: the classes.
        images: validation images with the masks that this network predicts.
        scored_step: the step of the newest validation; 0 before the first one.
        next_validation: the step of the next validation; the last step after the last one.
    """

    stage: Stage
    step: int
    seconds_left: float | None
    seconds_to_next: float | None
    network: str
    scores: MaskScores | None
    classes: Classes
    images: Sequence[WatchedImage]
    scored_step: int
    next_validation: int


class Watcher(Protocol):
    """Somebody who watches a training."""

    def show(self, progress: Progress) -> None:
        """Show where the training stands. It must not raise: a training is worth more."""

    def advance(self, progress: Progress) -> None:
        """Show a newer step; scores and images are those of the last call. It must not raise."""


class Watch:
    """Tells a watcher where one stage of a training stands.

    Args:
        watcher: gets the progress.
        stage: the stage that trains.
        val: the validation images.
        classes: their classes.
        size: the short side at working size, in pixels.
        reading: how images are read, see `read_image`.
    """

    def __init__(
        self,
        watcher: Watcher,
        stage: Stage,
        val: Sequence[Sample],
        classes: Classes,
        size: int,
        reading: Reading,
    ) -> None:
        self.watcher, self.stage = watcher, stage
        order = Key.of(0, "watched").numpy().permutation(len(val))[:WATCHED_IMAGES]
        self.scenes = Scenes([val[i] for i in sorted(order)], classes, size, reading)
        self._read: list[Scene] = []
        self._newest: Progress | None = None
        self._shown_time = 0.0

    def begin(self, step: int, next_validation: int) -> None:
        """Show that the steps begin.

        Args:
            step: the steps so far; not 0 where a training was resumed.
            next_validation: the step of the next validation.
        """
        classes = self.scenes.classes
        self._show(
            Progress(self.stage, step, None, None, "", None, classes, (), 0, next_validation)
        )

    def is_due(self) -> bool:
        """Whether what was shown last is old enough for `advance`."""
        return self._newest is not None and time.monotonic() - self._shown_time >= PERIOD

    def advance(self, step: int, seconds_left: float | None, seconds_to_next: float | None) -> None:
        """Show a newer step between two validations; nothing before `begin`.

        Args:
            step: the steps so far.
            seconds_left: the expected seconds of the rest of the stage.
            seconds_to_next: those to the end of the next validation.
        """
        if self._newest is None:
            return
        self._newest = self._newest._replace(
            step=step, seconds_left=seconds_left, seconds_to_next=seconds_to_next
        )
        self.watcher.advance(self._newest)
        self._shown_time = time.monotonic()

    def show(
        self,
        module: TrainingModule,
        seconds_left: float | None,
        seconds_to_next: float | None,
        next_validation: int,
    ) -> None:
        """Show the newest validation.

        Args:
            module: what is trained.
            seconds_left: the expected seconds of the rest of the stage.
            seconds_to_next: those to the end of the next validation.
            next_validation: the step of the next validation.
        """
        networks = module.validations[-1]["networks"]
        best = max(networks, key=lambda name: networks[name]["miou"] or 0.0)
        self._show(
            Progress(
                self.stage,
                module.global_step,
                seconds_left,
                seconds_to_next,
                best,
                networks[best],
                self.scenes.classes,
                self._predict(module, best),
                module.global_step,
                next_validation,
            )
        )

    def _show(self, progress: Progress) -> None:
        self._newest = progress
        self.watcher.show(progress)
        self._shown_time = time.monotonic()

    def _predict(self, module: TrainingModule, network: str) -> list[WatchedImage]:
        """The watched images with the masks that a network predicts now."""
        self._read = self._read or [self.scenes[i] for i in range(len(self.scenes))]
        module.method.eval()
        segment = segmenter(module.method.networks()[network])
        plain = np.zeros((1, len(self.scenes.classes)), np.float32)
        images = []
        for sample, scene in zip(self.scenes.samples, self._read, strict=True):
            pixels = scene.image.numpy()
            height, width = pixels.shape[-2:]
            shown = pixels[0, list(self.scenes.reading.shown_channels)]
            truth = Image.fromarray(scene.mask.numpy())
            images.append(
                WatchedImage(
                    sample.name,
                    Image.fromarray(np.ascontiguousarray(shown.transpose(1, 2, 0))),
                    np.array(truth.resize((width, height), Image.Resampling.NEAREST)),
                    segment.labels(pixels, (height, width), plain)[0],
                )
            )
        module.method.train()
        return images
