"""The content of the page of a training that runs: where it stands, curves and some masks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from semiseg.core.text import duration, percent
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.plots.palette import accessible_colors, css_color
from semiseg.reporting.gallery import GalleryImage, classes_in, draw_masks
from semiseg.reporting.run_files import read_curves
from semiseg.reporting.run_page import Captioned, draw_curves
from semiseg.training.checkpoint import how_to_resume
from semiseg.training.watching import Progress

LIVE_MARK = "data-live"
"""An attribute of the page, which no report of a finished run has."""

State = Literal["training", "stopped", "done"]

_MIN_RELOAD, _MAX_RELOAD = 5, 60  # seconds
_RELOADS = 10  # between two validations
_OVERDUE = 3  # times the expected seconds to the next validation
_PATIENCE = 120  # seconds; a machine may be busy, and a report takes a while


class LiveClass(NamedTuple):
    """The newest score of a class.

    Attributes:
        name: of the class.
        color: as style sheets write it.
        iou: in percent; None without true pixels.
    """

    name: str
    color: str
    iou: float | None


@dataclass(frozen=True)
class LivePage:
    """The values for `live.html`.

    Attributes:
        title: the method and the run folder.
        headline: where the training stands, in one or two sentences.
        live_state: `training`, `stopped`, or `done` where only the report is missing.
        remedy: the command that goes on with a training that stopped, or writes the report.
        reload: the seconds after which the browser loads the page again; None for not at all.
        overdue: the time, in seconds since 1970, from which the training is probably dead; None
            where nobody can tell.
        facts: the most important values by name.
        curves: the curves so far.
        classes: the newest scores by class.
        images: validation images with the newest masks.
        legend: name and color of the classes in these images.
    """

    title: str
    headline: str
    live_state: State
    remedy: str
    reload: int | None
    overdue: int | None
    facts: Mapping[str, str]
    curves: Sequence[Captioned]
    classes: Sequence[LiveClass]
    images: Sequence[GalleryImage]
    legend: Sequence[tuple[str, str]]


def live_page(progress: Progress, state: State) -> LivePage:
    """The content of the page.

    Args:
        progress: where the training stands.
        state: whether the training runs.

    Raises:
        OSError: the curves cannot be read.
        ValueError: they are damaged.
    """
    stage, run = progress.stage, progress.stage.run
    colors, _ = accessible_colors(progress.classes)
    masks = [mask for image in progress.images for mask in (image.truth, image.labels)]
    per_class = {} if progress.scores is None else progress.scores["per_class"]
    remedy = how_to_resume(run.data.data, run.out)
    return LivePage(
        title=f"{run.method}: {run.out}",
        headline=_headline(progress, state),
        live_state=state,
        remedy=f"Write it with: semiseg report {run.out}" if state == "done" else remedy,
        reload=_reload(progress) if state == "training" else None,
        overdue=_overdue(progress) if state == "training" else None,
        facts=_facts(progress),
        curves=draw_curves(read_curves(stage.until_now())),
        classes=[
            LiveClass(name, css_color(color), score["iou"])
            for (name, score), color in zip(per_class.items(), colors, strict=False)
        ],
        images=[
            GalleryImage(
                image.name,
                scores(
                    confusion_matrix(
                        torch.from_numpy(image.labels),
                        torch.from_numpy(image.truth),
                        len(progress.classes),
                    ),
                    progress.classes.names,
                )["miou"],
                draw_masks(image.picture, image.truth, image.labels, colors),
            )
            for image in progress.images
        ],
        legend=[
            (progress.classes.names[i], css_color(colors[i])) for i in sorted(classes_in(*masks))
        ],
    )


def at_step(page: LivePage, progress: Progress) -> LivePage:
    """The page of a training at a newer step; curves, scores and images stay as they are.

    Args:
        page: the page of the last validation, or of the beginning.
        progress: where the training stands.
    """
    return replace(
        page,
        headline=_headline(progress, "training"),
        reload=_reload(progress),
        overdue=_overdue(progress),
        facts=_facts(progress),
    )


def _headline(progress: Progress, state: State) -> str:
    steps = progress.stage.config.schedule.steps
    stage = f" of {progress.stage.title}" if progress.stage.title else ""
    step = f"step {progress.step:,} of {steps:,}{stage}"
    if state == "stopped":
        return f"The training stopped after {step}."
    if state == "done":
        return "The training is done, but its report could not be written."
    if progress.scores is None:
        score = f"the next scores come at step {progress.next_validation:,}"
        if progress.seconds_to_next:
            score += f", in about {duration(progress.seconds_to_next)}"
    else:
        is_new = progress.step == progress.scored_step
        verb, when = ("has", "") if is_new else ("had", f" at step {progress.scored_step:,}")
        score = f"{progress.network} {verb} {percent(progress.scores['miou'])} % mIoU on val{when}"
    if progress.step == steps:
        return f"All steps are done: {score}. The report follows."
    rest = progress.seconds_left
    return f"{step[0].upper()}{step[1:]}: {score}" + (
        f"; about {duration(rest)} left." if rest else "."
    )


def _facts(progress: Progress) -> dict[str, str]:
    """The most important values by name."""
    stage, left = progress.stage, progress.seconds_left
    facts = {"Step": f"{progress.step:,} of {stage.config.schedule.steps:,}"}
    if stage.title:
        facts["Stage"] = str(stage)
    if left:
        facts["Time left"] = f"about {duration(left)}"
    facts["Written"] = time.strftime("%Y-%m-%d %H:%M:%S")
    return facts


def _reload(progress: Progress) -> int:
    """The seconds after which the browser loads the page again."""
    seconds = (progress.seconds_to_next or 0.0) / _RELOADS
    return round(min(max(seconds, _MIN_RELOAD), _MAX_RELOAD))


def _overdue(progress: Progress) -> int | None:
    """The time from which a page without news means that the training is dead."""
    if progress.seconds_to_next is None or progress.scores is None:
        return None  # nobody knows yet how long a validation takes
    return round(time.time() + _OVERDUE * progress.seconds_to_next + _PATIENCE)
