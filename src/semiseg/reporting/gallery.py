"""Validation images in layers for comparison: image, truth, prediction, errors and reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from semiseg.config.background import find_background
from semiseg.core.console import progress
from semiseg.core.rng import Key
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.codes import Color
from semiseg.data.formats.images import read_image
from semiseg.data.read_ahead import read_ahead
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.inference.predictor import Predictor, Scaled
from semiseg.plots.overlay import color_map, draw_errors, draw_reliability, overlay
from semiseg.plots.palette import accessible_colors, css_color
from semiseg.reporting.embed import Picture, embed_flat, embed_photo

_MAX_SIDE = 480  # pixels of a picture
_MAX_SCORED = 100  # images; a large data set would take as long as a validation
_PER_GROUP = 3  # images in a row of the page

Pixel = TypeVar("Pixel", bound=np.generic)
Certainty = Literal["reliability", "confidence"]


class GalleryImage(NamedTuple):
    """One image of the gallery.

    Attributes:
        name: of the image.
        miou: mean IoU over the classes of this image, in percent; None without true pixels.
        layers: pictures of one size, by their name.
    """

    name: str
    miou: float | None
    layers: dict[str, Picture]


class Gallery(NamedTuple):
    """The validation images that the report shows.

    Attributes:
        example: the image of the median score: the photograph, and the masks laid over it.
        groups: images by the heading above them.
        legend: name and color of the classes in these images.
        certainty: the name of the last layer.
        accessible: whether all people can tell the colors apart.
        scored: the number of images that the worst and the best were chosen from.
        images: the number of validation images.
    """

    example: GalleryImage | None
    groups: dict[str, list[GalleryImage]]
    legend: list[tuple[str, str]]
    certainty: Certainty
    accessible: bool
    scored: int
    images: int

    @property
    def layer_names(self) -> list[str]:
        """The names of the layers, in their order."""
        return ["image", "truth", "prediction", "errors", self.certainty]


def make_gallery(model: Predictor, samples: Sequence[Sample]) -> Gallery:
    """Score the images one by one, and draw the worst, the best and some others.

    Args:
        model: the trained model.
        samples: the validation images, with masks. Of more than 100 images, 100 random ones count.

    Raises:
        DataError: an image or a mask cannot be read.
    """
    key = Key.of(0, "report")
    order = key.child("looked at").numpy().permutation(len(samples))[:_MAX_SCORED]
    candidates = [samples[i] for i in sorted(order)]
    ranking = sorted(
        (score, i) for i, score in enumerate(_image_scores(model, candidates)) if score is not None
    )
    count = min(_PER_GROUP, len(ranking) // 2)
    worst, best = ranking[:count], ranking[::-1][:count]
    others = ranking[count : len(ranking) - count]
    picks = key.child("others").numpy().permutation(len(others))[:_PER_GROUP]
    rankings = {
        "Random images": [others[i] for i in sorted(picks)],
        "The worst images": worst,
        "The best images": best,
    }
    colors, accessible = accessible_colors(model.classes)
    groups: dict[str, list[GalleryImage]] = {}
    indices: set[int] = set()
    for heading, entries in rankings.items():
        for score, i in entries:
            layers, classes = _draw_layers(model, candidates[i], colors)
            image = GalleryImage(candidates[i].name, score, layers)
            groups.setdefault(heading, []).append(image)
            indices |= classes
    example = None
    if ranking:
        score, i = ranking[len(ranking) // 2]
        layers, classes = _draw_example(model, candidates[i], colors)
        example = GalleryImage(candidates[i].name, score, layers)
        indices |= classes
    return Gallery(
        example=example,
        groups=groups,
        legend=[(model.classes.names[i], css_color(colors[i])) for i in sorted(indices)],
        certainty="reliability" if model.two_spaces else "confidence",
        accessible=accessible,
        scored=len(candidates),
        images=len(samples),
    )


def _image_scores(model: Predictor, samples: Sequence[Sample]) -> Iterator[float | None]:
    """The mean IoU of each image by itself; None where nothing can be scored."""
    images = read_ahead(lambda sample: read_image(sample.image, model.reading), samples)
    pairs = zip(samples, model.stream(map(Scaled, images)), strict=True)
    with progress("report") as bar:
        for number, (sample, prediction) in enumerate(pairs, 1):
            truth = torch.from_numpy(_read_truth(sample, model))
            labels = torch.from_numpy(prediction.mask)
            confusion = confusion_matrix(labels, truth, len(model.classes))
            yield scores(confusion, model.classes.names)["miou"]
            bar.update(number, len(samples))


def _read_truth(sample: Sample, model: Predictor) -> NDArray[np.uint8]:
    return np.array(read_labels(sample, model.classes, model.reading))


def _draw_example(
    model: Predictor, sample: Sample, colors: Sequence[Color]
) -> tuple[dict[str, Picture], set[int]]:
    """The photograph, and the true and the predicted mask over it; and the classes in them."""
    original = read_image(sample.image, model.reading)
    labels = model.predict(original, scale="fit").mask
    truth = _read_truth(sample, model)
    picture = original.convert("RGB")
    size = _page_size(picture)
    image = picture.resize(size, Image.Resampling.LANCZOS)
    background = find_background(model.classes.names)
    shades = [(0, 0, 0) if i == background else _not_black(c) for i, c in enumerate(colors)]
    masks = {"true mask": truth, "what the model predicts": labels}
    overlays = {
        name: embed_photo(overlay(image, _shrink(mask, size), shades))
        for name, mask in masks.items()
    }
    return {"photograph": embed_photo(image)} | overlays, classes_in(truth, labels)


def _not_black(color: Color) -> Color:
    """The color, but one that `overlay` draws; it leaves out black."""
    return color if any(color) else (1, 1, 1)


def _draw_layers(
    model: Predictor, sample: Sample, colors: Sequence[Color]
) -> tuple[dict[str, Picture], set[int]]:
    """The layers of one image, and the classes in it."""
    original = read_image(sample.image, model.reading)
    prediction = model.predict(original, scale="fit")
    truth = _read_truth(sample, model)
    picture = original.convert("RGB")
    layers = draw_masks(picture, truth, prediction.mask, colors)
    size = _page_size(picture)
    if prediction.nearest is None or prediction.similarity is None:
        confidence = draw_reliability(_shrink(prediction.confidence, size), None)
        layers["confidence"] = embed_photo(confidence)
    else:
        certainty = np.minimum(prediction.confidence, prediction.similarity)
        disagreement = prediction.nearest != prediction.mask
        reliability = draw_reliability(_shrink(certainty, size), _shrink(disagreement, size))
        layers["reliability"] = embed_photo(reliability)
    return layers, classes_in(truth, prediction.mask)


def draw_masks(
    picture: Image.Image,
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    colors: Sequence[Color],
) -> dict[str, Picture]:
    """An image, its true mask, the predicted one and the errors, at the size for the page.

    Args:
        picture: RGB, of any size.
        truth: `(H, W)` class indices, 255 where ignored.
        labels: `(H, W)` predicted class indices.
        colors: of the classes.
    """
    size = _page_size(picture)
    image = picture.resize(size, Image.Resampling.LANCZOS)
    truth, labels = _shrink(truth, size), _shrink(labels, size)
    return {
        "image": embed_photo(image),
        "truth": embed_flat(color_map(truth, colors)),
        "prediction": embed_flat(color_map(labels, colors)),
        "errors": embed_photo(draw_errors(image, truth, labels)),
    }


def classes_in(*masks: NDArray[np.uint8]) -> set[int]:
    """The classes that occur in some masks."""
    return {int(i) for mask in masks for i in np.unique(mask)} - {IGNORE_INDEX}


def _shrink(values: NDArray[Pixel], size: tuple[int, int]) -> NDArray[Pixel]:
    """A map at another size, without values between those of its pixels."""
    return np.array(Image.fromarray(values).resize(size, Image.Resampling.NEAREST))


def _page_size(image: Image.Image) -> tuple[int, int]:
    """The size of a picture in the page, which is never larger than the image."""
    factor = min(1.0, _MAX_SIDE / max(image.size))
    return max(1, round(factor * image.width)), max(1, round(factor * image.height))
