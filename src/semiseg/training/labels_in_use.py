"""How many of the stored labels of a run the student learns, and how many of them are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from semiseg.augment.geometric import resize_nearest
from semiseg.config.methods import StagedSettings
from semiseg.config.train import TrainConfig
from semiseg.core.files import read_json, write_json
from semiseg.core.records import from_plain
from semiseg.core.rng import Key
from semiseg.core.text import percent, plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.labels import read_labels
from semiseg.evaluation.pseudo_labels import MIN_PASSING, NEGLIGIBLE, describe_unused
from semiseg.training.data import TrainingData, choose_sample
from semiseg.training.labeling.calibration import count_pixels
from semiseg.training.labeling.store import LabelStore

_IN_USE = "in_use.json"

_FEW = 1.0  # percent of the pixels; with fewer used labels, a run hardly learns from them


@dataclass(frozen=True)
class ClassLabels:
    """The stored labels of one class in a sample of images, in percent.

    Attributes:
        assigned: the share of all pixels that have this label, used or not.
        agreed: the share of the assigned pixels on which the second judge agrees; None without
            assigned pixels.
        used: the share of the assigned pixels whose label is used.
    """

    assigned: float
    agreed: float | None
    used: float | None

    @property
    def is_unused(self) -> bool:
        """Whether labels are assigned to this class, but almost none of them is used."""
        return (
            self.used is not None
            and self.assigned >= 100 * NEGLIGIBLE
            and self.used < 100 * MIN_PASSING
        )


@dataclass(frozen=True)
class LabelsInUse:
    """The stored labels that the student learns, in a sample of images.

    Attributes:
        images: the number of images in the sample.
        used: the share of their pixels with a label that is used, in percent; None without images.
        masks: the number of images whose masks are hidden.
        right: the share of the used labels that agree with these masks, in percent; None without
            such labels.
        by_class: the labels of each class, by its name; empty in a file of an earlier version.
    """

    images: int
    used: float | None
    masks: int
    right: float | None
    by_class: Mapping[str, ClassLabels] = field(default_factory=dict)

    def describe(self) -> str:
        """How many labels are used and, where masks are only hidden, how many are right."""
        sentence = (
            f"the student learns the stored labels of {percent(self.used)} % of the pixels in a "
            f"sample of {plural(self.images, 'image')}"
        )
        if self.right is None:
            return sentence
        masks = plural(self.masks, "hidden mask")
        return f"{sentence}; {percent(self.right)} % of these agree with {masks}"

    def warnings(self, config: TrainConfig) -> list[str]:
        """That almost no labels are used, of any class or of some, and what to do.

        Args:
            config: the settings, as planned.

        Returns:
            Empty if enough labels are used.
        """
        if self.used is None:
            return []
        if self.used < _FEW:
            return [self._few_labels(config)]
        unused = {name: labels for name, labels in self.by_class.items() if labels.is_unused}
        disagreed = [name for name, one in unused.items() if (one.agreed or 0) < 100 * MIN_PASSING]
        causes = {
            f"passes --confidence-threshold {_threshold(config):g}": [
                name for name in unused if name not in disagreed
            ],
            "gets the same class from the second judge of a label": disagreed,
        }
        return [describe_unused(names, cause) for cause, names in causes.items() if names]

    def _few_labels(self, config: TrainConfig) -> str:
        remedies = ["label more masks"]
        if isinstance(config.settings, StagedSettings):
            remedies.insert(0, "give stage 1 more steps (--steps, --stage-shares)")
        else:
            remedies.insert(0, "name a better --teacher")
        if threshold := _threshold(config):
            remedies.insert(0, f"lower --confidence-threshold (it is {threshold:g})")
        choices = ", ".join(remedies[:-1]) + f", or {remedies[-1]}"
        return (
            f"almost no stored labels are used ({self.used:.2f} % of the pixels), so this training "
            "learns next to nothing from the unlabeled images. To change that, " + choices
        )


def measure_labels(config: TrainConfig, data: TrainingData, store: LabelStore) -> LabelsInUse:
    """Count the stored labels that are used and, where masks are only hidden, those that are right.

    Args:
        config: the settings, as planned.
        data: the images; the hidden masks of the sample of the diagnostics are read here.
        store: the complete store.
    """
    threshold = _threshold(config)
    stored = {one.image for one in store.samples}
    key = Key.of(config.schedule.seed, "diagnostics", "sample")
    sample = choose_sample(data.split, key, stored)
    count = len(data.folder.classes)
    # Pixels by class: assigned, of these agreed, and of these used; the last one has no label.
    assigned, agreed, used = np.zeros((3, count + 1), dtype=np.int64)
    confusion = np.zeros((count, count + 1), dtype=np.int64)
    masked = [one for one in sample if one.mask is not None]
    for one in sample:
        label, confidence, agreement = store.read(one)
        passing = agreement & (confidence >= threshold)
        classes = np.minimum(label, count)
        assigned += np.bincount(classes.ravel(), minlength=count + 1)
        agreed += np.bincount(classes[agreement], minlength=count + 1)
        used += np.bincount(classes[passing], minlength=count + 1)
        label = np.where(passing, label, np.uint8(IGNORE_INDEX))
        if one.mask is not None:
            mask = np.array(read_labels(one, data.folder.classes, config.data.reading))
            truth = resize_nearest(mask, (label.shape[1], label.shape[0]))
            confusion += count_pixels(label, truth, count)
    labels = confusion[:, :-1]
    return LabelsInUse(
        images=len(sample),
        used=_share(used[:-1].sum(), assigned.sum()),
        masks=len(masked),
        right=_share(labels.diagonal().sum(), labels.sum()),
        by_class={
            name: ClassLabels(
                _share(assigned[c], assigned.sum()) or 0.0,
                _share(agreed[c], assigned[c]),
                _share(used[c], assigned[c]),
            )
            for c, name in enumerate(data.folder.classes.names)
        },
    )


def _share(part: np.int64, whole: np.int64) -> float | None:
    """A share in percent; None of nothing."""
    return 100 * float(part / whole) if whole else None


def write_in_use(folder: Path, in_use: LabelsInUse) -> None:
    """Keep what is known of the labels in the folder of their store."""
    write_json(folder / _IN_USE, asdict(in_use))


def read_in_use(folder: Path) -> LabelsInUse | None:
    """What is known of the stored labels in a folder.

    Args:
        folder: the folder of the store.

    Returns:
        None without such labels or without diagnostics, and where the training was stopped between
        the labeling and the measurement.
    """
    try:
        return from_plain(LabelsInUse, read_json(folder / _IN_USE))
    except (OSError, ValueError):
        return None


def _threshold(config: TrainConfig) -> float:
    """The lowest confidence of a stored label that is used."""
    return float(getattr(config.settings, "confidence_threshold", 0.0))
