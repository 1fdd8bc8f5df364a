"""The published scores beside which the score of a run belongs, each with its setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib import resources

import yaml

from semiseg.config.methods import METHODS
from semiseg.config.methods.css import CssSettings
from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.records import from_plain
from semiseg.core.scores import Scores
from semiseg.core.text import columns, percent

_HEAD = (
    "trained by",
    "mIoU, %",
    "encoder",
    "crop",
    "steps",
    "labeled images",
    "differs from this run",
)
CAUTION = (
    "Published scores are those of the best validation on val, so they are optimistic; most are of "
    "a single run. Other labeled images alone can change a score by several points."
)


@dataclass(frozen=True)
class PublishedScore:
    """The published scores of one method in one setting, as `published.yaml` holds them.

    Attributes:
        dataset: the data set, as `--dataset` names it.
        method: the method, without `-paper`.
        source: where the scores stand.
        encoder: the encoder, with the name of semiseg.
        images: which labeled images were used.
        scores: the mean IoU on val in percent, by the number of labeled images or their share.
        variant: the collaboration of css; empty for other methods.
        crop: the side of the crops in pixels; None where it is unknown.
        steps: the optimizer steps; None where they are unknown.
        of: the number of training images that the shares are of; 0 where there are no shares.
    """

    dataset: str
    method: str
    source: str
    encoder: str
    images: str
    scores: Mapping[str, float]
    variant: str = ""
    crop: int | None = None
    steps: int | None = None
    of: int = 0

    def score(self, labels: int) -> float | None:
        """The mean IoU with so many labeled images, in percent; None if there is none."""
        for amount, miou in self.scores.items():
            count = math.floor(Fraction(amount) * max(self.of, 1) + Fraction(1, 2))
            if abs(count - labels) <= (1 if self.of else 0):  # shares are rounded up or down
                return miou
        return None


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


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """All published scores that semiseg knows."""
    text = resources.files("semiseg.config").joinpath("published.yaml").read_text(encoding="utf-8")
    return tuple(
        from_plain(PublishedScore, {**row, "scores": {str(k): v for k, v in row["scores"].items()}})
        for row in yaml.safe_load(text)
    )


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
        of labeled images, or semiseg does not know it.
    """
    method = config.method.removesuffix("-paper").removesuffix("-program")
    variant = ""
    if method == "css" and isinstance(config.settings, CssSettings):
        variant = config.settings.collaboration
    matches = [
        (entry, value)
        for entry in published_scores()
        if (entry.dataset, entry.method, entry.variant) == (config.data.dataset, method, variant)
        and (value := entry.score(scores.labels)) is not None
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


def as_published(miou: float) -> str:
    """A score with one or two decimals, as papers print it."""
    return f"{miou:.1f}" if round(miou, 1) == miou else f"{miou:.2f}"


def _encoder(config: TrainConfig) -> str:
    """The encoder of a run, without the tag of its weights."""
    return config.network.encoder.partition(".")[0]


def _setting(encoder: str, crop: int | str | None, steps: int | None) -> tuple[str, str, str]:
    """The cells of a setting; what is unknown is a dash."""
    crop_text = "-" if crop is None or crop == AUTO else str(crop)
    return encoder, crop_text, "-" if steps is None else f"{steps:,}"
