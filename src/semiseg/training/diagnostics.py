"""The quality of the pseudo-labels, measured at each validation and drawn at the end.

```
RUN/diagnostics/
  diagnostics.json   all numbers of each validation, see `evaluation.pseudo_labels`
  curves.png         by step: kept pixels of each class, pseudo-labels against hidden masks
  plane.png          confidence against similarity, after the last step
  sample0.png ...    single images: truth, both labels, both indicators, the pseudo-label
```
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semiseg.core.files import write_text
from semiseg.core.reading import Reading
from semiseg.core.rng import Key
from semiseg.core.types import PseudoLabels, Sample, Step
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.data.splits import Split
from semiseg.evaluation.pseudo_label_summary import PseudoLabelRecord
from semiseg.evaluation.pseudo_labels import PseudoLabelStatistics, Thresholds, curve_values
from semiseg.inference.scenes import to_input, to_working_size
from semiseg.plots.matrices import draw_plane
from semiseg.plots.pseudo_label_maps import PseudoLabelMaps, draw_pseudo_label_maps
from semiseg.plots.pseudo_labels import draw_pseudo_label_curves
from semiseg.training.data import choose_sample
from semiseg.training.module import TrainingModule

DIAGNOSTICS = "diagnostics"
FORMAT = 1
"""The version of `diagnostics.json`; it grows when a key changes its meaning."""

_DRAWN = 8


class _Scene(NamedTuple):
    """An unlabeled image, `(1, N, h, w)` uint8 at working size, and its mask, `(1, h, w)`."""

    name: str
    image: Tensor
    truth: Tensor | None


class Diagnostics:
    """Measures a method's pseudo-labels on a fixed sample of the unlabeled images.

    The key draws the sample, first among the images whose masks are hidden. It has a fifth as many
    images as `val`, at least 4 and at most 32. It does not influence the training, which gives the
    same bits without it.

    Args:
        split: the images; the hidden masks are read here and nowhere else.
        classes: how masks are read.
        size: the short side at working size, in pixels.
        reading: how images are read, see `read_image`.
        folder: the run folder.
        key: the key of the sample.
    """

    def __init__(
        self,
        split: Split,
        classes: Classes,
        size: int,
        reading: Reading,
        folder: Path,
        key: Key,
    ) -> None:
        self.classes, self.size, self.reading = classes, size, reading
        self.folder, self.key = folder / DIAGNOSTICS, key
        self.samples = choose_sample(split, key.child("sample"))
        self._scenes: list[_Scene] = []

    def measure(self, module: TrainingModule) -> dict[str, float]:
        """Measure the pseudo-labels, and write the files; after the last step draw them too.

        The numbers are added to the module's newest validation.

        Returns:
            The numbers for the table of metrics; none for a method without pseudo-labels.
        """
        last = module.global_step == module.steps
        statistics = PseudoLabelStatistics(
            self.classes.names, Thresholds.of(module.method.settings)
        )
        pictures: list[PseudoLabelMaps] = []
        for scene, labels in self._pseudo_labels(module):
            statistics.add(labels, torch.ones_like(labels.final, dtype=torch.bool), scene.truth)
            if last and len(pictures) < _DRAWN:
                pictures.append(_pseudo_label_maps(scene, labels, self.reading))
        if not statistics.images:
            return {}
        summary = statistics.summary()
        module.validations[-1]["pseudo_labels"] = summary
        self.folder.mkdir(exist_ok=True)
        validations = [
            PseudoLabelRecord(**measured, step=validation["step"])
            for validation in module.validations
            if (measured := validation["pseudo_labels"]) is not None
        ]
        content = {
            "format": FORMAT,
            "sample": [sample.name for sample in self.samples],
            "validations": validations,
        }
        write_text(self.folder / "diagnostics.json", json.dumps(content) + "\n")
        if last:
            self._draw(validations, pictures)
        return curve_values(summary)

    def _pseudo_labels(self, module: TrainingModule) -> Iterator[tuple[_Scene, PseudoLabels]]:
        """Each image of the sample with its pseudo-labels, on the CPU."""
        self._scenes = self._scenes or [self._read(sample) for sample in self.samples]
        step = Step(module.global_step, module.steps, self.key.child("look", module.global_step))
        module.method.eval()
        for scene in self._scenes:
            image = to_input(scene.image.to(module.device))
            valid = torch.ones_like(image[:, 0], dtype=torch.bool)
            labels = module.method.pseudo_labels(image, valid, step)
            if labels is None:
                break
            yield scene, PseudoLabels._make(None if m is None else m.cpu() for m in labels)
        module.method.train()

    def _read(self, sample: Sample) -> _Scene:
        image = to_working_size(read_image(sample.image, self.reading), self.size)
        if sample.mask is None:
            return _Scene(sample.name, image, None)
        height, width = image.shape[-2:]
        mask = read_labels(sample, self.classes, self.reading)
        small = np.array(mask.resize((width, height), Image.Resampling.NEAREST))
        return _Scene(sample.name, image, torch.from_numpy(small).long().unsqueeze(0))

    def _draw(self, validations: list[PseudoLabelRecord], pictures: list[PseudoLabelMaps]) -> None:
        colors = dict(zip(self.classes.names, self.classes.colors, strict=True))
        draw_pseudo_label_curves(validations, colors).savefig(self.folder / "curves.png", dpi=100)
        if validations[-1]["plane"] is not None:
            draw_plane(validations[-1]["plane"]).savefig(self.folder / "plane.png", dpi=100)
        for i, maps in enumerate(pictures):
            draw_pseudo_label_maps(maps, self.classes).save(self.folder / f"sample{i}.png")


def _pseudo_label_maps(scene: _Scene, labels: PseudoLabels, reading: Reading) -> PseudoLabelMaps:
    def first(maps: Tensor | None) -> Any:  # noqa: ANN401 - an array of the tensor's type
        return None if maps is None else maps[0].numpy()

    image = scene.image[0, list(reading.shown_channels)].permute(1, 2, 0).numpy()
    return PseudoLabelMaps(scene.name, image, first(scene.truth), *map(first, labels))
