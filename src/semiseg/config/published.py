"""The published scores beside which the score of a run belongs, each with its setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import resources

import yaml

from semiseg.config.methods.css import CssSettings
from semiseg.config.train import TrainConfig
from semiseg.core.records import from_plain

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


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """All published scores that semiseg knows."""
    text = resources.files("semiseg.config").joinpath("published.yaml").read_text(encoding="utf-8")
    return tuple(
        from_plain(PublishedScore, {**row, "scores": {str(k): v for k, v in row["scores"].items()}})
        for row in yaml.safe_load(text)
    )


def scores_of(config: TrainConfig) -> list[PublishedScore]:
    """The published scores of the method of a training on its data set; empty without any.

    Args:
        config: the settings. They name the data set, as recipes do.
    """
    method = config.method.removesuffix("-paper").removesuffix("-program")
    variant = ""
    if method == "css" and isinstance(config.settings, CssSettings):
        variant = config.settings.collaboration
    wanted = (config.data.dataset, method, variant)
    return [e for e in published_scores() if (e.dataset, e.method, e.variant) == wanted]


def published_sentence(config: TrainConfig) -> str:
    """The first published scores of the method on the data set, in one line; empty without any."""
    entries = scores_of(config)
    if not entries:
        return ""
    first = entries[0]
    scores = ", ".join(f"{n}: {as_published(miou)}" for n, miou in first.scores.items())
    return (
        f"Published for {first.method} on {first.dataset}, mIoU in percent by the number of masks: "
        f"{scores} ({first.source}). The page Published scores of the docs has all."
    )


def as_published(miou: float) -> str:
    """A score with one or two decimals, as papers print it."""
    return f"{miou:.1f}" if round(miou, 1) == miou else f"{miou:.2f}"
