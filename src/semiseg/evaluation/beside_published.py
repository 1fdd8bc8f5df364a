"""A run beside the published scores of its method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from semiseg.config.methods import METHODS
from semiseg.config.published import CAUTION, PublishedScore, as_published, scores_of
from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.scores import Scores
from semiseg.core.text import columns, percent
from semiseg.data.datasets import other_classes

_HEAD = (
    "trained by",
    "mIoU, %",
    "encoder",
    "crop",
    "steps",
    "labeled images",
    "differs from this run",
)


@dataclass(frozen=True)
class PublishedTable:
    """A run beside the published scores of its method.

    Attributes:
        rows: the cells of each row, this run first.
        head: the names of the columns.
        caution: what to know before comparing, in sentences.
    """

    rows: Sequence[Sequence[str]]
    head: Sequence[str] = field(default=_HEAD)
    caution: str = CAUTION

    def text(self) -> str:
        """The table, and below it the caution."""
        return f"{columns(self.head, self.rows)}\n{self.caution}"


def beside_published(
    config: TrainConfig, scores: Scores, miou: float | None
) -> PublishedTable | None:
    """A run beside the published scores of its method with as many labeled images.

    Args:
        config: the settings of the run, as planned. They name the data set, as recipes do.
        scores: the scores of the run.
        miou: the mean IoU of the run on val, in percent.

    Returns:
        The table; None if no score of this method was published for the data set and this number
        of labeled images, or semiseg does not know it. Also None if the classes are not those of
        the data set, as where people keep data of their own in its folders.
    """
    scored = {name for name, one in scores.per_class.items() if one.iou is not None}
    if other_classes(config.data.dataset, [*scores.per_class], scored):
        return None
    matches = [
        (entry, value)
        for entry in scores_of(config)
        if (value := entry.score(scores.labels)) is not None
    ]
    if not matches:
        return None
    source = scores.split.source.get("file")
    images = f"listed in {source}" if source else f"drawn with seed {scores.split.seed}"
    own = ("this run", percent(miou), *_setting(_encoder(config), config.views.crop, scores.steps))
    rows = [(*own, images, "")]
    for entry, value in matches:
        setting = _setting(entry.encoder, entry.crop, entry.steps)
        differences = ", ".join(_differences(entry, config, scores))
        rows.append((entry.source, as_published(value), *setting, entry.images, differences))
    return PublishedTable(rows)


def _differences(entry: PublishedScore, config: TrainConfig, scores: Scores) -> list[str]:
    """What is known to differ between a published training and a run."""
    differs = {
        "settings of the method": f"{config.method}-paper" in METHODS,
        "encoder": entry.encoder != _encoder(config),
        "crop": entry.crop not in (None, config.views.crop),
        "steps": entry.steps not in (None, scores.steps),
        "labeled images": not scores.split.source,
    }
    return [name for name, different in differs.items() if different]


def _encoder(config: TrainConfig) -> str:
    """The encoder of a run, without the tag of its weights."""
    return config.network.encoder.partition(".")[0]


def _setting(encoder: str, crop: int | str | None, steps: int | None) -> tuple[str, str, str]:
    """The cells of a setting; what is unknown is a dash."""
    crop_text = "-" if crop is None or crop == AUTO else str(crop)
    return encoder, crop_text, "-" if steps is None else f"{steps:,}"
