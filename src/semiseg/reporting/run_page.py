"""What the report of a run shows, as values for its template."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from semiseg.config.methods import default_settings
from semiseg.core.errors import DataError, RunError
from semiseg.core.files import read_json, read_yaml
from semiseg.core.scores import Scores, read_scores
from semiseg.core.text import percent, plural
from semiseg.data.formats.images import UNREADABLE, open_image, reason
from semiseg.plots.curves import draw_lines
from semiseg.plots.matrices import draw_confusion, draw_plane
from semiseg.plots.palette import accessible_colors, css_color
from semiseg.plots.pseudo_labels import SOURCES, draw_pseudo_label_curves
from semiseg.reporting import commands
from semiseg.reporting.embed import Picture, embed_photo, embed_svg
from semiseg.training.diagnostics import DIAGNOSTICS
from semiseg.training.run_folder import CONFIG, CONFUSION, PLAN, SCORES
from semiseg.training.tables import which_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from semiseg.reporting.gallery import Gallery

Curves = dict[str, list[tuple[int, float]]]
_SHARES = ("taught", "agree", "hard")  # of the pixels, among what a step reports
_TABLE = 25  # classes that a table of the confusion matrix can hold
_CONFUSED = 8
_DRAWN = 3  # pictures of single images from the diagnostics
_WIDE = 1000  # their width at most


class Stored(NamedTuple):
    """What a run folder holds, as it was written.

    Attributes:
        folder: the run folder.
        scores: the contents of `scores.json`.
        settings: `config.yaml`.
        model: `model.json`.
        curves: (step, value) by column of `metrics.csv`.
        confusion: pixels by true and predicted class, or None.
        diagnostics: the looks of `diagnostics.json`; empty where there is none.
        plan: the settings of `plan.yaml`; empty where there is none.
    """

    folder: Path
    scores: Scores
    settings: dict[str, Any]
    model: dict[str, Any]
    curves: Curves
    confusion: list[list[int]] | None
    diagnostics: list[dict[str, Any]]
    plan: list[dict[str, Any]]


def read_run(folder: Path) -> Stored:
    """Read what the report is made from.

    Raises:
        RunError: the run is not finished, or a file cannot be read.
    """
    if not (folder / SCORES).is_file():
        raise RunError(
            f"{folder} holds neither a finished run ({SCORES}) nor a comparison "
            "(comparison.json). Name such a folder; a run that was stopped goes on with "
            f"semiseg train DATA --out {folder} --resume."
        )
    looks, plan = folder / DIAGNOSTICS / "diagnostics.json", folder / PLAN
    try:
        config: Any = read_yaml(folder / CONFIG)
        model: Any = read_json(folder / "model.json")
        validations: Any = read_json(looks) if looks.is_file() else {"looks": []}
        entries: Any = read_yaml(plan) if plan.is_file() else {"plan": []}
        return Stored(
            folder,
            read_scores(folder / SCORES),
            config,
            model,
            _read_curves(folder / "metrics.csv"),
            _read_confusion(folder / CONFUSION),
            validations["looks"],
            entries["plan"],
        )
    except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
        raise RunError(f"The run in {folder} cannot be read ({error}). Train it anew.") from error


def run_page(run: Stored, data: Path | None, accelerator: str) -> dict[str, Any]:
    """The values for `run.html`.

    Args:
        run: what the run folder holds.
        data: where the images are; where they were if None.
        accelerator: where to segment them.
    """
    scores, miou = run.scores, run.scores.miou
    gallery, why = _gallery(run, data or Path(run.settings["data"]), accelerator)
    facts = {
        "Kept": f"{which_network(scores.which, scores.adjustment.strength)}, after the last step",
        "mIoU of the student": f"{percent(miou.last)} % after the last step",
        "Best seen": f"{percent(miou.best)} %, chosen on val, so it flatters",
        "Training": f"{scores.steps:,} steps in {_duration(scores.seconds)}",
    }
    return {
        "title": f"{scores.method}, {scores.labels} masks",
        "headline": headline(scores),
        "facts": facts,
        "curves": [(words, embed_svg(figure)) for words, figure in _curves(run.curves)],
        "classes": _classes(run),
        "confusion": _confusion(run),
        "gallery": gallery,
        "no_gallery": why,
        "pseudo": _pseudo(run),
        "plan": run.plan,
        "command": commands.repeat_run(run.settings),
        "config": f"semiseg train --config {run.folder / CONFIG} --out OTHER",
        "split": scores.split,
        "versions": scores.versions,
    }


def headline(scores: Scores) -> str:
    """What was reached with what, in one or two sentences."""
    used = f"With {plural(scores.labels, 'mask')}"
    if default_settings(scores.method).uses_unlabeled:
        used += f" and {plural(scores.split.images['unlabeled'], 'unlabeled image')}"
    reached = scores.miou.released
    if reached is None:
        return f"{used} {scores.method} was trained; no class occurs in val, so nothing is known."
    told = f"{used} {scores.method} reaches {percent(reached)} % mIoU on val."
    known = [(v.iou, name) for name, v in scores.per_class.items() if v.iou is not None]
    if len(known) < 2:
        return told
    (low, worst), (high, best) = min(known), max(known)
    worst, best = (f"class {name}" if name.isdigit() else name for name in (worst, best))
    return f"{told} Best is {best} with {percent(high)} %, worst {worst} with {percent(low)} %."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _read_curves(file: Path) -> Curves:
    """The columns of the metrics; none where there is no file."""
    found: Curves = {}
    if not file.is_file():
        return found
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            step = int(row.pop("step"))
            for name, value in row.items():
                if value and math.isfinite(float(value)):
                    found.setdefault(name, []).append((step, float(value)))
    return found


def _read_confusion(file: Path) -> list[list[int]] | None:
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as lines:
        return [[int(count) for count in row[1:]] for row in list(csv.reader(lines))[1:]]


def _curves(columns: Curves) -> list[tuple[str, Figure]]:
    """The figures, each with what it shows."""
    losses: Curves = {}
    shares: Curves = {}
    looks: Curves = {}
    for name, points in columns.items():
        kind, _, word = name.partition("/")
        if kind == "train" and word in _SHARES:
            shares[word] = [(step, 100 * value) for step, value in points]
        elif kind == "train":
            losses[word] = points
        elif name.startswith("val/miou_"):
            looks[name.removeprefix("val/miou_")] = points
    found: list[tuple[str, Curves, str, bool]] = [
        ("mean IoU on val at each look", looks, "mIoU on val, %", True),
        ("what is minimized, and other values of the batches", losses, "loss", False),
        ("shares of the unlabeled pixels", shares, "% of the pixels", True),
    ]
    return [
        (words, draw_lines(series, label, of_all))
        for words, series, label, of_all in found
        if series
    ]


def _classes(run: Stored) -> list[dict[str, Any]]:
    """A row a class, the most frequent first."""
    from semiseg.data.formats.masks import Classes

    per_class = run.scores.per_class
    pixels = sum(values.pixels for values in per_class.values())
    colors, _ = accessible_colors(Classes.from_dict(run.model["classes"]))
    rows = [
        {
            "scores": values,
            "name": name,
            "color": css_color(color),
            "share": 100 * values.pixels / pixels,
        }
        for (name, values), color in zip(per_class.items(), colors, strict=True)
        if pixels
    ]
    return sorted(rows, key=lambda row: -row["share"])


def _confusion(run: Stored) -> dict[str, Any] | None:
    """Shares of each true class by predicted class, as a table or a picture, and the largest."""
    if run.confusion is None:
        return None
    names = list(run.scores.per_class)
    sums = [sum(row) for row in run.confusion]
    shares = [
        [100 * count / total if total else None for count in row]
        for row, total in zip(run.confusion, sums, strict=True)
    ]
    wrong = [
        (share, names[i], names[j])
        for i, row in enumerate(shares)
        for j, share in enumerate(row)
        if i != j and share is not None and share >= 1
    ]
    largest = sorted(wrong, key=lambda one: -one[0])[:_CONFUSED]
    picture = embed_svg(draw_confusion(shares)) if len(names) > _TABLE else None
    return {"names": names, "shares": shares, "largest": largest, "picture": picture}


def _pseudo(run: Stored) -> dict[str, Any] | None:
    """The diagnostics of the pseudo-labels."""
    if not run.diagnostics:
        return None
    last = run.diagnostics[-1]
    classes = run.model["classes"]
    colors = dict(zip(classes["names"], map(tuple, classes["colors"]), strict=True))
    words = "what is taught of each class, and the pseudo-labels against truth where it is known"
    pictures = [(words, embed_svg(draw_pseudo_label_curves(run.diagnostics, colors)))]
    if last["plane"] is not None:
        pictures.append(("confidence against similarity", embed_svg(draw_plane(last["plane"]))))
    quality = last["quality"] or {}
    sources = [(words, quality[k]) for k, (words, _) in SOURCES.items() if k in quality]
    return {"last": last, "sources": sources, "figures": pictures, "samples": _samples(run.folder)}


def _samples(folder: Path) -> list[Picture]:
    """The first pictures of single images."""
    found = []
    for file in sorted((folder / DIAGNOSTICS).glob("sample*.png"))[:_DRAWN]:
        try:
            with open_image(file) as image:
                picture = image.convert("RGB")
        except UNREADABLE as error:
            raise RunError(f"{file} cannot be read ({reason(error)}). Remove it.") from error
        picture.thumbnail((_WIDE, 4 * _WIDE))
        found.append(embed_photo(picture))
    return found


def _gallery(run: Stored, data: Path, accelerator: str) -> tuple[Gallery | None, str]:
    """Images of val, or why there are none: a report is worth having without them."""
    from semiseg.commands.evaluate import scored_samples
    from semiseg.data.image_lists import list_hash
    from semiseg.inference.load import load
    from semiseg.reporting.gallery import make_gallery

    try:
        samples = scored_samples(run.folder, data, "val", run.settings.get("dataset"))
        if list_hash(samples) != run.scores.split.val:
            raise DataError(f"The images of val in {data} are no longer those of the training.")
        return make_gallery(load(run.folder, accelerator), samples), ""
    except DataError as error:
        return None, f"{error} Name the folder that they are in: semiseg report RUN --data DATA."
