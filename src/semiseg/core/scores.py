"""The scores of a finished run, as `scores.json` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from semiseg.core.choices import Choice
from semiseg.core.errors import RunError
from semiseg.core.files import read_json
from semiseg.core.records import from_plain
from semiseg.core.text import percent, plural, table

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 2
"""The version of `scores.json`; it grows when a key changes its meaning."""


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class; all are None for a class without true pixels, which is not scored.

    Attributes:
        iou: intersection over union, in percent.
        dice: the Dice coefficient, in percent.
        precision: in percent; None without predicted pixels too.
        recall: in percent.
        pixels: the number of true pixels.
    """

    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    pixels: int


@dataclass(frozen=True)
class ClassShapes:
    """How well the area, the boundary and the objects of one class are predicted.

    Attributes:
        boundary_iou: intersection over union of the true and the predicted boundary in percent,
            summed over all images. A boundary is the pixels of a class that are at most 2 % of the
            image's diagonal away from its edge (Cheng et al., CVPR 2021). None without true pixels.
        hd95: the 95th percentile of the distances in pixels from each of the two surfaces to the
            other, both directions together, as medpy's `hd95` defines it. It is the mean over the
            images where both masks hold the class; None without such an image.
        hd95_images: the number of these images.
        one_sided_images: the number of images where one mask holds the class and the other does
            not; they have no `hd95`.
        object_f1: 2 TP / (2 TP + FP + FN) in percent, summed over all images (Caicedo et al.,
            Cytometry A 2019). Objects are components, connected at corners too. A predicted one is
            TP if its IoU with a true one is at least 0.5. None without true pixels.
        objects: the number of true objects.
        predicted_objects: the number of predicted objects.
        matched_objects: the number of matches, TP.
        true_share: the true share of the pixels, in percent; None without pixels.
        predicted_share: the predicted share.
        share_bias: the predicted minus the true share, in percentage points.
        share_error: the mean over the images of the absolute difference of the two shares, in
            percentage points.
    """

    boundary_iou: float | None
    hd95: float | None
    hd95_images: int
    one_sided_images: int
    object_f1: float | None
    objects: int
    predicted_objects: int
    matched_objects: int
    true_share: float | None
    predicted_share: float | None
    share_bias: float | None
    share_error: float | None


@dataclass(frozen=True)
class ShapeScores:
    """Areas, boundaries and objects. All values but `per_class` are means over the foreground.

    Attributes:
        foreground: the classes that are not the background; all of them if none is.
        foreground_dice: the mean of the Dice coefficients, in percent.
        boundary_iou: the mean boundary IoU, in percent.
        hd95: the mean HD95, in pixels.
        object_f1: the mean F1 of the objects, in percent.
        share_error: the mean error of the shares of the pixels, in percentage points.
        per_class: the scores of each class, by its name.
    """

    foreground: tuple[str, ...]
    foreground_dice: float | None
    boundary_iou: float | None
    hd95: float | None
    object_f1: float | None
    share_error: float | None
    per_class: Mapping[str, ClassShapes]

    def text(self) -> str:
        """The scores of the classes as a table, and the means over the foreground."""
        head = ["class", "boundary IoU", "HD95, px", "object F1", "objects", "predicted"]
        head += ["share, %", "predicted", "bias"]
        rows = [
            [
                name,
                *map(percent, (one.boundary_iou, one.hd95, one.object_f1)),
                f"{one.objects:,}",
                f"{one.predicted_objects:,}",
                *map(percent, (one.true_share, one.predicted_share)),
                "-" if one.share_bias is None else f"{one.share_bias:+.1f}",
            ]
            for name, one in self.per_class.items()
        ]
        return "\n".join(filter(None, (table(head, rows), self.summary(), self.count_warning())))

    def count_warning(self) -> str:
        """A sentence if the number of objects of a class is wrong by more than a fifth.

        One object too many or too few is no reason.
        """
        wrong = [
            f"{one.predicted_objects:,} of {name}, and the masks hold {one.objects:,}"
            for name in self.foreground
            for one in (self.per_class[name],)
            if abs(one.predicted_objects - one.objects) > max(one.objects / 5, 1) and one.objects
        ]
        if not wrong:
            return ""
        others = f"; {plural(len(wrong) - 3, 'other class', 'other classes')}" if wrong[3:] else ""
        return (
            "Do not count objects with this model. Where masks are known, it finds "
            f"{'; '.join(wrong[:3])}{others}. Objects that touch are one object here: semiseg "
            "check says how many did, where you labeled them one by one"
        )

    def summary(self) -> str:
        """The means over the foreground, as a sentence."""
        distance = "-" if self.hd95 is None else f"{self.hd95:.1f} px"
        return (
            f"{self.describe_foreground()}: Dice {percent(self.foreground_dice)} %, boundary IoU "
            f"{percent(self.boundary_iou)} %, HD95 {distance}, object F1 "
            f"{percent(self.object_f1)} %, error of the shares {percent(self.share_error)} points"
        )

    def describe_foreground(self) -> str:
        """Which classes the means are over."""
        if len(self.foreground) == len(self.per_class):
            return "mean of all classes" if len(self.foreground) > 1 else self.foreground[0]
        return f"foreground ({', '.join(self.foreground)})"


