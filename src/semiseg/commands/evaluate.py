"""`evaluate`: the scores of a trained model on a split of a data folder."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from semiseg.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from semiseg.core.types import Sample
    from semiseg.inference.predictor import Predictor


def evaluate(
    run: Path,
    data: Path,
    *,
    split: Literal["train", "val", "test"] = "val",
    dataset: str | None = None,
    accelerator: str = "auto",
) -> dict[str, Any]:
    """Score a trained model on all masks of one split, at the masks' own size.

    Args:
        run: the run folder, or a model that was exported as `.onnx`.
        data: a data folder in the layout of `train`.
        split: which of its splits. Where it has no `val`, the images that the training held out.
        dataset: as for `train`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        `miou` and `accuracy` in per cent; `per_class`, by name the `iou`, `dice`, `precision` and
        `recall` in per cent and the true `pixels`; `split`, the number of its `images` and their
        `hash`. A class that neither occurs nor is predicted has None and is left out of the mean.
        `reliability` says for `confidence`, and for `similarity` where the model has prototypes,
        the calibration error and the accuracy as doubtful pixels are left out (see
        `Calibration.found`); then also the `coverage` and `accuracy` of where both spaces `agree`.

    Raises:
        RunError: there is no model that can be read.
        DataError: the split has no masks, or they do not fit the model's classes or the images.
    """
    from semiseg.data.image_lists import list_hash
    from semiseg.inference.load import load

    model = load(run, accelerator)
    samples = scored_samples(Path(run), Path(data), split, dataset)
    found = _score(model, samples)
    return {**found, "split": split, "images": len(samples), "hash": list_hash(samples)}


def _score(model: Predictor, samples: list[Sample]) -> dict[str, Any]:
    """Segment and count."""
    import numpy as np
    import torch
    from rich.console import Console
    from rich.progress import track

    from semiseg.data.formats.images import read_image
    from semiseg.data.formats.masks import read_mask
    from semiseg.data.read_ahead import read_ahead
    from semiseg.evaluation.calibration import Reliability
    from semiseg.evaluation.metrics import confusion_matrix, scores

    def look(sample: Sample) -> tuple[Image.Image, Image.Image]:
        image = read_image(sample.image, model.value_range)
        return image, read_mask(sample.mask or Path(), model.classes)

    def pictures() -> Iterator[Image.Image]:
        for picture, mask in read_ahead(look, samples):
            waiting.append(mask)
            yield picture

    waiting: deque[Image.Image] = deque()
    reliability = Reliability(model.two_spaces)
    count = len(model.classes)
    confusion = torch.zeros(count, count, dtype=torch.long)
    console = Console(stderr=True)
    for sample, found in track(
        zip(samples, model.stream(pictures()), strict=True),
        "evaluate",
        len(samples),
        console=console,
        disable=not console.is_terminal,
    ):
        truth = np.array(waiting.popleft())
        if truth.shape != found.mask.shape:
            raise DataError(f"{sample.mask} is of another size than its image {sample.image}.")
        confusion += confusion_matrix(torch.from_numpy(found.mask), torch.from_numpy(truth), count)
        reliability.add(found, truth)
    return {**scores(confusion, model.classes.names), "reliability": reliability.summary()}


def scored_samples(run: Path, data: Path, split: str, dataset: str | None) -> list[Sample]:
    """The images of the split that have masks.

    Args:
        run: the run folder; it knows which images were held out where there is no `val`.
        data: the data folder.
        split: `train`, `val` or `test`.
        dataset: as for `train`.

    Raises:
        DataError: there are none.
    """
    from semiseg.data.image_lists import read_list
    from semiseg.data.reader import read_samples

    samples = [s for s in read_samples(data, split, dataset) if s.mask is not None]
    held_out = run / "split" / "val.txt"
    if not samples and split == "val" and held_out.is_file():
        train = read_samples(data, "train", dataset)
        samples = read_list(held_out, [s for s in train if s.mask is not None])
    if not samples:
        raise DataError(
            f"{data / split} has no masks that belong to images; there is nothing to compare the "
            f"predictions with. Put masks into {data / split / 'masks'}, or take another --split. "
            "(What a training held out itself is known to its run folder alone.)"
        )
    return samples
