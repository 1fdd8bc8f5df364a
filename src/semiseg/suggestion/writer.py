"""The output of `suggest`: lists, a picture, and a data folder with masks to correct or draw."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import RunError
from semiseg.core.files import write_text
from semiseg.core.reading import Reading
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.classes_writer import classes_yaml
from semiseg.data.classes.tool_labels import background_of, with_labels
from semiseg.data.formats.labelme import IGNORE
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.outlines import label_of, outlines, write_outlines
from semiseg.inference.predictor import Predictor
from semiseg.plots.labeled_samples import draw_images, draw_samples
from semiseg.suggestion.coverage import FirstImage
from semiseg.suggestion.mask_kinds import MaskKind
from semiseg.suggestion.ranking import Suggestion
from semiseg.suggestion.tool_files import TOOL_FILE_TYPES, ToolFile

_MAX_PICTURED = 24  # images in the picture


def write_suggestions(
    suggestions: Sequence[Suggestion], model: Predictor, kind: MaskKind, out: Path
) -> None:
    """Write the lists, the picture and the data folder.

    Args:
        suggestions: the images, in their order.
        model: the trained model, which predicts the masks.
        kind: what the masks are.
        out: the output folder.

    Raises:
        RunError: the folder cannot be written.
    """
    with _writing(out), TemporaryDirectory() as scratch:
        if kind in TOOL_FILE_TYPES:
            classes, folder = model.classes, Path(scratch)
            tool_file = TOOL_FILE_TYPES[kind](classes)
            samples = [_add_sample(one, model, tool_file, out, folder) for one in suggestions]
            tool_file.write(out / "train", out)
        else:
            classes = with_labels(model.classes) if kind == "labelme" else model.classes
            samples = [_write_sample(one, model, classes, out) for one in suggestions]
            _write_classes(classes, out)
        picture = draw_samples(samples[:_MAX_PICTURED], classes, model.reading)
        reasons = ("score", "doubt", "disagreement", "distance")
        _write_lists(suggestions, reasons, picture, out)


def write_first_images(images: Sequence[FirstImage], reading: Reading, out: Path) -> None:
    """Write the lists, the picture and copies of the images, whose masks a person draws.

    Args:
        images: the images, in their order.
        reading: how the images are read.
        out: the output folder.

    Raises:
        RunError: the folder cannot be written.
    """
    with _writing(out):
        for one in images:
            _copy_image(one, out)
        pictured = {one.name: one.image for one in images[:_MAX_PICTURED]}
        picture = draw_images(pictured, reading)
        _write_lists(images, ("stands_for", "distance"), picture, out)
        (out / "train" / "masks").mkdir(exist_ok=True)


def _add_sample(
    suggestion: Suggestion, model: Predictor, tool_file: ToolFile, out: Path, scratch: Path
) -> Sample:
    """Copy an image and add the predicted mask to the file of a tool.

    The sample has a mask in the scratch folder, for the picture.
    """
    image = _copy_image(suggestion, out)
    prediction = model.predict(suggestion.image, scale="fit").mask
    name = image.relative_to(out / "train" / "images").as_posix()
    tool_file.add(name, prediction, 1 - suggestion.doubt)
    mask = scratch / f"{_stem(suggestion)}.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    _picture_of(prediction, model.classes).save(mask, "PNG")
    return Sample(suggestion.name, image, mask)


def _write_sample(suggestion: Suggestion, model: Predictor, classes: Classes, out: Path) -> Sample:
    """Copy an image and write the predicted mask as the classes spell it."""
    shapes = classes.encoding == "labels"
    image = _copy_image(suggestion, out)
    masks = out / "train" / "masks"
    mask = image.with_suffix(".json") if shapes else masks / f"{_stem(suggestion)}.png"
    _make_folder(mask.parent, out)
    _remove_link(mask)
    prediction = model.predict(suggestion.image, scale="fit").mask
    if shapes:
        _write_shapes(mask, prediction, classes, image)
    else:
        _picture_of(prediction, classes).save(mask, "PNG")
    return Sample(suggestion.name, image, mask)


def _picture_of(mask: NDArray[np.uint8], classes: Classes) -> Image.Image:
    """A mask as the image that a person's masks of these classes are."""
    return classes.to_rgb(mask) if classes.encoding == "colors" else classes.to_image(mask)


def _write_classes(classes: Classes, out: Path) -> None:
    """Write the names of the classes, and LabelMe's list of labels."""
    _remove_link(out / "classes.yaml")
    text = yaml.safe_dump(classes_yaml(classes), sort_keys=False, allow_unicode=True)
    (out / "classes.yaml").write_text(text, encoding="utf-8")
    if classes.encoding == "labels":
        lines = (IGNORE, *_labelme_labels(classes))
        write_text(out / "labels.txt", "".join(f"{line}\n" for line in lines))


def _copy_image(one: Suggestion | FirstImage, out: Path) -> Path:
    """Copy an image into the data folder of the output; the copy."""
    image = out / "train" / "images" / f"{_stem(one)}{one.image.suffix}"
    _make_folder(image.parent, out)
    if not image.exists() or not image.samefile(one.image):
        _remove_link(image)
        shutil.copyfile(one.image, image)
    return image


def _make_folder(folder: Path, out: Path) -> None:
    """Create a folder of the output.

    Raises:
        RunError: a link leads out of the output folder.
    """
    if not folder.resolve().is_relative_to(out.resolve()):
        raise RunError(
            f"A link leads from {folder} out of {out}. Remove the link, or choose another --out."
        )
    folder.mkdir(parents=True, exist_ok=True)


def _labelme_labels(classes: Classes) -> list[str]:
    """The labels of the classes in LabelMe, by their indices."""
    return [label_of(*pair) for pair in zip(classes.names, classes.codes, strict=True)]


def _write_shapes(path: Path, mask: NDArray[np.uint8], classes: Classes, image: Path) -> None:
    """Write a mask as LabelMe's polygons."""
    labels = dict(enumerate(_labelme_labels(classes)))
    labels[IGNORE_INDEX] = IGNORE
    size = mask.shape[1], mask.shape[0]
    write_outlines(path, outlines(mask, background_of(classes)), labels, image, size)


def _remove_link(path: Path) -> None:
    """Remove a link with the name of a file, whose target would be overwritten."""
    if path.is_symlink():
        path.unlink()


def _stem(one: Suggestion | FirstImage) -> str:
    """The name of an image and its mask, without a suffix.

    If another image differs only in its suffix, the suffix becomes a part of the name: `a_jpg`.
    """
    suffix = one.image.suffix
    if not one.name.endswith(suffix):
        return one.name
    return f"{one.name.removesuffix(suffix)}_{suffix[1:]}"


@contextmanager
def _writing(out: Path) -> Iterator[None]:
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
        _remove_link(path)
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
