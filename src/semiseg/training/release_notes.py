"""What the end of a training says about the released model, in sentences."""

from __future__ import annotations

from pathlib import Path

from semiseg.core.errors import RunError
from semiseg.core.scores import Scores, read_scores
from semiseg.core.text import percent
from semiseg.evaluation.logit_adjustment import describe_strength
from semiseg.training.run_folder import SCORES


def describe_adjustment(scores: Scores) -> str:
    """What the logit adjustment changed, as a sentence; empty if it changed nothing."""
    adjustment, reached = scores.adjustment, scores.choice.miou
    if scores.choice.is_pair:
        return ""
    if not adjustment.strength or percent(reached) == percent(adjustment.without):
        return ""
    share = describe_strength(adjustment.strength)
    return (
        f"the released model is the {scores.which} with {share} subtracted from its logits, "
        f"because the weights favor rare classes: mIoU {percent(reached)} instead of "
        f"{percent(adjustment.without)} on val, where the share was chosen, and "
        f"{percent(scores.miou.released)} where each half of val is scored with what the other "
        "half chose"
    )


def describe_first_stage(scores: Scores) -> str:
    """Which stage the released model comes from, as a sentence; empty for a run without stages."""
    stage = scores.choice.first_stage
    if stage is None:
        return ""
    if scores.choice.is_first_stage:
        return (
            "the released model is that of stage 1 (labeled images only): mIoU "
            f"{percent(stage.miou)} on val, where the last stage has {percent(stage.last_miou)}, "
            f"worse by more than one standard error ({percent(stage.standard_error)})"
        )
    last = "that of the last stage"
    if scores.choice.is_pair:
        last = "the mean of two networks, that of the last stage and the second one"
    sentence = (
        f"the released model is {last}: mIoU {percent(stage.last_miou)} on val, "
        f"where stage 1 (labeled images only, and fewer steps) has {percent(stage.miou)}"
    )
    if stage.standard_error is None:
        return sentence + "; with so few images, the two are not compared"
    return sentence + f" (standard error of the difference {percent(stage.standard_error)})"


def compare_with_start(start_from: Path, scores: Scores) -> str:
    """How good the model was that the training started from, as a sentence.

    Args:
        start_from: the run folder of that model.
        scores: the scores of the new model.

    Returns:
        The sentence; empty if the two cannot be compared, since the validation images or the
        classes differ, or scores are missing.
    """
    try:
        before = read_scores(start_from / SCORES)
    except RunError:
        return ""
    new, old = scores.miou.released, before.miou.released
    if (
        new is None
        or old is None
        or scores.split.val != before.split.val
        or scores.per_class.keys() != before.per_class.keys()
    ):
        return ""
    sentence = (
        f"{start_from}, where the training started, has mIoU {old:.1f} on the same images of val"
    )
    if old > new:
        sentence += ": it is better than the new model. Use it, or train longer (--steps, --budget)"
    return sentence
