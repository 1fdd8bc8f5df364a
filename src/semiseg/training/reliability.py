"""How reliable the labels of an image are: the models of one training agree on it (ST++).

The first stage keeps its weights after a third, two thirds and all of its steps. An image is as
reliable as the labels of the first two agree with those of the last one.

```
RUN/stages/1/snapshots/step000034.pt   the student after 34 steps
RUN/stages/1/reliability.json          the reliability of each unlabeled image, in their order
```
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.console import track
from semiseg.core.errors import RunError
from semiseg.core.files import atomic_write, read_json, write_json
from semiseg.core.records import from_plain
from semiseg.core.types import Batch, Sample
from semiseg.data.formats.images import read_image
from semiseg.data.read_ahead import read_ahead
from semiseg.evaluation.metrics import confusion_matrix
from semiseg.inference.device import torch_device
from semiseg.inference.scenes import segmenter
from semiseg.inference.sliding import Segmenter
from semiseg.inference.views import to_array
from semiseg.model.encoders import Normalization
from semiseg.training.build import build
from semiseg.training.data import TrainingData
from semiseg.training.module import TrainingModule

_PARTS = 3  # of the steps; the weights are kept after each


def snapshot_steps(steps: int) -> tuple[int, ...]:
    """The steps after which the weights are kept.

    Example:
        >>> snapshot_steps(100)
        (34, 67, 100)
    """
    return tuple(math.ceil(steps * part / _PARTS) for part in range(1, _PARTS + 1))


class Snapshots(Callback):
    """Keeps the student's weights at `snapshot_steps`.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Write the weights if it is time; the same bytes again, if the step is repeated."""
        step = trainer.global_step
        if (
            not isinstance(pl_module, TrainingModule)
            or not trainer.is_global_zero
            or (batch_idx + 1) % trainer.accumulate_grad_batches
            or step not in snapshot_steps(pl_module.steps)
        ):
            return
        student = pl_module.method.student
        content = {"state": student.state_dict(), "normalization": list(student.normalization())}
        file = _snapshot(self.run, step)
        file.parent.mkdir(exist_ok=True)
        with atomic_write(file) as handle:
            torch.save(content, handle)


def measure_reliability(config: TrainConfig, data: TrainingData) -> tuple[float, ...]:
    """Measure the reliability of each unlabeled image, or read it if that was done before.

    Args:
        config: the settings of the first stage, which is finished.
        data: the images of the whole run.

    Returns:
        The reliabilities from 0 to 1, in the order of the images.

    Raises:
        RunError: a snapshot cannot be read.
    """
    file = reliability_file(config.out)
    if not file.is_file():
        segmenters = [
            _read_snapshot(config, data, step)
            for step in snapshot_steps(decided(config.schedule.steps))
        ]
        names = data.folder.classes.names
        scenes = read_ahead(partial(_read_scene, config), data.unlabeled_files)
        values = [
            reliability([_labels(segment, scene, len(names)) for segment in segmenters], len(names))
            for scene in track(
                scenes, "comparing the labels of snapshots", len(data.unlabeled_files)
            )
        ]
        write_json(file, values)
    return read_reliability(config.out, len(data.unlabeled_files))


def reliability_file(run: Path) -> Path:
    """The file that holds the reliabilities; it is written as a whole."""
    return run / "reliability.json"


def read_reliability(run: Path, count: int) -> tuple[float, ...]:
    """The reliabilities that were measured.

    Args:
        run: the run folder of the first stage.
        count: the number of unlabeled images.

    Raises:
        RunError: the file cannot be read, or belongs to other images.
    """
    file = reliability_file(run)
    try:
        values = from_plain(tuple[float, ...], read_json(file))
        if len(values) != count:
            raise ValueError(f"it has {len(values)} numbers for {count} images")
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Start the run again.") from error
    return values


def choose_reliable(values: Sequence[float], share: float) -> list[int]:
    """The positions of the more reliable images; the earlier one where two are alike.

    Args:
        values: the reliabilities of the images.
        share: the share of the images to choose. At least one is chosen.

    Returns:
        The positions in the order of the images.
    """
    count = max(1, math.ceil(share * len(values)))
    order = sorted(range(len(values)), key=lambda position: -values[position])
    return sorted(order[:count])


def reliability(labels: Sequence[NDArray[np.uint8]], classes: int) -> float:
    """How much the earlier labels of an image agree with the last ones.

    It is the mean, over the earlier labels, of the mean IoU with the last ones. Each mean IoU is
    that of the classes which one of the two has.

    Args:
        labels: `(H, W)` each, of the snapshots in their order.
        classes: the number of classes.

    Returns:
        From 0 to 1.
    """
    *earlier, last = (torch.from_numpy(label) for label in labels)
    means = []
    for label in earlier:
        counts = confusion_matrix(label, last, classes).double()
        both = counts.diagonal()
        either = counts.sum(dim=0) + counts.sum(dim=1) - both
        present = either > 0
        means.append(float((both[present] / either[present]).mean()))
    return sum(means) / len(means)


def _read_snapshot(config: TrainConfig, data: TrainingData, step: int) -> Segmenter:
    """The network as it was after a step.

    Raises:
        RunError: the file cannot be read.
    """
    file = _snapshot(config.out, step)
    network = build(config, data, pretrained=False).method.student
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict(content["state"])
        network.set_normalization(Normalization(*content["normalization"]))
    except Exception as error:  # a damaged file can fail in many ways
        raise RunError(
            f"The snapshot {file} cannot be read ({error}). Start the run again."
        ) from error
    return segmenter(network.eval().to(torch_device(config.machine.accelerator)))


def _read_scene(config: TrainConfig, sample: Sample) -> NDArray[np.uint8]:
    """An image at working size, `(1, N, h, w)`."""
    return to_array(read_image(sample.image, config.data.reading), decided(config.views.size))


def _labels(segment: Segmenter, image: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """The labels of an image at working size, `(h, w)`."""
    unchanged = np.zeros((1, classes), np.float32)
    labels: NDArray[np.uint8] = segment.labels(image, image.shape[-2:], unchanged)[0]
    return labels


def _snapshot(run: Path, step: int) -> Path:
    return run / "snapshots" / f"step{step:06d}.pt"
