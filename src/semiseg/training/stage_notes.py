"""What the log and the report say about the stages of a run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from semiseg.config.stages import stage_name
from semiseg.core.scores import Scores, read_scores
from semiseg.core.text import percent, plural
from semiseg.evaluation.choice import ImageCounts, cross_fit
from semiseg.training.checkpoint import newest_intact
from semiseg.training.labeling.second import SECOND_ENCODER
from semiseg.training.labeling.store import read_details, read_names
from semiseg.training.labels_in_use import LabelsInUse, read_in_use
from semiseg.training.run_folder import CHECKPOINTS, SCORES, finished
from semiseg.training.stage import Stage, pair_folder
from semiseg.training.stored_labels import LABELS
from semiseg.training.val_counts import read_counts

logger = logging.getLogger(__name__)


class StageResult(NamedTuple):
    """What a finished stage has reached.

    Attributes:
        number: its number, from 1; 0 for the second network, which only labeled images.
        method: its method, and whether it went without unlabeled images.
        steps: its optimizer steps.
        miou: the mean IoU of its model on all images of val, in percent; they took part in the
            choice of its network.
        labels: the stored labels that it has learned; None for a stage on labeled images only.
        images: the names of the unlabeled images that were labeled for it.
        warnings: why these labels help little; empty if they do not.
    """

    number: int
    method: str
    steps: int
    miou: float | None
    labels: LabelsInUse | None = None
    images: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Which stage it is, in words."""
        return f"stage {self.number}" if self.number else "second network"


def describe_start(stages: Sequence[Stage]) -> str:
    """In which stage a resumed run goes on, and after which of its steps."""
    stage = next(one for one in stages if finished(one.config.out) is None)
    newest = newest_intact(stage.config.out / CHECKPOINTS)
    where = f" in {stage.title}" * (stage.total > 1)
    step = 0 if newest is None else newest[1]
    return f"going on{where} after step {step} of {stage.config.schedule.steps}"


def results_of_stages(stages: Sequence[Stage], scores: Scores) -> tuple[StageResult, ...]:
    """What each stage of a finished run has reached.

    Args:
        stages: all stages of the run.
        scores: the scores of the run.

    Returns:
        Empty for a run with one stage, and where the folder of an earlier one was removed.

    Raises:
        RunError: the scores of an earlier stage cannot be read.
    """
    files = [stage.config.out / SCORES for stage in stages[:-1]]
    if not files or not all(file.is_file() for file in files):
        return ()
    second = _result_of_second(stages[-1])
    earlier = [read_scores(file) for file in files]
    first = scores.choice.first_stage
    reached = [(one.steps, one.choice.miou) for one in earlier]
    steps = scores.steps - sum(one.steps for one in earlier)
    last = scores.choice.miou if first is None else first.last_miou
    alone = scores.choice.alone_miou  # of the last stage without the second network
    reached.append((steps, last if alone is None else alone))
    own = [
        _result(stage, steps, miou) for stage, (steps, miou) in zip(stages, reached, strict=True)
    ]
    return (*second, *own)


def _result(stage: Stage, steps: int, miou: float | None) -> StageResult:
    """What a stage has reached with so many steps."""
    store = stage.config.out / LABELS
    in_use = read_in_use(store)
    return StageResult(
        stage.number,
        stage_name(stage.config.method, stage.labeled_only),
        steps,
        miou,
        in_use,
        read_names(store),
        () if in_use is None else tuple(in_use.warnings(stage.config)),
    )


def used_images(results: Iterable[StageResult]) -> int:
    """The number of different unlabeled images that were labeled for the stages of a run.

    Args:
        results: what its stages have reached.

    Returns:
        0 for a run with one stage, and where the labels of a stage were removed.
    """
    results = [one for one in results if one.number > 1]  # stage 1 has labeled images only
    if not all(one.images for one in results):
        return 0
    names: Counter[str] = Counter()
    for one in results:
        # Two images may have the same name. A store lists such a name twice.
        names |= Counter(one.images)
    return names.total()


def _result_of_second(last: Stage) -> tuple[StageResult, ...]:
    """What the second network has reached; empty where there is none, or its folder is gone.

    Args:
        last: the last stage.
    """
    network, folder = last.run.settings.second_network, last.second_folder
    if network is None or folder is None or (scores := finished(folder)) is None:
        return ()
    name = f"supervised, on frozen features of {network.encoder}"
    if SECOND_ENCODER not in read_details(last.run.out / LABELS):
        name += "; no say in the last labels"
    return (StageResult(0, name, scores.steps, scores.choice.miou),)


def log_middle_stages(
    stages: Sequence[Stage], scores: Scores, last: ImageCounts, images: Sequence[str]
) -> None:
    """Log what each stage has reached, and warn of one that is better than the release.

    The models of the middle stages and the second network are no candidates for the release.
    Nothing is logged for two stages without a second network, or for one.

    Args:
        stages: all stages of the run.
        scores: the scores of the run.
        last: the candidates of the last stage, with their counts.
        images: the names of the images of val.

    Raises:
        RunError: a file of an earlier stage cannot be read.
    """
    second = stages[-1].second_folder
    if len(stages) < 3 and second is None:
        return
    results = results_of_stages(stages, scores)
    listed = ", ".join(
        f"{one.title} ({one.method}, {plural(one.steps, 'step')}) {percent(one.miou)}"
        for one in results
    )
    logger.info("mIoU of the model of each stage on val: %s", listed)
    classes = last.true.shape[1]
    released = last
    if scores.choice.is_pair:
        released = read_counts(pair_folder(stages[-1].run.out), images, classes)
    if scores.choice.is_first_stage:
        released = read_counts(stages[0].config.out, images, classes)
    others = {stage.config.out: f"stage {stage.number}" for stage in stages[1:-1]}
    if second is not None:
        others[second] = "the second network"
    for folder, title in others.items():
        # With two stages, the rule of the release says whether the first of them is better.
        middle = read_counts(folder, images, classes).in_stage(1)
        choice = cross_fit(middle.joined(released.in_stage(2)), images)[0]
        if choice.is_first_stage and choice.first_stage is not None:
            logger.warning(
                "%s has mIoU %s on val, better than the released model (%s) by more than one "
                "standard error (%s). It is no candidate for the release; %s holds the model of %s",
                title,
                percent(choice.first_stage.miou),
                percent(choice.first_stage.last_miou),
                percent(choice.first_stage.standard_error),
                folder,
                title,
            )
