"""The content of the report of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from semiseg.config.command_line import train_command
from semiseg.config.methods import default_settings
from semiseg.config.plan import few_validation_images
from semiseg.config.settings import AUTO
from semiseg.core.errors import DataError, RunError
from semiseg.core.scores import ClassScores, Scores, ShapeScores, SplitRecord
from semiseg.core.text import duration, percent, plural
from semiseg.data.formats.image_opening import UNREADABLE, open_image, reason
from semiseg.data.image_lists import list_hash
from semiseg.evaluation.beside_published import PublishedTable, beside_published
from semiseg.evaluation.pseudo_label_summary import PseudoLabelRecord, Quality
from semiseg.inference.card import describe_release
from semiseg.inference.load import load
from semiseg.plots.curves import draw_lines
from semiseg.plots.matrices import draw_confusion, draw_plane
from semiseg.plots.palette import accessible_colors, css_color
from semiseg.plots.pseudo_labels import SOURCES, draw_pseudo_label_curves
from semiseg.reporting.citation import Citation, citations
from semiseg.reporting.embed import Picture, embed_photo, embed_svg
from semiseg.reporting.gallery import Gallery, make_gallery
from semiseg.reporting.run_files import Curve, PlanEntry, RunFiles
from semiseg.training.diagnostics import DIAGNOSTICS
from semiseg.training.run_data import arrangement_of, scored_samples
from semiseg.training.run_folder import CONFIG
from semiseg.training.stage_notes import StageResult, used_images

_SHARES = ("used", "agree", "hard")  # columns of the metrics that are shares of the pixels
_MAX_TABLE_CLASSES = 25  # a confusion matrix of more classes is a picture
_MAX_CONFUSIONS = 8
_MIN_CONFUSION = 1.0  # percent of the pixels of a class
_MAX_SAMPLES = 3  # pictures of single images from the diagnostics
_SAMPLE_WIDTH = 1000  # pixels, at most


class Captioned(NamedTuple):
    """A picture with its caption."""

    caption: str
    picture: Picture


class ClassRow(NamedTuple):
    """A row of the table of classes.

    Attributes:
        name: of the class.
        color: as style sheets write it.
        share: its share of the scored pixels, in percent.
        scores: its scores.
    """

    name: str
    color: str
    share: float
    scores: ClassScores


class Confusion(NamedTuple):
    """The confusion matrix.

    Attributes:
        names: the class names.
        shares: percent of a class's pixels (rows) by predicted class; None without pixels.
        largest: the largest shares off the diagonal, each with its true and predicted class.
        picture: the matrix as a picture, where a table would be too large.
    """

    names: Sequence[str]
    shares: Sequence[Sequence[float | None]]
    largest: Sequence[tuple[float, str, str]]
    picture: Picture | None


class PseudoLabels(NamedTuple):
    """The diagnostics of the pseudo-labels.

    Attributes:
        last: the diagnostics after the last step.
        sources: the scores of each source of labels, with its name.
        figures: the curves, and confidence against similarity.
        samples: pictures of single images.
    """

    last: PseudoLabelRecord
    sources: Sequence[tuple[str, Quality]]
    figures: Sequence[Captioned]
    samples: Sequence[Picture]


@dataclass(frozen=True)
class RunPage:
    """The values for `run.html`.

    Attributes:
        title: method and number of masks.
        headline: the main result in one or two sentences.
        warnings: why the scores mean little; empty if they do not.
        facts: the most important values by name.
        published: the run beside published scores; None if there are none for it.
        stages: what each stage has reached; empty for a run with one stage.
        curves: the curves of the training.
        classes: the classes, the most frequent first.
        shapes: the scores of areas, boundaries and objects; None without them.
        confusion: the confusion matrix, or None.
        gallery: validation images, or None.
        no_gallery: why there are no images; empty if there are.
        pseudo_labels: the diagnostics, or None.
        plan: the settings with their reasons.
        citations: what to cite.
        command: the command that repeats the run.
        config_command: the same with the run's `config.yaml`.
        split: the images.
        versions: version numbers by name.
    """

    title: str
    headline: str
    warnings: Sequence[str]
    facts: Mapping[str, str]
    published: PublishedTable | None
    stages: Sequence[StageResult]
    curves: Sequence[Captioned]
    classes: Sequence[ClassRow]
    shapes: ShapeScores | None
    confusion: Confusion | None
    gallery: Gallery | None
    no_gallery: str
    pseudo_labels: PseudoLabels | None
    plan: Sequence[PlanEntry]
    citations: Sequence[Citation]
    command: str
    config_command: str
    split: SplitRecord
    versions: Mapping[str, str]


def run_page(run: RunFiles, data: Path | None, accelerator: str) -> RunPage:
    """The content of the page.

    Args:
        run: the contents of the run folder.
        data: the data folder, if it moved since the training.
        accelerator: where to segment the validation images.
    """
    scores = run.scores
    gallery, no_gallery = _make_gallery(run, data, accelerator)
    return RunPage(
        title=f"{scores.method}, {plural(scores.labels, 'mask')}",
        headline=headline(scores, run.stages),
        warnings=few_validation_images(scores.split.images["val"]),
        facts={
            "Released model": describe_release(
                scores.which, scores.adjustment.strength, scores.choice.is_first_stage
            )
            + ("" if scores.choice.is_first_stage else ", after the last step"),
            "How val is scored": "in two halves. One half chooses the model that scores the other "
            "half, so no image decides about its own score. The released model has "
            f"{percent(scores.choice.miou)} % on all of val, which chose it",
            "mIoU of the student": f"{percent(scores.miou.last)} % after the last step",
            "Best mIoU": f"{percent(scores.miou.best)} % (chosen on val, so it is optimistic)",
            "Training": f"{scores.steps:,} steps in {duration(scores.seconds)}",
            **({} if run.weights is None else {"Encoder weights": run.weights.describe()}),
        },
        published=beside_published(run.config, scores, scores.miou.released),
        stages=run.stages,
        curves=draw_curves(run.curves),
        classes=_class_rows(run),
        shapes=scores.shapes,
        confusion=_confusion(run),
        gallery=gallery,
        no_gallery=no_gallery,
        pseudo_labels=_pseudo_labels(run),
        plan=run.plan,
        citations=citations([scores.method], scores.versions),
        command=train_command(run.config),
        config_command=f"semiseg train --config {run.folder / CONFIG} --out OTHER",
        split=scores.split,
        versions=scores.versions,
    )


def headline(scores: Scores, stages: Sequence[StageResult] = ()) -> str:
    """The images and the mean IoU of a run, and its best and worst class.

    Args:
        scores: the scores of the run.
        stages: what each stage has reached; empty for a run with one stage.
    """
    images = f"With {plural(scores.labels, 'mask')}"
    if default_settings(scores.method).uses_unlabeled:
        unlabeled, used = scores.split.images["unlabeled"], used_images(stages)
        images += f" and {plural(unlabeled, 'unlabeled image')}"
        if 0 < used < unlabeled:
            images += f", of which {used:,} {'was' if used == 1 else 'were'} used"
    miou = scores.miou.released
    if miou is None:
        return (
            f"{images}, {scores.method} was trained. No class occurs in val, so it has no scores."
        )
    sentence = f"{images}, {scores.method} reaches {percent(miou)} % mIoU on val."
    ranking = [(s.iou, name) for name, s in scores.per_class.items() if s.iou is not None]
    if len(ranking) < 2:
        return sentence
    (low, worst), (high, best) = min(ranking), max(ranking)
    worst, best = (f"class {name}" if name.isdigit() else name for name in (worst, best))
    return (
        f"{sentence} The best class is {best} with {percent(high)} %, the worst {worst} with "
        f"{percent(low)} %."
    )


def draw_curves(columns: Mapping[str, Curve]) -> list[Captioned]:
    """The scores, the losses and the shares over the steps."""
    losses: dict[str, Curve] = {}
    shares: dict[str, Curve] = {}
    scores: dict[str, Curve] = {}
    for column, points in columns.items():
        kind, _, name = column.partition("/")
        if kind == "train" and name in _SHARES:
            shares[name] = [(step, 100 * value) for step, value in points]
        elif kind == "train":
            losses[name] = points
        elif column.startswith("val/miou_"):
            scores[column.removeprefix("val/miou_")] = points
    figures = [
        ("mean IoU on val at each validation", scores, "mIoU on val, %", True),
        ("the losses, and other values of the batches", losses, "loss", False),
        ("shares of the unlabeled pixels", shares, "% of the pixels", True),
    ]
    return [
        Captioned(caption, embed_svg(draw_lines(series, label, is_percent)))
        for caption, series, label, is_percent in figures
        if series
    ]


def _class_rows(run: RunFiles) -> list[ClassRow]:
    per_class = run.scores.per_class
    pixels = sum(scores.pixels for scores in per_class.values())
    if not pixels:
        return []
    colors, _ = accessible_colors(run.classes)
    rows = [
        ClassRow(name, css_color(color), 100 * scores.pixels / pixels, scores)
        for (name, scores), color in zip(per_class.items(), colors, strict=True)
    ]
    return sorted(rows, key=lambda row: -row.share)


def _confusion(run: RunFiles) -> Confusion | None:
    if run.confusion is None:
        return None
    names = list(run.scores.per_class)
    sums = [sum(row) for row in run.confusion]
    shares = [
        [100 * count / total if total else None for count in row]
        for row, total in zip(run.confusion, sums, strict=True)
    ]
    confusions = [
        (share, names[i], names[j])
        for i, row in enumerate(shares)
        for j, share in enumerate(row)
        if i != j and share is not None and share >= _MIN_CONFUSION
    ]
    largest = sorted(confusions, key=lambda confusion: -confusion[0])[:_MAX_CONFUSIONS]
    is_large = len(names) > _MAX_TABLE_CLASSES
    return Confusion(
        names, shares, largest, embed_svg(draw_confusion(shares)) if is_large else None
    )


def _pseudo_labels(run: RunFiles) -> PseudoLabels | None:
    if not run.diagnostics:
        return None
    last = run.diagnostics[-1]
    colors = dict(zip(run.classes.names, run.classes.colors, strict=True))
    figures = [
        Captioned(
            "the share of the pixels in use by class, and the pseudo-labels against hidden masks",
            embed_svg(draw_pseudo_label_curves(run.diagnostics, colors)),
        )
    ]
    if last["plane"] is not None:
        plane = embed_svg(draw_plane(last["plane"]))
        figures.append(Captioned("confidence against similarity", plane))
    quality = last["quality"] or {}
    sources = [(label, quality[name]) for name, (label, _) in SOURCES.items() if name in quality]
    return PseudoLabels(last, sources, figures, _read_samples(run.folder))


def _read_samples(folder: Path) -> list[Picture]:
    """The first pictures of single images from the diagnostics."""
    samples = []
    for file in sorted((folder / DIAGNOSTICS).glob("sample*.png"))[:_MAX_SAMPLES]:
        try:
            with open_image(file) as image:
                picture = image.convert("RGB")
        except UNREADABLE as error:
            raise RunError(f"{file} cannot be read ({reason(error)}). Remove it.") from error
        picture.thumbnail((_SAMPLE_WIDTH, 4 * _SAMPLE_WIDTH))
        samples.append(embed_photo(picture))
    return samples


def _make_gallery(run: RunFiles, data: Path | None, accelerator: str) -> tuple[Gallery | None, str]:
    """Validation images, or why there are none: a report is useful without them."""
    folder = data or run.config.data.data
    try:
        name = run.config.data.dataset
        dataset = None if name == AUTO else name
        flags = arrangement_of(run.folder, folder)
        samples = scored_samples(run.folder, folder, "val", dataset, flags)
        if list_hash(samples) != run.scores.split.val:
            raise DataError(f"{folder} no longer holds the validation images of the training.")
        return make_gallery(load(run.folder, accelerator), samples), ""
    except DataError as error:
        return None, f"{error} Name the folder with these images: semiseg report RUN --data DATA."
