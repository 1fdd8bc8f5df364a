"""Images of val in layers to be laid over each other: image, truth, prediction, mistakes, doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from semiseg.reporting.figures import Picture, flat, photo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from semiseg.core.types import Prediction, Sample
    from semiseg.data.formats.codes import Color
    from semiseg.data.formats.masks import Classes
    from semiseg.inference.predictor import Predictor

_SIDE = 480  # of a picture at most, in pixels
_LOOKED_AT = 100  # images at most, or a report of a large data set would take as long as a look
_EXTREMES, _RANDOM = 3, 3  # a row of the page each
# Okabe and Ito's, which people with any kind of color vision tell apart; there are no more.
_SAFE: tuple[Color, ...] = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167), (0, 0, 0)),
)
_WRONG, _APART = (213, 94, 0), (230, 159, 0)


class Scene(NamedTuple):
    """One image to look at.

    Attributes:
        name: of the image.
        miou: mean IoU over the classes of this image, in per cent.
        layers: pictures of one size, by what they show.
    """

    name: str
    miou: float
    layers: dict[str, Picture]


class Gallery(NamedTuple):
    """What there is to see of `val`.

    Attributes:
        groups: scenes by the words above them.
        legend: name and color of the classes in them.
        doubt: the name of the layer of doubt.
        safe: whether the colors are those that everyone tells apart.
        looked_at: images that the worst and the best were chosen from.
        images: images of val.
    """

    groups: dict[str, list[Scene]]
    legend: list[tuple[str, str]]
    doubt: str
    safe: bool
    looked_at: int
    images: int


def colors_of(classes: Classes) -> tuple[Sequence[Color], bool]:
    """The colors of the classes in the report, and whether everyone can tell them apart."""
    from semiseg.plots.drawing import tellable

    own = set(classes.colors)
    if len(own) == len(classes) and own <= set(_SAFE):
        return classes.colors, True
    if len(classes) <= len(_SAFE):
        return _SAFE[: len(classes)], True
    return tellable(classes.colors), False


def make_gallery(model: Predictor, samples: Sequence[Sample]) -> Gallery:
    """Score the images one by one, and draw the worst, the best and some others.

    Args:
        model: the trained model.
        samples: the images of val, with masks; of more than a hundred, so many are drawn by a key.

    Raises:
        DataError: an image or a mask cannot be read.
    """
    from semiseg.core.rng import Key

    key = Key.of(0, "report")
    order = key.child("looked at").numpy().permutation(len(samples))[:_LOOKED_AT]
    chosen = [samples[i] for i in sorted(order)]
    scored = sorted(
        (score, i) for i, score in enumerate(_scores(model, chosen)) if score is not None
    )
    each = min(_EXTREMES, len(scored) // 2)
    worst, best = scored[:each], scored[::-1][:each]
    rest = scored[each : len(scored) - each]
    drawn = key.child("others").numpy().permutation(len(rest))[:_RANDOM]
    groups = {"Drawn at random": [rest[i] for i in sorted(drawn)]}
    groups |= {"The worst": worst, "The best": best}
    colors, safe = colors_of(model.classes)
    found: set[int] = set()
    shown = {
        words: [_draw(model, chosen[i], score, colors, found) for score, i in group]
        for words, group in groups.items()
        if group
    }
    legend = [(model.classes.names[i], css_color(colors[i])) for i in sorted(found)]
    doubt = "reliability" if model.two_spaces else "confidence"
    return Gallery(shown, legend, doubt, safe, len(chosen), len(samples))


def css_color(color: Color) -> str:
    """A color as style sheets write it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _scores(model: Predictor, samples: Sequence[Sample]) -> Iterator[float | None]:
    """The mean IoU of each image by itself; None where nothing can be scored."""
    import torch
    from rich.progress import track

    from semiseg.data.formats.images import read_image
    from semiseg.data.order import ahead
    from semiseg.evaluation.metrics import confusion_matrix, scores
    from semiseg.training.session import console

    pictures = ahead(lambda sample: read_image(sample.image, model.value_range), samples)
    pairs = zip(samples, model.stream(pictures), strict=True)
    hidden = not console.is_terminal
    for sample, found in track(pairs, "report", len(samples), console=console, disable=hidden):
        truth = torch.from_numpy(_truth(sample, model.classes, found))
        table = confusion_matrix(torch.from_numpy(found.mask), truth, len(model.classes))
        yield scores(table, model.classes.names)["miou"]