@dataclass(frozen=True)
class MeanIou:
    """Mean IoU of the classes with true pixels in val, in percent; None where there are none.

    Attributes:
        last: the student after the last step.
        best: the highest score of all validations and, after the last step, of all adjustments of
            the logits, on all of `val`. It was chosen there, so it is optimistic.
        released: the score of the release, cross-fitted: each half of `val` is scored with the
            model that the other half chose. No image had a part in the choice that it scores.
    """

    last: float | None
    best: float | None
    released: float | None


@dataclass(frozen=True)
class Adjustment:
    """The logit adjustment of the released model.

    Attributes:
        strength: the share of the log class weights that is subtracted from the logits.
        without: the mean IoU of the same network without the adjustment on all of `val`, in
            percent. With it, it is `miou` of the `Choice`. None for two networks.
    """

    strength: float
    without: float | None


@dataclass(frozen=True)
class Timing:
    """How fast a run was.

    Attributes:
        step: median seconds from one step to the next; the mean of these over all stages.
        validation: median seconds of a validation.
        between: seconds of what a run with stages does besides the steps and the validations of its
            last stage: the validations of the earlier stages, and the training of a second network.
            The labeling comes on top.
        labeling: seconds of the labeling of all unlabeled images between the stages.
        labeling_of_step: those for each step of the run, if they draw too few for all images.
    """

    step: float
    validation: float
    between: float = 0.0
    labeling: float = 0.0
    labeling_of_step: float = 0.0

    def labeling_at(self, steps: int) -> float:
        """The seconds of the labeling in a run with so many steps."""
        return min(self.labeling, steps * self.labeling_of_step)


@dataclass(frozen=True)
class SplitRecord:
    """The images that a run used.

    Attributes:
        seed: the seed of the split.
        labeled: hash of the sorted names of the labeled images.
        unlabeled: hash of the names of the unlabeled images.
        val: hash of the names of the validation images.
        images: the number of images in each of the three lists, by the list's name.
        source: `file` and `sha256` of the file that listed the labeled images; empty without one.
    """

    seed: int
    labeled: str
    unlabeled: str
    val: str
    images: Mapping[str, int]
    source: Mapping[str, str] = field(default_factory=dict)

    def hash_of(self, name: str) -> str:
        """The hash of the list `labeled`, `unlabeled` or `val`."""
        return {"labeled": self.labeled, "unlabeled": self.unlabeled, "val": self.val}[name]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The contents of `scores.json`.

    Attributes:
        method: the method's name.
        miou: mean IoU on the validation images.
        per_class: the scores of each class by its name, cross-fitted as `miou.released`.
        which: the name of the released network, such as `student` or `teacher`; `both` for the mean
            of two networks.
        adjustment: how its logits were adjusted.
        choice: how both were chosen, and whether the model is that of the first stage.
        labels: the number of labeled images.
        steps: optimizer steps, of all stages together, without those of a second network.
        skipped_steps: steps that were skipped because a loss or gradient was not finite.
        seconds: seconds of the training, validations, all stages and the labeling between them
            included.
        timing: seconds of a step and of a validation.
        split: the images.
        versions: version numbers of semiseg, Python and the main libraries, by name.
        shapes: the areas, boundaries and objects of the released model on all of `val`; None where
            they were not counted.
        format: the version of the file.
    """

    method: str
    miou: MeanIou
    per_class: Mapping[str, ClassScores]
    which: str
    adjustment: Adjustment
    choice: Choice
    labels: int
    steps: int
    skipped_steps: int
    seconds: float
    timing: Timing
    split: SplitRecord
    versions: Mapping[str, str]
    shapes: ShapeScores | None = None
    format: int = FORMAT

    def to_dict(self) -> dict[str, object]:
        """The scores as plain values, for JSON."""
        return {"format": self.format, **asdict(self)}

    def summary(self) -> str:
        """The mean IoU of the released model, and its worst class, in half a sentence."""
        mean = (
            f"mIoU {percent(self.miou.released)} % on {plural(self.split.images['val'], 'image')} "
            "of val"
        )
        if self.choice.is_first_stage:
            mean += ", released is the model of stage 1 (labeled images only)"
        if self.choice.is_pair:
            mean += ", released is the mean of two networks"
        scored = {n: c.iou for n, c in self.per_class.items() if c.iou is not None}
        if len(scored) < 2:
            return mean
        worst = min(scored, key=scored.__getitem__)
        name = f"class {worst}" if worst.isdigit() else worst
        return f"{mean}, lowest for {name} ({percent(scored[worst])} %)"

    @classmethod
    def from_dict(cls, content: object) -> Scores:
        """Read the plain values that `to_dict` gives.

        Raises:
            ValueError: a value is missing or has another type, or the format is another one.
        """
        version = content.get("format") if isinstance(content, Mapping) else None
        if version != FORMAT:
            raise ValueError(f"its format is {version}; this semiseg reads format {FORMAT}")
        return from_plain(cls, content)


def read_scores(file: Path) -> Scores:
    """Read `scores.json`.

    Raises:
        RunError: the file cannot be read, or does not hold scores.
    """
    try:
        return Scores.from_dict(read_json(file))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file} cannot be read ({error}). Remove it and continue with --resume, or train "
            "again."
        ) from error
