"""The output of `suggest`: lists, a picture, and a data folder with masks to correct or draw."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.config.settings import AUTO, Auto
from semiseg.core.errors import RunError
from semiseg.core.reading import Reading
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.classes.tool_labels import with_indices, with_labels
from semiseg.data.corrected import DECISIONS
from semiseg.data.formats.masks import Classes
from semiseg.inference.predictor import Predictor
from semiseg.plots.labeled_samples import draw_images, draw_samples
from semiseg.suggestion.coverage import FirstImage
from semiseg.suggestion.data_writer import Folder, remove_link, stem_of, write_classes
from semiseg.suggestion.mask_kinds import MaskKind
from semiseg.suggestion.ranking import Suggestion
from semiseg.suggestion.specks import remove_specks, smallest_region
from semiseg.suggestion.tool_files import TOOL_FILE_TYPES, ToolFile

logger = logging.getLogger(__name__)

_MAX_PICTURED = 24  # images in the picture


def write_suggestions(
    suggestions: Sequence[Suggestion],
    model: Predictor,
    kind: MaskKind,
    out: Path,
    min_area: int | Auto = AUTO,
) -> None:
    """Write the lists, the picture and the data folder.

    Args:
        suggestions: the images, in their order.
        model: the trained model, which predicts the masks.
        kind: what the masks are.
        out: the output folder.
        min_area: the pixels of the smallest region of a proposal with outlines; with `auto`, see
            `smallest_region`. Masks of pixels keep all regions.

    Raises:
        RunError: the folder cannot be written.
    """
    folder = Folder(out)
    proposals = _Proposals(model, min_area if kind in (*TOOL_FILE_TYPES, "labelme") else 0)
    with writing(out), TemporaryDirectory() as scratch:
        if kind in TOOL_FILE_TYPES:
            tool_file = TOOL_FILE_TYPES[kind](model.classes)
            classes = with_indices(model.classes)
            samples = [
                _add_sample(one, proposals, tool_file, folder, classes, Path(scratch))
                for one in suggestions
            ]
            tool_file.write(out / "train", out)
        else:
            classes = with_labels(model.classes) if kind == "labelme" else model.classes
            samples = [_write_sample(one, proposals, classes, folder) for one in suggestions]
            write_classes(classes, out)
        # What a person decided about earlier masks does not hold for these.
        (out / DECISIONS).unlink(missing_ok=True)
        picture = draw_samples(samples[:_MAX_PICTURED], classes, model.reading)
        reasons = ("score", "doubt", "disagreement", "distance")
        _write_lists(suggestions, reasons, picture, out)
    proposals.explain()


def write_first_images(images: Sequence[FirstImage], reading: Reading, out: Path) -> None:
    """Write the lists, the picture and copies of the images, whose masks a person draws.

    Args:
        images: the images, in their order.
        reading: how the images are read.
        out: the output folder.

    Raises:
        RunError: the folder cannot be written.
    """
    folder = Folder(out)
    with writing(out):
        for one in images:
            folder.copy_image(one.image, _stem(one))
        pictured = {one.name: one.image for one in images[:_MAX_PICTURED]}
        picture = draw_images(pictured, reading)
        _write_lists(images, ("stands_for", "distance"), picture, out)
        folder.masks.mkdir(exist_ok=True)


@dataclass
class _Proposals:
    """The masks that the model proposes.

    Attributes:
        model: the model.
        min_area: as for `write_suggestions`.
        specks: the number of regions that were left out.
    """

    model: Predictor
    min_area: int | Auto
    specks: int = 0

    def mask(self, image: Path) -> NDArray[np.uint8]:
        """`(H, W)` class indices."""
        mask = self.model.predict(image, scale="fit").mask
        min_area = self.min_area
        if min_area == AUTO:
            height, width = mask.shape
            min_area = smallest_region((width, height), self.model.metadata.size)
        mask, specks = remove_specks(mask, min_area)
        self.specks += specks
        return mask

    def explain(self) -> None:
        """Say how many specks there were."""
        if self.specks:
            size = "" if self.min_area == AUTO else f" of fewer than {self.min_area} pixels"
            logger.info(
                "%s left out of the proposals; --min-area 0 keeps them",
                plural(self.specks, f"speck{size} is", f"specks{size} are"),
            )


def _add_sample(
    suggestion: Suggestion,
    proposals: _Proposals,
    tool_file: ToolFile,
    folder: Folder,
    classes: Classes,
    scratch: Path,
) -> Sample:
    """Copy an image and add the predicted mask to the file of a tool.

    The sample has a mask of these classes' ids in the scratch folder, for the picture.
    """
    image = folder.copy_image(suggestion.image, _stem(suggestion))
    prediction = proposals.mask(suggestion.image)
    name = image.relative_to(folder.images).as_posix()
    tool_file.add(name, prediction, 1 - suggestion.doubt)
    mask = scratch / f"{_stem(suggestion)}.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    classes.to_image(prediction).save(mask, "PNG")
    return Sample(suggestion.name, image, mask)


def _write_sample(
    suggestion: Suggestion, proposals: _Proposals, classes: Classes, folder: Folder
) -> Sample:
    """Copy an image and write the predicted mask as the classes spell it."""
    stem = _stem(suggestion)
    image = folder.copy_image(suggestion.image, stem)
    prediction = proposals.mask(suggestion.image)
    return Sample(suggestion.name, image, folder.write_mask(prediction, classes, image, stem))


def _stem(one: Suggestion | FirstImage) -> str:
    """The name of an image and its mask, without a suffix."""
    return stem_of(one.name, one.image.suffix)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Create the output folder, and explain why it cannot be written.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error


def _write_lists(
    images: Sequence[Suggestion | FirstImage],
    reasons: Sequence[str],
    picture: Image.Image,
    out: Path,
) -> None:
    """Write the list, the list with the reasons, and the picture.

    Args:
        images: the images, in their order.
        reasons: the attributes of an image that are the reasons.
        picture: of the images.
        out: the output folder.
    """
    text, rows, drawing = (out / f"suggested.{suffix}" for suffix in ("txt", "csv", "png"))
    for path in (text, rows, drawing):
        remove_link(path)
    lines = "".join(f"{one.image.absolute()}\n" for one in images)
    text.write_text(lines, encoding="utf-8")
    with rows.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "image", *reasons])
        for rank, one in enumerate(images, 1):
            cells = [_cell(getattr(one, reason)) for reason in reasons]
            writer.writerow([rank, one.image.absolute(), *cells])
    picture.save(drawing)


def _cell(value: float | None) -> str:
    """A value in a table: a count as it is, another number with four digits."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