def _truth(sample: Sample, classes: Classes, found: Prediction) -> NDArray[np.uint8]:
    import numpy as np

    from semiseg.core.errors import DataError
    from semiseg.data.formats.masks import read_mask

    truth = np.array(read_mask(sample.mask or Path(), classes))
    if truth.shape != found.mask.shape:
        raise DataError(f"{sample.mask} is of another size than its image {sample.image}.")
    return truth


def _draw(
    model: Predictor, sample: Sample, miou: float, colors: Sequence[Color], found: set[int]
) -> Scene:
    """The layers of one image; the classes in it are added to `found`."""
    import numpy as np
    from PIL import Image

    from semiseg.core.types import IGNORE_INDEX
    from semiseg.data.formats.images import read_image

    picture = read_image(sample.image, model.value_range)
    prediction = model.predict(picture)
    truth = _truth(sample, model.classes, prediction)
    size = _size(picture)

    def small(values: NDArray[Any]) -> NDArray[Any]:
        nearest = Image.Resampling.NEAREST
        return np.array(Image.fromarray(values).resize(size, nearest))

    image = picture.resize(size, Image.Resampling.LANCZOS)
    true, said = small(truth), small(prediction.mask)
    found |= {int(i) for mask in (true, said) for i in np.unique(mask)} - {IGNORE_INDEX}
    layers = {"image": photo(image)}
    layers |= {"truth": _flat(true, colors), "prediction": _flat(said, colors)}
    layers["mistakes"] = photo(_mistakes(image, true, said))
    if prediction.nearest is None or prediction.similarity is None:
        layers["confidence"] = photo(_doubt(small(prediction.confidence), None))
    else:
        sure = np.minimum(prediction.confidence, prediction.similarity)
        apart = prediction.nearest != prediction.mask
        layers["reliability"] = photo(_doubt(small(sure), small(apart)))
    return Scene(sample.name, miou, layers)


def _size(picture: Image.Image) -> tuple[int, int]:
    """As large as the page needs it, and never larger than it is."""
    factor = min(1.0, _SIDE / max(picture.size))
    return max(1, round(factor * picture.width)), max(1, round(factor * picture.height))


def _flat(mask: NDArray[np.uint8], colors: Sequence[Color]) -> Picture:
    """Class indices in colors; ignored pixels are light gray."""
    import numpy as np
    from PIL import Image

    from semiseg.core.types import IGNORE_INDEX

    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    palette[IGNORE_INDEX] = 210
    image = Image.fromarray(mask)
    image.putpalette(palette.tobytes())
    return flat(image)


def _mistakes(image: Image.Image, true: NDArray[np.uint8], said: NDArray[np.uint8]) -> Image.Image:
    """The image in pale gray, and wrong pixels in one strong color."""
    import numpy as np
    from PIL import Image as Pillow

    from semiseg.core.types import IGNORE_INDEX

    gray = image.convert("L").convert("RGB")
    values = np.array(Pillow.blend(gray, Pillow.new("RGB", image.size, "white"), 0.55))
    values[(true != said) & (true != IGNORE_INDEX)] = _WRONG
    return Pillow.fromarray(values)


def _doubt(sure: NDArray[np.float32], apart: NDArray[np.bool_] | None) -> Image.Image:
    """From black (unsure) to white (sure); orange where the two spaces disagree."""
    import numpy as np
    from PIL import Image

    gray = (sure * 255).astype(np.uint8)
    values = np.stack([gray] * 3, axis=-1)
    if apart is not None:
        values[apart] = _APART
    return Image.fromarray(values)
