"""`evaluate`: the scores of a trained model on a split of a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from semiseg.errors import DataError

if TYPE_CHECKING:
    from semiseg.types import Sample


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
        run: the run folder.
        data: a data folder in the layout of `train`.
        split: which of its splits. Where it has no `val`, the images that the training held out.
        dataset: as for `train`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        `miou` and `accuracy` in per cent; `per_class`, by name the `iou`, `dice`, `precision` and
        `recall` in per cent and the true `pixels`; `split`, the number of its `images` and their
        `hash`. A class that neither occurs nor is predicted has None and is left out of the mean.

    Raises:
        RunError: the folder holds no model that can be read.
        DataError: the split has no masks, or they do not fit the model's classes.
    """
    import torch
    from rich.console import Console
    from rich.progress import track

    from semiseg.data.splits import list_hash
    from semiseg.deliver.model import load
    from semiseg.evaluation.inference import Scenes, segment
    from semiseg.evaluation.metrics import confusion_matrix, scores

    model = load(run, accelerator)
    samples = _samples(Path(run), Path(data), split, dataset)
    scenes = Scenes(samples, model.classes, model.release.size, model.release.value_range)
    count = len(model.classes)
    confusion = torch.zeros(count, count, dtype=torch.long)
    console = Console(stderr=True)
    for i in track(
        range(len(scenes)), "evaluate", console=console, disable=not console.is_terminal
    ):
        image, mask = scenes[i]
        height, width = mask.shape
        logits = segment(model.network, image.to(model.device), (height, width))
        confusion += confusion_matrix(logits.argmax(dim=0).cpu(), mask, count)
    found = scores(confusion, model.classes.names)
    return {**found, "split": split, "images": len(samples), "hash": list_hash(samples)}


def _samples(run: Path, data: Path, split: str, dataset: str | None) -> list[Sample]:
    """The images of the split that have masks."""
    from semiseg.data.folder import find_samples
    from semiseg.data.splits import read_list

    found, _ = find_samples(data, split, dataset)
    samples = [s for s in found if s.mask is not None]
    held_out = run / "split" / "val.txt"
    if not samples and split == "val" and held_out.is_file():
        train, _ = find_samples(data, "train", dataset)
        samples = read_list(held_out, [s for s in train if s.mask is not None])
    if not samples:
        raise DataError(
            f"{data / split} has no masks that belong to images; there is nothing to compare the "
            f"predictions with. Put masks into {data / split / 'masks'}, or choose another --split."
        )
    return samples
