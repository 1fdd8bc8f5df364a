"""How the released model of a run was chosen, as `scores.json` and `model.json` hold it."""

from __future__ import annotations

from dataclasses import dataclass

PAIR = "both"
"""The network of a candidate that is the mean of two networks."""


@dataclass(frozen=True)
class Candidate:
    """A model that may be released.

    Attributes:
        stage: the number of the stage that trained it; 1 for a run without stages.
        network: the name of the network, such as `student` or `teacher`; `both` for the mean of
            the network of the last stage and a second one.
        strength: the strength of its logit adjustment, or of that of the first of two networks.
    """

    stage: int
    network: str
    strength: float


@dataclass(frozen=True)
class FirstStage:
    """A first stage on labeled images only, against the last stage of the run.

    It is released if it is better by more than one standard error.

    Attributes:
        candidate: the model of the first stage.
        miou: its mean IoU on all images of `val`, in percent.
        last_miou: the same of the model of the last stage, or of its mean with a second network.
        standard_error: of the difference, in percentage points; None for fewer than three images.
    """

    candidate: Candidate
    miou: float | None
    last_miou: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Choice:
    """How the released model was chosen on `val`; `evaluation.choice` describes the rule.

    Attributes:
        images: the number of images of `val`.
        chosen: what the rule chooses on all images: the released model.
        miou: its mean IoU on all images in percent. They took part in the choice.
        best: the candidate with the highest mean IoU on all images.
        best_miou: its mean IoU, in percent.
        standard_error: of the difference between the two, paired by image, in percentage points;
            None for fewer than three images. The simplest candidate is chosen that is not worse by
            more than its own error.
        first_half: what the rule chooses on the first half of the images, by name. It is scored on
            the second half.
        second_half: what the rule chooses on the second half. It is scored on the first one.
        first_stage: the comparison with a first stage on labeled images; None for a run without
            one.
        alone_miou: where the mean of two networks competed, the mean IoU of the network of the last
            stage alone on all images, in percent; None elsewhere.
    """

    images: int
    chosen: Candidate
    miou: float | None
    best: Candidate
    best_miou: float | None
    standard_error: float | None
    first_half: Candidate
    second_half: Candidate
    first_stage: FirstStage | None
    alone_miou: float | None = None

    @property
    def is_pair(self) -> bool:
        """Whether the mean of two networks is released."""
        return self.chosen.network == PAIR

    @property
    def is_first_stage(self) -> bool:
        """Whether the model of the first stage is released."""
        return self.first_stage is not None and self.first_stage.candidate == self.chosen
