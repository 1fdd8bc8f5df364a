"""The output of `suggest`: lists, a picture, and a data folder with masks to correct."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from semiseg.core.errors import RunError
from semiseg.core.types import Sample
from semiseg.data.classes.classes_writer import classes_yaml
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.outlines import label_of, outlines, write_outlines
from semiseg.inference.predictor import Predictor
from semiseg.plots.labeled_samples import draw_samples
from semiseg.suggestion.ranking import Suggestion

_MAX_PICTURED = 24  # images in the picture


def write_suggestions(suggestions: Sequence[Suggestion], model: Predictor, out: Path) -> None:
    """Write the lists, the picture and the data folder.

    Args:
        suggestions: the images, in their order.
        model: the trained model, which predicts the masks.
        out: the output folder.

    Raises:
        RunError: the folder cannot be written.
    """
    classes = model.classes
    files = ("classes.yaml", "suggested.txt", "suggested.csv", "suggested.png")
    try:
        out.mkdir(parents=True, exist_ok=True)
        samples = [_write_sample(one, model, out) for one in suggestions]
        for name in files:
            _remove_link(out / name)
        text = yaml.safe_dump(classes_yaml(classes), sort_keys=False, allow_unicode=True)
        (out / "classes.yaml").write_text(text, encoding="utf-8")
        lines = "".join(f"{one.image.absolute()}\n" for one in suggestions)
        (out / "suggested.txt").write_text(lines, encoding="utf-8")
        _write_table(suggestions, out / "suggested.csv")
        picture = draw_samples(samples[:_MAX_PICTURED], classes, model.reading)
        picture.save(out / "suggested.png")
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error


def holds_masks(out: Path) -> bool:
    """Whether an output folder holds masks, which may have been corrected."""
    return (out / "train" / "masks").is_dir() or holds_shapes(out)


def holds_shapes(out: Path) -> bool:
    """Whether an output folder holds LabelMe's shapes beside its images."""
    return next((out / "train" / "images").rglob("*.json"), None) is not None


def refuse_other_kind(out: Path, classes: Classes) -> None:
    """Refuse a folder whose masks have another kind than those of the run.

    Raises:
        RunError: an earlier call for another run wrote masks of the other kind.
    """
    shapes = classes.encoding == "labels"
    if (out / "train" / "masks").is_dir() if shapes else holds_shapes(out):
        kinds = ("masks of pixels", "LabelMe's shapes")
        other, own = kinds if shapes else kinds[::-1]
        raise RunError(f"{out} holds {other}, but this run has {own}. Choose another --out.")


def _write_sample(suggestion: Suggestion, model: Predictor, out: Path) -> Sample:
    """Copy an image and write the predicted mask."""
    classes = model.classes
    shapes = classes.encoding == "labels"
    name = _stem(suggestion)
    image = out / "train" / "images" / f"{name}{suggestion.image.suffix}"
    mask = image.with_suffix(".json") if shapes else out / "train" / "masks" / f"{name}.png"
    for path in (image, mask):
        if not path.parent.resolve().is_relative_to(out.resolve()):
            raise RunError(
                f"A link leads from {path.parent} out of {out}. Remove the link, or choose another "
                "--out."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
    if not image.exists() or not image.samefile(suggestion.image):
        _remove_link(image)
        shutil.copyfile(suggestion.image, image)
    _remove_link(mask)
    prediction = model.predict(suggestion.image, scale="fit").mask
    if shapes:
        _write_shapes(mask, prediction, classes, image)
    else:
        in_colors = classes.encoding == "colors"
        picture = classes.to_rgb(prediction) if in_colors else classes.to_image(prediction)
        picture.save(mask, "PNG")
    return Sample(suggestion.name, image, mask)


def _write_shapes(path: Path, mask: NDArray[np.uint8], classes: Classes, image: Path) -> None:
    """Write a mask as LabelMe's polygons."""
    labels = [label_of(*pair) for pair in zip(classes.names, classes.codes, strict=True)]
    background = classes.codes.index(0) if 0 in classes.codes else None
    size = mask.shape[1], mask.shape[0]
    write_outlines(path, outlines(mask, background), labels, image, size)


def _remove_link(path: Path) -> None:
    """Remove a link with the name of a file, whose target would be overwritten."""
    if path.is_symlink():
        path.unlink()


def _stem(suggestion: Suggestion) -> str:
    """The name of an image and its mask, without a suffix.

    If another image differs only in its suffix, the suffix becomes a part of the name: `a_jpg`.
    """
    suffix = suggestion.image.suffix
    if not suggestion.name.endswith(suffix):
        return suggestion.name
    return f"{suggestion.name.removesuffix(suffix)}_{suffix[1:]}"


def _write_table(suggestions: Sequence[Suggestion], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "image", "score", "doubt", "disagreement", "distance"])
        for rank, one in enumerate(suggestions, 1):
            values = (one.score, one.doubt, one.disagreement, one.distance)
            cells = ["" if value is None else f"{value:.4f}" for value in values]
            writer.writerow([rank, one.image.absolute(), *cells])
